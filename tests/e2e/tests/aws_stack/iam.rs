//! The roles of the template against what the programs do, both ways. No emulator enforces IAM.

use std::collections::BTreeMap;
use std::path::Path;

use diogenes_e2e::aws::front::Fault;
use diogenes_e2e::aws::policy::{Account, Effect, Request, Roles};
use diogenes_e2e::aws::stack::{INSTANCE, ORCHESTRATOR, Stack, TEMPLATES};
use diogenes_e2e::batch::{create, line, until, upload};
use diogenes_e2e::{Client, Event, Model, eventually};
use http::Method;
use serde_json::{Value, json};

use crate::gateway::Provider;
use crate::{datasets, evals, jobs, prompts};

const ROUTER: &str = "RouterFunction";
const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");

/// The role of the programs on an instance.
const INSTANCE_ROLE: &str = "InstanceRole";

/// The role of one-time schedules.
const SCHEDULES_ROLE: &str = "SchedulesRole";

/// Statements for what no program of ours does here: somebody else uses them, or another model.
const OF_OTHERS: &[(&str, &str, &str)] = &[
    ("*", "WriteLogs", "the Lambda service writes the logs with the function's role"),
    ("RouterRole", "JoinVpc", "the Lambda service joins the function to the VPC with its role"),
    ("JobsRole", "JoinVpc", "the Lambda service joins the function to the VPC with its role"),
    ("OrchestratorRole", "KeepFailedEvents", "the Lambda service sends what was given up"),
    ("JobsRole", "KeepFailedEvents", "the Lambda service sends what was given up"),
    ("OutboundRole", "KeepFailedEvents", "the Lambda service sends what was given up"),
    ("SchedulesRole", "KeepFailedEvents", "EventBridge sends what was given up"),
    ("DatasetsRole", "ListContents", "only where a chunk is not there any more"),
    ("TransfersRole", "KeepFailedEvents", "the Lambda service sends what was given up"),
    ("TransfersRole", "GoOn", "only what outlasts an invocation; there is a test of its own"),
    ("JobsRole", "Sweep", "only what is a day old"),
    ("JobsRole", "ReadWhatIsSwept", "only what is a day old"),
    ("JobsRole", "ReadBeats", "only where a replica goes away under a batch"),
    ("JobsRole", "CountHeld", "only where a replica goes away under a batch"),
    ("JobsRole", "GoOn", "only what outlasts an invocation; there is a test of its own"),
    ("InstanceRole", "ListWeights", "the inference server fetches weights"),
    ("InstanceRole", "ReadWeights", "the inference server fetches weights"),
    ("InstanceRole", "ReadParameters", "only for a model whose `env` refers to parameters"),
];

/// Grants on `*`, each with the reason that there is nothing narrower.
const ON_EVERYTHING: &[(&str, &str, &str)] = &[
    (
        "OrchestratorRole",
        "FindInstances",
        "the action knows no resources: \
         https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html",
    ),
    (
        "JobsRole",
        "JoinVpc",
        "the Lambda service checks the permission on `*`; `NoEc2FromCode` takes it from the code: \
         https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html",
    ),
    (
        "RouterRole",
        "JoinVpc",
        "the Lambda service checks the permission on `*`; `NoEc2FromCode` takes it from the code: \
         https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html",
    ),
];

/// Grants on everything of a kind, each with what narrows it.
const ON_ALL_OF_A_KIND: &[(&str, &str, &str)] = &[
    (
        "OrchestratorRole",
        "LaunchFromTemplate",
        "they are new, and come of the launch template only",
    ),
    ("OrchestratorRole", "LaunchTagged", "they are new, and only with the tag of the stack"),
    ("OrchestratorRole", "TagAtLaunch", "only by the launch that makes them"),
    ("OrchestratorRole", "TerminateOwn", "only with the tag of the stack"),
    ("InstanceRole", "ReadWeights", "objects of the one bucket"),
    ("InstanceRole", "ReadParameters", "parameters of the one stack"),
    ("RouterRole", "ReadProviderKeys", "the keys of the one stack's providers"),
    ("JobsRole", "ReadProviderKeys", "the keys of the one stack's providers"),
    ("*", "ScheduleLooks", "schedules of the one group"),
    ("BatchesRole", "KeepContents", "objects of the one bucket"),
    ("BatchesRole", "GiveUpContents", "objects of the one bucket"),
    ("DatasetsRole", "KeepChunks", "objects of the one bucket"),
    ("DatasetsRole", "RemoveChunks", "objects of the one bucket"),
    ("DatasetsRole", "KeepContents", "objects of the one bucket"),
    ("TransfersRole", "KeepChunks", "objects of the one bucket"),
    ("TransfersRole", "KeepContents", "objects of the one bucket"),
    ("JobsRole", "ReadSnapshots", "objects of the one bucket"),
    ("JobsRole", "ReadAndWriteContents", "objects of the one bucket"),
    ("JobsRole", "RemoveAnswers", "objects of the one bucket"),
    ("JobsRole", "Sweep", "objects of the one bucket"),
    ("*", "WriteLogs", "streams of the function's own log"),
];

fn roles(account: &Account) -> Roles {
    Roles::read(Path::new(TEMPLATE), &account.values())
}

fn is_of_others(role: &str, sid: &str) -> bool {
    OF_OTHERS.iter().any(|(of, name, _)| *name == sid && (*of == "*" || *of == role))
}

/// What each role was asked for in the calls so far.
fn requests(stack: &Stack, account: &Account, roles: &Roles) -> BTreeMap<String, Vec<Request>> {
    let mut requests: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for call in &stack.front.calls() {
        let role = match call.caller.as_str() {
            INSTANCE => INSTANCE_ROLE,
            function => match roles.of_functions.get(function) {
                Some(role) => role,
                // The test, and the hardware that it plays.
                None => continue,
            },
        };
        requests.entry(role.to_owned()).or_default().extend(account.requests(call));
        // What EventBridge does with the role that a schedule has.
        if call.service == "scheduler" {
            let made = requests.entry(SCHEDULES_ROLE.to_owned()).or_default();
            made.push(Account::run_of_schedule(call));
        }
    }
    for requests in requests.values_mut() {
        requests.sort();
        requests.dedup();
    }
    requests
}

#[tokio::test]
async fn every_role_allows_what_is_done_and_nothing_else() {
    let settings = jobs::open().parameter("JobTemplates", TEMPLATES);
    let Some(stack) = Stack::with(settings).await else { return };
    let account = Account::of(&stack);
    let roles = roles(&account);
    everything(&stack).await;

    let requests = requests(&stack, &account, &roles);
    let mut wrong = Vec::new();
    for role in roles.names() {
        let requests = requests.get(role).map(Vec::as_slice).unwrap_or_default();
        assert!(!requests.is_empty(), "nothing was done as `{role}`");
        let denied = requests.iter().filter(|request| !roles.allow(role, request));
        wrong.extend(denied.map(|request| format!("{role} may not: {request:?}")));
        let unused = roles.unused(role, requests).into_iter();
        let unused = unused.filter(|grant| !is_of_others(role, &grant.sid));
        wrong.extend(unused.map(|grant| format!("{role} needs not: {grant:?}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_role_has_everything_only_where_there_is_nothing_narrower() {
    let Some(stack) = Stack::start().await else { return };
    let roles = roles(&Account::of(&stack));
    let mut seen = Vec::new();
    for role in roles.names() {
        for statement in roles.statements(role) {
            if statement.effect == Effect::Deny {
                continue;
            }
            for action in &statement.actions {
                assert!(!action.contains('*'), "{role}.{}: `{action}`", statement.sid);
            }
            if statement.resources.iter().any(|resource| resource == "*") {
                let reason =
                    ON_EVERYTHING.iter().find(|(of, sid, _)| *of == role && *sid == statement.sid);
                assert!(reason.is_some(), "{role}.{} is on `*`", statement.sid);
                seen.push((role.to_owned(), statement.sid.clone()));
            }
            if statement.resources.iter().any(|it| it.ends_with("/*") || it.ends_with(":*")) {
                let mut reasons = ON_ALL_OF_A_KIND.iter();
                let is_known = reasons
                    .any(|(of, sid, _)| (*of == "*" || *of == role) && *sid == statement.sid);
                assert!(is_known, "{role}.{} is on all of a kind", statement.sid);
            }
        }
    }
    assert_eq!(seen.len(), ON_EVERYTHING.len(), "a reason for a statement that is gone: {seen:?}");
    for (of, sid, reason) in OF_OTHERS {
        let mut statements = roles.names().filter(|role| *of == "*" || role == of);
        let stands =
            statements.any(|role| roles.statements(role).iter().any(|each| each.sid == *sid));
        assert!(stands, "{of}.{sid} is gone: {reason}");
    }
}

#[tokio::test]
async fn the_code_of_the_router_may_do_nothing_in_ec2() {
    let Some(stack) = Stack::start().await else { return };
    let account = Account::of(&stack);
    let roles = roles(&account);
    stack.front.reset();
    let router = stack.front.ec2("RouterFunction");
    router.describe_instances().send().await.expect("emulators let everything pass");
    let requests = &requests(&stack, &account, &roles)["RouterRole"];
    assert!(!roles.allow("RouterRole", &requests[0]), "{requests:?}");
    // What takes it away is the statement, not that nobody grants it.
    let mut create = requests[0].clone();
    create.action = "ec2:CreateNetworkInterface".into();
    assert!(!roles.allow("RouterRole", &create));
    create.context.clear();
    assert!(roles.allow("RouterRole", &create), "the Lambda service must");
}

/// Does whatever a stack can do, so that every kind of call is recorded.
async fn everything(stack: &Stack) {
    let admin = stack.admin().await;
    let zones = stack.template.functions[ORCHESTRATOR].environment["DIOGENES_SUBNETS"].clone();
    let zones = zones.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
    let ladder: Vec<_> = zones
        .map(|zone| json!({"instance_type": "g6.xlarge", "market": "spot", "zone": zone}))
        .collect();
    let model = Model::mock("demo", &["--load-weights-delay", "1s"]);
    let mut spec = model.spec();
    spec["ladder"] = ladder.into();
    spec["aliases"] = json!(["short"]);
    for _ in 0..2 {
        let applied = admin.put("/api/v1/models/demo", &spec).await;
        assert!(applied.status.is_success(), "{}", applied.text());
        spec["max_held"] = json!(7);
    }
    for path in ["/api/v1/models", "/api/v1/models/short", "/api/v1/cluster", "/v1/models"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    let limited = keys(stack, &admin).await;
    providers(stack, &admin).await;
    budgets(&admin).await;

    // Every zone is tried.
    stack.front.rule().by(ORCHESTRATOR).action("RunInstances").first(2).fail(Fault::no_capacity());
    let answer = limited.chat_stream("short").await.all().await;
    assert_eq!(answer.last(), Some(&Event::Done), "{answer:?}\n{}", stack.machine_logs());
    assert_eq!(limited.chat("demo").await.status, 200);
    batches(stack, &admin, &limited).await;
    jobs::everything(stack, &admin).await;
    prompts::everything(&admin, &limited).await;
    measured(stack, &admin).await;
    eventually("the router has learnt of the project's budget", async || {
        let answer = admin.chat("demo").await;
        let reserved = stack.front.calls().by(ROUTER).on_key("RESERVATION#").count();
        if reserved > 0 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!(admin.get("/api/v1/cluster/logs?model=demo").await.status, 200);
    stack.tick().await.expect("a reconcile");
    let leases = |calls: diogenes_e2e::aws::front::Calls| {
        calls.by(INSTANCE).action("GetItem").on_key("LEASE#").count() > 0
    };
    stack.front.until("an agent reads its lease", leases).await;

    for action in ["pin", "unpin", "up", "down"] {
        let scaled = json!({"model": "demo", "action": action});
        let answer = admin.post("/api/v1/cluster/scale", &scaled).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    orphan(stack).await;
    stack
        .ticks_until("the orphan is ended", async || {
            let alive = stack.alive().await;
            if alive.len() == 1 { Ok(()) } else { Err(alive) }
        })
        .await;
    let owned = stack.alive().await.remove(0);
    stack.interrupt(&owned.id);
    assert_eq!(admin.delete("/api/v1/models/demo").await.status, 200);
    stack
        .ticks_until("the model is forgotten", async || {
            let alive = stack.alive().await;
            let deleted = stack.front.calls().by(ORCHESTRATOR).that(|call| {
                call.action == "TransactWriteItems"
                    && call.resource.parts.iter().any(|part| part.action == "DeleteItem")
            });
            if alive.is_empty() && deleted.count() > 0 {
                Ok(())
            } else {
                Err((alive, stack.host.logs(ORCHESTRATOR)))
            }
        })
        .await;
    stack.host.wait_idle().await;
}

/// Does what can be done with keys; a client with a key that has limits and an allow-list.
async fn keys(stack: &Stack, admin: &Client) -> Client {
    let wanted = json!({
        "email": "a@example.com", "models": ["short"], "limits": {"requests_per_minute": 100},
    });
    let created = admin.post("/api/v1/keys", &wanted).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.json()["models"], json!(["demo"]), "the alias means it");
    let unknown = json!({"email": "a@example.com", "models": ["domo"]});
    assert_eq!(admin.post("/api/v1/keys", &unknown).await.status, 404);
    let key = format!("/api/v1/keys/{}", created.json()["id"].as_str().expect("an id"));
    assert_eq!(admin.get(&key).await.status, 200);
    let rotated = admin.post(&format!("{key}/rotate"), &json!({})).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    assert_eq!(admin.delete(&key).await.status, 200);
    assert_eq!(admin.get("/api/v1/keys").await.status, 200);
    projects(stack, admin).await;
    Client::new(&stack.gateway.base_url(), rotated.json()["key"].as_str().expect("a key"))
}

/// Does what can be done with routes, providers and their prices.
async fn providers(stack: &Stack, admin: &Client) {
    let provider = Provider::start(stack).await;
    let created = admin.put("/api/v1/providers/other", &provider.spec()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let route = json!({"targets": ["demo", "other/small"], "egress": true});
    let created = admin.put("/api/v1/routes/assistant", &route).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let caller = provider.caller(admin, &stack.gateway.base_url()).await;
    eventually("the provider is known to the router", async || {
        let answer = caller.chat("other/small").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let route = json!({"targets": ["other/small"], "egress": true, "cache_ttl": "1h"});
    assert_eq!(admin.put("/api/v1/routes/kept", &route).await.status, 201);
    let body = json!({
        "model": "kept", "temperature": 0, "messages": [{"role": "user", "content": "hi"}],
    });
    eventually("an answer is kept", async || {
        let answer = caller.post("/v1/chat/completions", &body).await;
        let is_hit = answer.headers.get("x-diogenes-cache").is_some_and(|told| told == "hit");
        if is_hit { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    of_provider(&caller).await;
    let prices = json!({"source": "ours", "date": "2026-11-27", "providers": {}});
    assert_eq!(admin.put("/api/v1/prices/imported", &prices).await.status, 201);
    assert_eq!(admin.get("/api/v1/prices").await.status, 200);
    assert_eq!(admin.delete("/api/v1/prices/imported").await.status, 200);
    for path in ["/api/v1/routes/assistant", "/api/v1/routes/kept", "/api/v1/providers/other"] {
        assert_eq!(admin.delete(path).await.status, 200, "{path}");
    }
}

/// Does what can be done with files, batches, jobs and queues.
async fn batches(stack: &Stack, admin: &Client, client: &Client) {
    let bounded = admin.request(Method::PATCH, "/api/v1/queues/batch");
    let bounded = admin.send(bounded.json(&json!({"max_running": 2}))).await;
    assert_eq!(bounded.status, 200, "{}", bounded.text());
    // An answer that is too large for a record.
    let body = json!({
        "model": "short", "max_tokens": 4, "echo": true, "prompt": "long-".repeat(40_000),
    });
    let line = json!({"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": body});
    let done = batch(client, "/v1/completions", &line.to_string()).await;
    let output = done["output_file_id"].as_str().expect("an output");
    assert_eq!(diogenes_e2e::batch::download(client, output).await.status, 200);
    assert_eq!(client.delete(&format!("/v1/files/{output}")).await.status, 200);
    for path in ["/v1/files", "/v1/batches"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let cancelled = upload(client, &line.to_string()).await;
    let cancelled = create(client, &cancelled).await;
    let answer = client.post(&format!("/v1/batches/{cancelled}/cancel"), &json!({})).await;
    assert!(answer.status == 200 || answer.status == 409, "{}", answer.text());
    let of_project = json!({"email": "c@example.com", "project": "search"});
    let (_, key) = admin.create_key(&of_project).await;
    let of_project = Client::new(admin.base_url(), &key);
    batch(&of_project, "/v1/completions", &line.to_string()).await;
    let job = done["job_id"].as_str().expect("a job");
    for path in [
        "/api/v1/jobs".to_owned(),
        "/api/v1/jobs?project=search".into(),
        format!("/api/v1/jobs/{job}"),
        format!("/api/v1/jobs/{job}/logs"),
        "/api/v1/queues".into(),
    ] {
        assert_eq!(admin.get(&path).await.status, 200, "{path}");
    }
    // Large enough to be written in parts, and given up.
    let part = vec![b'x'; 4 << 20];
    let create = json!({
        "purpose": "user_data", "filename": "big", "bytes": 3 * part.len(), "mime_type": "text/plain",
    });
    let made = client.post("/v1/uploads", &create).await.json();
    let path = format!("/v1/uploads/{}", made["id"].as_str().expect("an id"));
    let mut parts = Vec::new();
    for _ in 0..3 {
        let part = client.send(client.form(&format!("{path}/parts"), &[], ("data", &part))).await;
        parts.push(part.json()["id"].clone());
    }
    let wrong = json!({"part_ids": parts, "md5": "0"});
    assert_eq!(client.post(&format!("{path}/complete"), &wrong).await.status, 400);
    assert_eq!(client.post(&format!("{path}/cancel"), &json!({})).await.status, 200);
    stack.host.wait_idle().await;
}

/// Does what can be done with datasets and evals, in a project of their own.
async fn measured(stack: &Stack, admin: &Client) {
    let scopes = ["project_admin", "inference"];
    let key = json!({"email": "d@example.com", "project": "search", "scopes": scopes});
    let (_, key) = admin.create_key(&key).await;
    let of_project = Client::new(admin.base_url(), &key);
    datasets::everything(stack, admin, &of_project).await;
    evals::everything(stack, admin, &of_project, "short").await;
}

/// A batch that a provider answers along a route.
async fn of_provider(caller: &Client) {
    let line = line("a", "kept").replace("\"max_tokens\":4", "\"temperature\":0");
    let done = batch(caller, "/v1/chat/completions", &line).await;
    assert_eq!(done["request_counts"]["completed"], 1, "{done}");
}

async fn batch(client: &Client, endpoint: &str, lines: &str) -> Value {
    let body = json!({
        "input_file_id": upload(client, lines).await,
        "endpoint": endpoint,
        "completion_window": "24h",
    });
    let made = client.post("/v1/batches", &body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    until(client, made.json()["id"].as_str().expect("an id"), "completed").await
}

/// Does what can be done with budgets. That of the admin's own key counts what it asks.
async fn budgets(admin: &Client) {
    let keys = admin.get("/api/v1/keys").await.json();
    let key = keys["data"][0]["id"].as_str().expect("a key").to_owned();
    let created = admin.post("/api/v1/projects", &json!({"id": "search"})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    for id in [
        format!("key/{key}/tokens/day"),
        "project/default/tokens/month".to_owned(),
        "project/search/usd/month".to_owned(),
    ] {
        let path = format!("/api/v1/budgets/{id}");
        let cap = if id.contains("usd") { "$5" } else { "100M" };
        let set = admin.put(&path, &json!({ "cap": cap })).await;
        assert_eq!(set.status, 201, "{}", set.text());
        assert_eq!(admin.get(&path).await.status, 200);
    }
    for path in
        ["/api/v1/budgets", "/api/v1/budgets?project=default", "/api/v1/usage", "/api/v1/cost"]
    {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    assert_eq!(admin.delete(&format!("/api/v1/budgets/key/{key}/tokens/day")).await.status, 200);
}

/// Does what can be done with projects.
async fn projects(stack: &Stack, admin: &Client) {
    let created = admin.post("/api/v1/projects", &json!({"id": "team-a"})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let wanted =
        json!({"email": "b@example.com", "project": "team-a", "scopes": ["project_admin"]});
    let key = admin.post("/api/v1/keys", &wanted).await;
    assert_eq!(key.status, 201, "{}", key.text());
    let key = key.json()["key"].as_str().expect("a key").to_owned();
    let of_project = Client::new(&stack.gateway.base_url(), &key);
    for path in ["/api/v1/keys", "/api/v1/projects", "/api/v1/projects/team-a", "/api/v1/audit"] {
        let answer = of_project.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(!answer.text().contains("a@example.com"), "{path}: {}", answer.text());
    }
    let prompt = json!({"messages": [{"role": "system", "content": "Be brief."}]});
    let pushed = of_project.post("/api/v1/prompts/short/versions", &prompt).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let everywhere = admin.get("/api/v1/projects").await;
    assert_eq!(everywhere.json()["data"].as_array().map(Vec::len), Some(2));
    let audit = of_project.get("/api/v1/audit").await.json();
    let records = audit["data"].as_array().expect("records");
    let actions: Vec<_> = records.iter().map(|record| &record["action"]).collect();
    assert_eq!(actions, ["prompt.push", "key.create", "project.create"], "{audit}");
    assert!(audit["data"][0]["address"].is_string(), "{audit}");
    let archived = admin.post("/api/v1/projects/team-a/archive", &json!({})).await;
    assert_eq!(archived.status, 200, "{}", archived.text());
}

/// Launches an instance of this deployment that no record knows.
async fn orphan(stack: &Stack) {
    use aws_sdk_ec2::types::{InstanceType, ResourceType, Tag, TagSpecification};
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::Instance)
        .tags(tag("diogenes:deployment", stack.deployment()))
        .tags(tag("diogenes:claim", "nobodys"))
        .tags(tag("diogenes:model", "demo"));
    let launch = stack.front.ec2("test").run_instances().image_id("ami-12345678");
    let launch = launch.instance_type(InstanceType::from("g6.xlarge")).min_count(1).max_count(1);
    launch.tag_specifications(tags.build()).send().await.expect("an instance");
}
