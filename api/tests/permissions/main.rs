//! Who may ask what: every route, for every scope and none, of the target's project and another.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the fixtures are not inside test functions"
)]

mod budgets;
mod datasets;
mod deployments;
mod evals;
mod prompts;
mod source;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use diogenes_api::auth::{Authenticator, KeyRing};
use diogenes_api::batches::BatchesArea;
use diogenes_api::control::{
    AuditArea, BudgetParts, BudgetsArea, ClusterArea, ClusterParts, Entrance, EvalsArea,
    GatewayArea, JobsArea, KeysArea, ModelsArea, ProjectsArea, PromptsArea, UsageArea, WorkArea,
};
use diogenes_api::jobs::{HttpJobs, Kinds, WebhookSigner};
use diogenes_api::metrics::Metrics;
use diogenes_api::outbound::{Outbound, OutboundRules};
use diogenes_api::proxy::{Dispatcher, FleetViews, Gateway, GatewaySettings, ProxyState};
use diogenes_api::{App, AppSettings};
use diogenes_core::audit::{Actor, AuditError, AuditFilter, AuditLog};
use diogenes_core::batches::{Batches, Files, Uploads};
use diogenes_core::fleet::{BeatLogs, ModelSpec, Registry, Source, read_view};
use diogenes_core::gateway::budget::{BudgetId, Budgets};
use diogenes_core::gateway::catalog::{CatalogEditor, Precondition, SecretRule};
use diogenes_core::gateway::ledger::StoreLedger;
use diogenes_core::gateway::prices::PriceBook;
use diogenes_core::jobs::{Creator, Jobs, NewJob};
use diogenes_core::keys::{KeyId, Keys, LocalLimiter, NewKey, Weight};
use diogenes_core::ports::{Clock, Ledger, Limits, StateStore, Wake};
use diogenes_core::secret::Secret;
use diogenes_core::tenancy::{Allowed, Permission, ProjectId, Projects, Scope, Subject};
use diogenes_core::testing::{CountingWake, ManualClock, MemoryBlobs, MemoryStore, SeededEntropy};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use source::{routes_in, sources};
use table::Route;

/// The whole table.
fn routes() -> Vec<Route> {
    let of_areas = prompts::routes().into_iter().chain(datasets::routes()).chain(evals::routes());
    let of_areas = of_areas.chain(deployments::routes());
    table::routes().into_iter().chain(of_areas).collect()
}

/// A fresh installation with the projects `team-a`, `team-b` and `third`, the model `kept` and the
/// route `assistant`.
struct World {
    router: Router,
    clock: Arc<ManualClock>,
    keys: Keys,
    budgets: Budgets,
    jobs: Jobs,
    ledger: Arc<dyn Ledger>,
    audit: AuditLog,
}

impl World {
    async fn new() -> Self {
        let manual = Arc::new(ManualClock::new("2026-11-30T11:59:59Z".parse().unwrap()));
        let clock: Arc<dyn Clock> = manual.clone();
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let keys = Keys::new(store.clone(), clock.clone(), Arc::new(SeededEntropy::new(1)));
        let projects = Projects::new(store.clone(), clock.clone());
        for id in ["team-a", "team-b", "third"] {
            let id = id.parse().unwrap();
            projects.create(&Allowed::operator(), id, String::new()).await.unwrap();
        }
        let wake: Arc<dyn Wake> = Arc::new(CountingWake::default());
        let metrics = Arc::new(Metrics::default());
        let dispatcher = Dispatcher::new(metrics.clone(), clock.clone(), wake.clone());
        let dispatcher = Arc::new(dispatcher);
        let authenticator: Arc<dyn Authenticator> =
            Arc::new(KeyRing::new(keys.clone(), clock.clone()));
        let entrance = Entrance { authenticator: authenticator.clone(), max_body_bytes: 1 << 20 };
        let views = FleetViews::local(dispatcher.clone());
        let entropy = Arc::new(SeededEntropy::new(2));
        let files = Files::new(
            store.clone(),
            Arc::new(MemoryBlobs::default()),
            clock.clone(),
            entropy.clone(),
        );
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone(), wake.clone());
        let uploads = Uploads::new(store.clone(), files.clone(), clock.clone(), entropy.clone());
        let batches = Batches::new(store.clone(), files, jobs.clone(), clock.clone(), entropy);
        let registry = Registry::new(store.clone(), clock.clone(), wake);
        let spec = ModelSpec::new(["vllm", "--port", "{port}"]);
        let kept = "kept".parse().unwrap();
        registry.on_behalf_of(Actor::operator()).apply(&kept, spec, Source::Api).await.unwrap();
        dispatcher.publish(read_view(&*store, &kept).await.unwrap().unwrap());
        let editor = CatalogEditor::new(store.clone(), clock.clone(), SecretRule::Machine);
        let (route, provider) = (
            serde_json::from_value(json!({"targets": ["kept"]})).unwrap(),
            serde_json::from_value(json!({"kind": "openai", "base_url": "http://127.0.0.1:9"})),
        );
        let operator = Actor::operator();
        editor
            .apply_route(&operator, &"assistant".parse().unwrap(), &route, &Precondition::None)
            .await
            .unwrap();
        let name = "hosted".parse().unwrap();
        let added = editor
            .apply_provider(&operator, &name, &provider.unwrap(), &Precondition::None)
            .await
            .unwrap();
        dispatcher.publish_catalog(&added.1).unwrap();
        let audit = AuditLog::new(store.clone(), clock.clone());
        let parts = ClusterParts {
            views: views.clone(),
            demand: dispatcher,
            registry: registry.clone(),
            logs: Arc::new(BeatLogs::new(store.clone())),
            clock: clock.clone(),
        };
        let budgets = Budgets::new(store.clone(), clock.clone());
        let ledger: Arc<dyn Ledger> = Arc::new(StoreLedger::new(store.clone()));
        let budget_parts = BudgetParts {
            budgets: budgets.clone(),
            ledger: ledger.clone(),
            views: views.clone(),
            clock: clock.clone(),
        };
        let outbound = Outbound::new(OutboundRules::default()).unwrap();
        let http = Arc::new(HttpJobs::new(outbound, clock.clone()));
        let kinds = Kinds::default().with(HttpJobs::JOB, http.clone());
        let area = JobsArea::new(entrance.clone(), jobs.clone(), clock.clone(), vec![], kinds);
        let prompts = prompts::fixture(store.clone(), clock.clone()).await;
        let evals = evals::fixture(&store, &clock, &jobs, &prompts);
        let deployments = deployments::fixture(entrance.clone(), &store, &clock, &prompts).await;
        let blobs = Arc::new(MemoryBlobs::default());
        let datasets =
            datasets::fixture(entrance.clone(), store.clone(), blobs, clock.clone(), jobs.clone());
        let datasets = datasets.await;
        // What is done next has another time in the audit log.
        manual.advance(Duration::from_secs(1));
        let router = diogenes_api::router(App {
            prompts: Arc::new(PromptsArea::new(entrance.clone(), prompts)),
            deployments: Arc::new(deployments),
            evals: Arc::new(EvalsArea::new(entrance.clone(), evals)),
            datasets: Arc::new(datasets),
            batches: Arc::new(BatchesArea::new(entrance.clone(), batches, uploads)),
            jobs: Arc::new(area.with_webhooks(http, WebhookSigner::new(Secret::new("secret")))),
            keys: Arc::new(KeysArea::new(
                entrance.clone(),
                keys.clone(),
                views.clone(),
                clock.clone(),
            )),
            projects: Arc::new(ProjectsArea::new(entrance.clone(), projects)),
            budgets: Arc::new(BudgetsArea::new(entrance.clone(), budget_parts)),
            work: Arc::new(WorkArea::new(
                entrance.clone(),
                jobs.clone(),
                clock.clone(),
                Arc::default(),
            )),
            audit: Arc::new(AuditArea::new(entrance.clone(), audit.clone())),
            usage: Arc::new(UsageArea::new(entrance.clone(), store, clock.clone())),
            models: Arc::new(ModelsArea::new(
                entrance.clone(),
                registry,
                editor.clone(),
                views.clone(),
            )),
            gateway: Arc::new(GatewayArea::new(
                entrance.clone(),
                editor,
                views.clone(),
                PriceBook::embedded().unwrap(),
            )),
            cluster: Arc::new(ClusterArea::new(entrance, parts)),
            proxy: Arc::new(ProxyState {
                authenticator,
                gateway: Arc::new(Gateway::new(
                    views,
                    Arc::new(LocalLimiter::default()),
                    clock,
                    GatewaySettings::default(),
                )),
                metrics,
                settings: AppSettings::default(),
            }),
        });
        Self { router, clock: manual, keys, budgets, jobs, ledger, audit }
    }

    /// The id and the text of a new key.
    async fn key(&self, project: &str, scopes: &[Scope]) -> (String, String) {
        let new = NewKey {
            project: project.parse::<ProjectId>().unwrap(),
            email: "ada@example.com".into(),
            name: String::new(),
            scopes: scopes.iter().copied().collect(),
            models: None,
            expires_at: None,
            limits: Limits::default(),
            egress: false,
            weight: Weight::default(),
        };
        let (record, plain) = self.keys.issue(&Allowed::operator(), new).await.unwrap();
        (record.id.to_string(), plain.expose().to_owned())
    }

    /// The id of a new job.
    async fn job(&self, project: &str) -> String {
        let creator = Creator::new(&Subject::new("ada@example.com"), &KeyId::from_caller(""));
        let project = project.parse().unwrap();
        let new = NewJob::new(project, "noop".parse().unwrap(), Value::Null, creator);
        self.jobs.create(&Allowed::operator(), new).await.unwrap().id.to_string()
    }

    async fn budget(&self, id: &str, cap: &str) {
        let BudgetId { scope, period, .. } = id.parse().unwrap();
        let cap = cap.parse().unwrap();
        self.budgets.set(&Allowed::operator(), scope, period, cap).await.unwrap();
    }

    /// The status and the code of the answer.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> (StatusCode, String) {
        let (status, body) = self.answer(method, path, key, body).await;
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The status and the body of the answer.
    async fn answer(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = match body {
            Value::Null => Body::empty(),
            Value::String(form) => {
                request =
                    request.header(header::CONTENT_TYPE, "multipart/form-data; boundary=limit");
                Body::from(form.clone())
            }
            json => Body::from(json.to_string()),
        };
        let request = request.uri(path).body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The actions of every audit record there is, in alphabetic order.
    async fn actions(&self) -> Vec<String> {
        let mut actions = Vec::new();
        for project in ["default", "team-a", "team-b", "third", "fresh"] {
            let (by, project) = (Allowed::operator(), project.parse().unwrap());
            let filter = AuditFilter::default();
            let page = match self.audit.list(&by, &project, &filter, 100, None).await {
                // It is yet to be created.
                Err(AuditError::NoProject(_)) => continue,
                listed => listed.unwrap(),
            };
            actions.extend(page.records.iter().map(|record| record.action.to_string()));
        }
        actions.sort();
        actions
    }
}

fn expected(route: &Route, scope: Option<Scope>, is_own: bool) -> (u16, &'static str) {
    let Some(needed) = route.needs else { return route.answer };
    let Some(scope) = scope else { return (401, "missing_api_key") };
    let held = scope.permissions();
    if !held.contains(needed) {
        (403, "insufficient_scope")
    } else if route.is_of_project && !is_own && !held.contains(Permission::ProjectsAny) {
        let is_key = route.request.contains("/{key}");
        (404, if is_key { "key_not_found" } else { "project_not_found" })
    } else {
        route.answer
    }
}

#[tokio::test]
async fn every_route_lets_in_whom_the_table_names() {
    let scopes = Scope::ALL.into_iter().map(Some).chain([None]);
    for (scope, project) in scopes.flat_map(|scope| [(scope, "team-a"), (scope, "team-b")]) {
        for route in routes() {
            // Fresh, since some change what others look at.
            let world = World::new().await;
            let (target, _) = world.key("team-a", &[Scope::Inference]).await;
            world.budget(&format!("key/{target}/usd/day"), "$1").await;
            let key = match scope {
                Some(scope) => Some(world.key(project, &[scope]).await.1),
                None => None,
            };
            let job = world.job("team-a").await;
            let path = route.request.replace("{key}", &target).replace("{job}", &job);
            let mut actions = world.actions().await;
            let (status, code) =
                world.ask(route.method, &path, key.as_deref(), &(route.body)()).await;
            let mut wanted = expected(&route, scope, project == "team-a");
            if route.path.starts_with("/v1/messages") {
                // Anthropic's errors have no code.
                wanted.1 = "";
            }
            assert_eq!(
                (status.as_u16(), code.as_str()),
                wanted,
                "{} {} with the scope {scope:?} of {project}",
                route.method,
                route.path
            );
            if status.is_success() && !route.audit.is_empty() {
                actions.push(route.audit.to_owned());
                actions.sort();
            }
            let found = world.actions().await;
            assert_eq!(found, actions, "the audit log after {} {}", route.method, route.path);
        }
    }
}

#[test]
fn every_route_that_changes_something_is_audited() {
    for route in routes() {
        // What workers report is told by the job itself.
        let is_work = route.path.starts_with("/api/v1/work/");
        // It shows a text, or what a run would take.
        let is_render =
            ["/render", "/plan", "/calibrate"].iter().any(|end| route.path.ends_with(end));
        let changes =
            route.path.starts_with("/api/v1/") && route.method != "GET" && !is_work && !is_render;
        assert_eq!(!route.audit.is_empty(), changes, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn only_who_may_see_every_project_is_shown_more_than_its_own() {
    let world = World::new().await;
    let all = ["default", "team-a", "team-b", "third"];
    for (scope, wanted) in
        [(Scope::Admin, &all[..]), (Scope::ProjectAdmin, &["team-a"]), (Scope::Read, &["team-a"])]
    {
        let (_, key) = world.key("team-a", &[scope]).await;
        let (status, page) =
            world.answer("GET", "/api/v1/projects", Some(&key), &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let shown = page["data"].as_array().unwrap();
        let shown: BTreeSet<_> = shown.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(shown, wanted.iter().copied().collect(), "{scope}");
        assert_eq!(page["next_cursor"], Value::Null, "{scope}");
    }
}

#[tokio::test]
async fn no_key_hands_out_more_than_it_has() {
    for (issuer, wanted) in [
        (Scope::Admin, Scope::ALL.to_vec()),
        (
            Scope::ProjectAdmin,
            vec![
                Scope::Inference,
                Scope::ProjectAdmin,
                Scope::Keys,
                Scope::PromptsRead,
                Scope::PromptsWrite,
                Scope::PromptsRelease,
                Scope::DatasetsRead,
                Scope::DatasetsWrite,
                Scope::Evals,
                Scope::DeploymentsWrite,
                Scope::DeploymentsApprove,
                Scope::JobsWork,
            ],
        ),
        (Scope::Keys, vec![Scope::Inference, Scope::Keys]),
    ] {
        let world = World::new().await;
        let (_, key) = world.key("team-a", &[issuer]).await;
        for scope in Scope::ALL {
            let body = json!({"email": "new@example.com", "scopes": [scope]});
            let (status, code) = world.ask("POST", "/api/v1/keys", Some(&key), &body).await;
            let (target, _) = world.key("team-a", &[scope]).await;
            let path = format!("/api/v1/keys/{target}/rotate");
            let rotated = world.ask("POST", &path, Some(&key), &Value::Null).await;
            let path = format!("/api/v1/keys/{target}");
            let revoked = world.ask("DELETE", &path, Some(&key), &Value::Null).await;
            if wanted.contains(&scope) {
                assert_eq!(status, StatusCode::CREATED, "{issuer} {scope}: {code}");
                assert_eq!(rotated.0, StatusCode::CREATED, "{issuer} {scope}: {}", rotated.1);
                assert_eq!(revoked.0, StatusCode::OK, "{issuer} {scope}: {}", revoked.1);
            } else {
                let refused = (StatusCode::FORBIDDEN, "insufficient_scope".to_owned());
                assert_eq!((status, code), refused, "{issuer} {scope}");
                assert_eq!(rotated, refused, "{issuer} {scope}");
                assert_eq!(revoked, refused, "{issuer} {scope}");
            }
        }
    }
}

#[tokio::test]
async fn keys_of_an_archived_project_are_refused_at_once() {
    let world = World::new().await;
    let (_, admin) = world.key("default", &[Scope::Admin]).await;
    let (id, key) = world.key("team-a", &[Scope::ProjectAdmin]).await;
    let ask = async |key| world.ask("GET", "/api/v1/keys", Some(key), &Value::Null).await;
    assert_eq!(ask(&key).await.0, StatusCode::OK);
    let archive = "/api/v1/projects/team-a/archive";
    for _ in 0..2 {
        let (status, code) = world.ask("POST", archive, Some(&admin), &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{code}");
    }
    assert_eq!(ask(&key).await, (StatusCode::UNAUTHORIZED, "project_archived".into()));
    let conflict = (StatusCode::CONFLICT, "conflict".to_owned());
    let body = json!({"email": "new@example.com", "project": "team-a"});
    assert_eq!(world.ask("POST", "/api/v1/keys", Some(&admin), &body).await, conflict);
    let rotate = format!("/api/v1/keys/{id}/rotate");
    assert_eq!(world.ask("POST", &rotate, Some(&admin), &Value::Null).await, conflict);
    let (status, code) =
        world.ask("DELETE", &format!("/api/v1/keys/{id}"), Some(&admin), &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{code}");
}

#[tokio::test]
async fn a_key_does_not_get_around_its_own_end_and_limits_by_another_key() {
    let world = World::new().await;
    let hour = "2999-01-01T01:00:00Z";
    let new = NewKey {
        project: ProjectId::default(),
        email: "ada@example.com".into(),
        name: String::new(),
        scopes: [Scope::Keys].into(),
        models: None,
        expires_at: Some(hour.parse().unwrap()),
        limits: Limits { requests_per_minute: Some(5), ..Limits::default() },
        egress: false,
        weight: Weight::default(),
    };
    let (_, key) = world.keys.issue(&Allowed::operator(), new).await.unwrap();
    let (_, admin) = world.key("default", &[Scope::Admin]).await;
    let denied = (StatusCode::FORBIDDEN, "insufficient_scope".to_owned());
    for (expires_at, limits, weight, wanted) in [
        (json!(null), json!({"requests_per_minute": 5}), 1, denied.clone()),
        (json!("2999-01-01T01:00:01Z"), json!({"requests_per_minute": 5}), 1, denied.clone()),
        (json!(hour), json!({"tokens_per_minute": 5}), 1, denied.clone()),
        (json!(hour), json!({"requests_per_minute": 6}), 1, denied.clone()),
        (json!(hour), json!({"requests_per_minute": 5}), 2, denied),
        (json!(hour), json!({"requests_per_minute": 5}), 1, (StatusCode::CREATED, String::new())),
    ] {
        let body = json!({
            "email": "a@b.c", "expires_at": expires_at, "limits": limits, "weight": weight,
        });
        let answer = world.ask("POST", "/api/v1/keys", Some(key.expose()), &body).await;
        assert_eq!(answer, wanted, "{body}");
        // Nor by rotating one that somebody else has issued; to revoke it gains nothing.
        let (status, other) = world.answer("POST", "/api/v1/keys", Some(&admin), &body).await;
        assert_eq!(status, StatusCode::CREATED, "{other}");
        let path = format!("/api/v1/keys/{}", other["id"].as_str().unwrap());
        let rotate = format!("{path}/rotate");
        let rotated = world.ask("POST", &rotate, Some(key.expose()), &Value::Null).await;
        assert_eq!(rotated, wanted, "{body}");
        let revoked = world.ask("DELETE", &path, Some(key.expose()), &Value::Null).await;
        assert_eq!(revoked.0, StatusCode::OK, "{body}: {}", revoked.1);
    }
}

#[tokio::test]
async fn projects_that_cannot_be_are_refused() {
    let world = World::new().await;
    let (_, admin) = world.key("default", &[Scope::Admin]).await;
    for (method, path, body, wanted) in [
        ("POST", "/api/v1/projects", json!({"id": "Team A"}), (400, "invalid_request")),
        ("POST", "/api/v1/projects", json!({"id": "team-a"}), (409, "conflict")),
        ("POST", "/api/v1/projects", json!({"id": "default"}), (409, "conflict")),
        ("POST", "/api/v1/projects", json!({}), (400, "invalid_request")),
        (
            "POST",
            "/api/v1/projects",
            json!({"id": "x", "description": "y".repeat(201)}),
            (400, "invalid_request"),
        ),
        ("POST", "/api/v1/projects/default/archive", Value::Null, (409, "conflict")),
        ("POST", "/api/v1/projects/absent/archive", Value::Null, (404, "project_not_found")),
        ("GET", "/api/v1/projects/Team%20A", Value::Null, (404, "project_not_found")),
        ("GET", "/api/v1/projects/%FF", Value::Null, (404, "not_found")),
        ("GET", "/api/v1/keys/%FF", Value::Null, (404, "not_found")),
        ("GET", "/api/v1/models/%FF", Value::Null, (404, "not_found")),
        ("GET", "/api/v1/keys?project=absent", Value::Null, (404, "project_not_found")),
        (
            "POST",
            "/api/v1/keys",
            json!({"email": "a@example.com", "project": "absent"}),
            (404, "project_not_found"),
        ),
        (
            "POST",
            "/api/v1/keys",
            json!({"email": "a@example.com", "project": "No Project"}),
            (400, "invalid_request"),
        ),
    ] {
        let (status, code) = world.ask(method, path, Some(&admin), &body).await;
        assert_eq!((status.as_u16(), code.as_str()), wanted, "{method} {path} {body}");
    }
}

#[test]
fn the_table_names_every_route() {
    let written: BTreeSet<_> = sources().iter().flat_map(|text| routes_in(text).unwrap()).collect();
    let table: BTreeSet<_> =
        routes().iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(table, written);
}
