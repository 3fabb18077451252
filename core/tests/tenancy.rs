//! Projects, keys of projects, and the audit log, over a store in memory.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the fixtures are not inside test functions"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::audit::{Actor, AuditFilter, AuditLog, AuditRecord, RETENTION};
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{ModelSpec, Order, Registry, Source};
use diogenes_core::keys::{ApiKey, KeyError, KeyRejection, Keys, NewKey, Weight};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Bound, Cursor, Expect, IndexKey, Item, Key, Limits, Page, Query, StateStore, StoreError,
    Version, Write,
};
use diogenes_core::tenancy::{
    Allowed, Origin, Principal, ProjectError, ProjectId, Projects, Scope, Subject, may,
};
use diogenes_core::testing::{CountingWake, ManualClock, MemoryStore, SeededEntropy};
use pollster::block_on;

struct World {
    clock: Arc<ManualClock>,
    store: Arc<dyn StateStore>,
    keys: Keys,
    projects: Projects,
    log: AuditLog,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-03-01T00:00:00Z".parse().unwrap()));
        Self::over(clock.clone(), Arc::new(MemoryStore::new(clock)))
    }

    fn over(clock: Arc<ManualClock>, store: Arc<dyn StateStore>) -> Self {
        let keys = Keys::new(store.clone(), clock.clone(), Arc::new(SeededEntropy::new(1)));
        let projects = Projects::new(store.clone(), clock.clone());
        let log = AuditLog::new(store.clone(), clock.clone());
        Self { clock, store, keys, projects, log }
    }

    async fn project(&self, id: &str) -> ProjectId {
        self.clock.advance(Duration::from_secs(1));
        let id: ProjectId = id.parse().unwrap();
        self.projects.create(&Allowed::operator(), id.clone(), String::new()).await.unwrap();
        id
    }

    async fn issue(&self, project: &ProjectId, email: &str) -> Result<ApiKey, KeyError> {
        self.clock.advance(Duration::from_secs(1));
        Ok(self.keys.issue(&Allowed::operator(), new_key(project, email)).await?.0)
    }

    /// Every record of a project, newest first, read in pages of `limit`.
    async fn records(
        &self,
        project: &ProjectId,
        filter: &AuditFilter,
        limit: usize,
    ) -> Vec<AuditRecord> {
        let (mut records, mut cursor) = (Vec::new(), None);
        for _ in 0..1000 {
            let by = Allowed::operator();
            let page = self.log.list(&by, project, filter, limit, cursor).await.unwrap();
            assert!(page.records.len() <= limit, "{page:?}");
            records.extend(page.records);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return records,
            }
        }
        panic!("the listing does not end");
    }
}

fn new_key(project: &ProjectId, email: &str) -> NewKey {
    NewKey {
        project: project.clone(),
        email: email.into(),
        name: String::new(),
        scopes: [Scope::Inference].into(),
        models: None,
        expires_at: None,
        limits: Limits::default(),
        egress: false,
        weight: Weight::default(),
    }
}

fn actions(records: &[AuditRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{} {}", record.action, record.target)).collect()
}

#[test]
fn every_change_leaves_a_record() {
    block_on(async {
        let world = World::new();
        let project = world.project("team-a").await;
        let key = world.issue(&project, "ada@example.com").await.unwrap();
        world.clock.advance(Duration::from_secs(1));
        let ada = Principal {
            project: project.clone(),
            subject: Subject::new("ada@example.com"),
            key: key.id.clone(),
            permissions: Scope::ProjectAdmin.permissions(),
            ..Principal::operator()
        };
        let by = Allowed::check(Arc::new(ada)).unwrap().with_origin(Origin {
            address: Some("192.0.2.7".into()),
            user_agent: Some("curl/8".into()),
        });
        let grace = Duration::from_mins(1);
        let (fresh, plain) = world.keys.rotate(&by, &key.id, grace).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
        for _ in 0..2 {
            // A repeat changes nothing, and leaves no record.
            world.keys.revoke(&by, &key.id).await.unwrap();
            world.clock.advance(Duration::from_secs(1));
        }
        world.projects.archive(&Allowed::operator(), &project).await.unwrap();

        let records = world.records(&project, &AuditFilter::default(), 50).await;
        let of_key = |action: &str| format!("{action} key/{}", key.id);
        assert_eq!(
            actions(&records),
            [
                "project.archive project/team-a".to_owned(),
                of_key("key.revoke"),
                of_key("key.rotate"),
                of_key("key.create"),
                "project.create project/team-a".into(),
            ]
        );
        let rotated = &records[2];
        assert_eq!(
            (rotated.subject.as_str(), rotated.key.as_ref()),
            ("ada@example.com", Some(&key.id))
        );
        assert_eq!(rotated.address.as_deref(), Some("192.0.2.7"));
        assert_eq!(rotated.user_agent.as_deref(), Some("curl/8"));
        assert!(rotated.summary.contains(fresh.id.as_str()), "{rotated:?}");
        assert_eq!((records[0].subject.as_str(), records[0].key.as_ref()), ("operator", None));
        let text = serde_json::to_string(&records).unwrap();
        assert!(!text.contains(plain.expose()), "a secret");
        assert!(world.records(&ProjectId::default(), &AuditFilter::default(), 50).await.is_empty());
    });
}

#[test]
fn changes_of_models_belong_to_the_installation_and_name_no_value() {
    block_on(async {
        let world = World::new();
        let registry = Registry::new(
            world.store.clone(),
            world.clock.clone(),
            Arc::new(CountingWake::default()),
        );
        let registry = registry.on_behalf_of(Actor::operator());
        let name: ModelName = "demo".parse().unwrap();
        let mut spec = ModelSpec::new(["vllm", "--port", "{port}"]);
        for secret in [None, Some("hunter2"), Some("hunter2")] {
            world.clock.advance(Duration::from_secs(1));
            if let Some(secret) = secret {
                spec.command.push("--api-key".into());
                spec.command.push(secret.into());
                spec.command.truncate(5);
            }
            registry.apply(&name, spec.clone(), Source::Api).await.unwrap();
        }
        for order in [Order::Up, Order::Pin, Order::Unpin, Order::Down] {
            world.clock.advance(Duration::from_secs(1));
            registry.order(&name, order).await.unwrap();
        }
        world.clock.advance(Duration::from_secs(1));
        registry.delete(&name, Source::Api).await.unwrap();

        let records = world.records(&ProjectId::default(), &AuditFilter::default(), 3).await;
        let wanted = ["delete", "down", "unpin", "pin", "up", "apply", "apply"];
        assert_eq!(actions(&records), wanted.map(|action| format!("model.{action} model/demo")));
        assert_eq!(records[5].summary, "changed command");
        assert_eq!(records[6].summary, "registered");
    });
}

#[test]
fn the_log_is_filtered_and_paged_over_months() {
    block_on(async {
        let world = World::new();
        let project = world.project("team-a").await;
        let mut times: Vec<Timestamp> = Vec::new();
        for at in 0..9 {
            // Months without a change in between.
            world.clock.advance(Duration::from_hours(24 * 25));
            let email = if at % 2 == 0 { "ada@example.com" } else { "bob@example.com" };
            times.push(world.issue(&project, email).await.unwrap().created_at);
        }
        let all = world.records(&project, &AuditFilter::default(), 50).await;
        assert_eq!(all.len(), 10);
        assert!(all.is_sorted_by(|newer, older| newer.at > older.at), "{all:?}");
        for limit in [1, 2, 3] {
            assert_eq!(world.records(&project, &AuditFilter::default(), limit).await, all);
        }
        let between = AuditFilter {
            since: Some(times[3]),
            until: Some(times[6]),
            action: Some("key.".into()),
            ..AuditFilter::default()
        };
        let found = world.records(&project, &between, 2).await;
        let found: Vec<_> = found.iter().map(|record| record.at).collect();
        assert_eq!(found, [times[5], times[4], times[3]]);
        for (filter, count) in [
            (AuditFilter { action: Some("key.create".into()), ..AuditFilter::default() }, 9),
            (AuditFilter { action: Some("model.".into()), ..AuditFilter::default() }, 0),
            (AuditFilter { target: Some("project/team-a".into()), ..AuditFilter::default() }, 1),
            (AuditFilter { subject: Some("operator".into()), ..AuditFilter::default() }, 10),
            (AuditFilter { subject: Some("nobody".into()), ..AuditFilter::default() }, 0),
        ] {
            assert_eq!(world.records(&project, &filter, 4).await.len(), count, "{filter:?}");
        }
        let refused = async |filter: AuditFilter| {
            let by = Allowed::operator();
            let listed = world.log.list(&by, &project, &filter, 5, None).await;
            listed.unwrap_err().to_string()
        };
        for wrong in ["key", "key.made", "keys.", "."] {
            let error =
                refused(AuditFilter { action: Some(wrong.into()), ..AuditFilter::default() }).await;
            assert!(error.contains("`action` ") && error.contains("`key.create`"), "{error}");
        }
        for wrong in ["demo", "models/demo"] {
            let error =
                refused(AuditFilter { target: Some(wrong.into()), ..AuditFilter::default() }).await;
            assert!(error.contains("`target` ") && error.contains("`model/NAME`"), "{error}");
        }
        let (by, typo) = (Allowed::operator(), "team-b".parse().unwrap());
        let absent = world.log.list(&by, &typo, &AuditFilter::default(), 5, None).await;
        let error = absent.unwrap_err().to_string();
        assert!(error.contains("project `team-b` does not exist"), "{error}");
        let cursor = Cursor::from_caller("2026-99:x");
        let by = Allowed::operator();
        let broken = world.log.list(&by, &project, &AuditFilter::default(), 5, Some(cursor)).await;
        assert!(broken.is_err(), "{broken:?}");

        world.clock.advance(RETENTION);
        assert!(world.records(&project, &AuditFilter::default(), 50).await.is_empty());
    });
}

#[test]
fn a_principal_of_another_project_finds_nothing() {
    block_on(async {
        let world = World::new();
        let (a, b) = (world.project("team-a").await, world.project("team-b").await);
        let key = world.issue(&a, "ada@example.com").await.unwrap();
        let stranger = Arc::new(Principal {
            project: b.clone(),
            permissions: Scope::ProjectAdmin.permissions(),
            ..Principal::operator()
        });
        let reads = Allowed::<may::KeysRead>::check(stranger.clone()).unwrap();
        let writes = Allowed::<may::KeysWrite>::check(stranger.clone()).unwrap();
        assert!(matches!(world.keys.get(&reads, &key.id).await, Err(KeyError::NotFound(_))));
        assert!(matches!(world.keys.revoke(&writes, &key.id).await, Err(KeyError::NotFound(_))));
        let listed = world.keys.list(&reads, &a, None, 10, None).await;
        assert!(matches!(listed, Err(KeyError::Project(ProjectError::NotFound(_)))), "{listed:?}");
        let issued = world.keys.issue(&writes, new_key(&a, "x@example.com")).await;
        assert!(matches!(issued, Err(KeyError::Project(ProjectError::NotFound(_)))), "{issued:?}");
        assert!(world.keys.list(&reads, &b, None, 10, None).await.unwrap().keys.is_empty());
    });
}

#[test]
fn keys_of_version_0_1_0_belong_to_the_default_project() {
    block_on(async {
        let world = World::new();
        let new = new_key(&ProjectId::default(), "new@x.org");
        let (fresh, _) = world.keys.issue(&Allowed::operator(), new).await.unwrap();
        // As version 0.1.0 wrote it, but for a scope of a version to come.
        let document = serde_json::json!({
            "id": "0123456789abcdef", "hash": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
            "email": "old@x.org", "name": "", "scopes": ["inference", "time_travel"], "limits": {},
            "created_at": "2026-01-01T00:00:00Z",
        });
        let put = Write::Put {
            key: Key::new("KEY#0123456789abcdef", "KEY"),
            document,
            index: Some(IndexKey {
                partition: "KEYS".into(),
                sort: "old@x.org\u{1f}2026-01-01T00:00:00Z\u{1f}0123456789abcdef".into(),
            }),
            expires_at: None,
            expect: Expect::Absent,
        };
        world.store.commit(&[put]).await.unwrap();
        let by = Allowed::operator();
        let listed = world.keys.list(&by, &ProjectId::default(), None, 10, None).await.unwrap();
        let ids: Vec<_> = listed.keys.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids, [fresh.id.as_str(), "0123456789abcdef"]);
        assert_eq!(listed.keys[1].project, ProjectId::default());
        assert_eq!(listed.keys[1].scopes, [Scope::Inference].into());
        // Version 0.1.0 reads it, too: nothing new is written into keys of `default`.
        let stored = world.store.load::<ApiKey>(&ApiKey::key_of(&fresh.id)).await.unwrap().unwrap();
        assert_eq!(serde_json::to_value(&stored.value).unwrap().get("project"), None);
    });
}

/// Archives a project just before the first commit of somebody else.
struct ArchiveFirst {
    inner: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    pending: Mutex<Option<ProjectId>>,
}

impl ArchiveFirst {
    fn take(&self) -> Option<ProjectId> {
        self.pending.lock().unwrap().take()
    }
}

#[async_trait]
impl StateStore for ArchiveFirst {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        if let Some(id) = self.take() {
            let projects = Projects::new(self.inner.clone(), self.clock.clone());
            projects.archive(&Allowed::operator(), &id).await.unwrap();
        }
        self.inner.commit(writes).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.inner.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.inner.count(key).await
    }
}

#[test]
fn a_key_is_not_issued_while_its_project_is_archived() {
    block_on(async {
        let clock = Arc::new(ManualClock::new("2026-03-01T00:00:00Z".parse().unwrap()));
        let store = Arc::new(ArchiveFirst {
            inner: Arc::new(MemoryStore::new(clock.clone())),
            clock: clock.clone(),
            pending: Mutex::new(None),
        });
        let world = World::over(clock, store.clone());
        let project = world.project("team-a").await;
        let (_, plain) =
            world.keys.issue(&Allowed::operator(), new_key(&project, "a@x.org")).await.unwrap();
        world.keys.verify(&plain).await.unwrap();
        *store.pending.lock().unwrap() = Some(project.clone());
        let refused = world.issue(&project, "b@x.org").await;
        assert!(
            matches!(refused, Err(KeyError::Project(ProjectError::Archived(_)))),
            "{refused:?}"
        );
        let refused = world.keys.verify(&plain).await.unwrap_err();
        assert!(matches!(refused, KeyError::Rejected(KeyRejection::Project(_))), "{refused:?}");
        let left = world.keys.list(&Allowed::operator(), &project, None, 10, None).await.unwrap();
        assert_eq!(left.keys.len(), 1);
    });
}

#[test]
fn projects_are_listed_with_the_default_one_first() {
    block_on(async {
        let world = World::new();
        for id in ["c", "a", "b"] {
            world.project(id).await;
        }
        for limit in 1..=5 {
            let (mut ids, mut cursor) = (Vec::new(), None);
            loop {
                let page = world.projects.list(&Allowed::operator(), limit, cursor).await.unwrap();
                assert!(page.projects.len() <= limit);
                ids.extend(page.projects.into_iter().map(|project| project.id.to_string()));
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(ids, ["default", "a", "b", "c"], "pages of {limit}");
        }
    });
}

#[test]
fn a_key_whose_project_has_no_record_is_refused() {
    block_on(async {
        let world = World::new();
        let project = world.project("team-a").await;
        let new = new_key(&project, "ada@example.com");
        let (_, plain) = world.keys.issue(&Allowed::operator(), new).await.unwrap();
        world.keys.verify(&plain).await.unwrap();
        // As of a table that was restored to an earlier time.
        let key = Key::new(format!("PROJECT#{project}"), "PROJECT");
        let is_there = world.store.get(&key).await.unwrap().is_some();
        assert!(is_there);
        world.store.remove(key, Expect::Any).await.unwrap();
        let refused = world.keys.verify(&plain).await.unwrap_err();
        let KeyError::Rejected(KeyRejection::Project(named)) = &refused else {
            panic!("{refused:?}")
        };
        assert_eq!(named, &project);
        assert!(refused.to_string().contains("`team-a`"), "{refused}");
    });
}
