//! A table of version 0.1.0, read and written by this version.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the fixture is not inside a test function"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{
    AgentRules, BeatLogs, DeploymentId, InstanceId, Lease, Model, NameClaim, Order, Phase,
    Reconciler, Registry, RegistryError, Slot, SlotState, Source, StoredDemand, read_view,
};
use diogenes_core::keys::{KeyError, KeyId, KeyRejection, Keys, StoreLimiter};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    AdmitError, Bound, Clock as _, ComputeBackend, ComputeError, DemandSource, Expect, IndexKey,
    Instance, InstanceState, Key, LaunchError, LaunchRequest, Limiter as _, Limits, LogSource as _,
    StateStore, TokenBound, Write,
};
use diogenes_core::tenancy::{Allowed, ProjectId};
use diogenes_core::testing::{CountingWake, ManualClock, MemoryStore, Patient, SeededEntropy};
use pollster::block_on;
use serde_json::Value;

struct World {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    registry: Registry,
    keys: Keys,
    plain: Value,
}

fn fixture(file: &str) -> Value {
    let path = format!("{}/../tests/fixtures/0.1.0/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-26T18:13:00Z".parse().unwrap()));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        for item in fixture("table.json").as_array().unwrap() {
            let text = |name: &str| item[name].as_str().map(str::to_owned);
            let expires: Option<Timestamp> = text("expires").map(|end| end.parse().unwrap());
            if let Some(counters) = text("pk").unwrap().strip_prefix("COUNTER#") {
                let key = Key::new(counters, text("sk").unwrap());
                let value = item["value"].as_i64().unwrap();
                block_on(store.add(&key, value, Bound::None, expires)).unwrap();
                continue;
            }
            let index = text("ipk").zip(text("isk"));
            let write = Write::Put {
                key: Key::new(text("pk").unwrap(), text("sk").unwrap()),
                document: item["document"].clone(),
                index: index.map(|(partition, sort)| IndexKey { partition, sort }),
                expires_at: expires,
                expect: Expect::Absent,
            };
            block_on(store.commit(&[write])).unwrap();
        }
        let registry =
            Registry::new(store.clone(), clock.clone(), Arc::new(CountingWake::default()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let keys = Keys::new(store.clone(), clock.clone(), entropy);
        Self { store, clock, registry, keys, plain: fixture("keys.json") }
    }

    fn verify(&self, key: &str) -> Result<String, KeyError> {
        let plain = self.plain[key].as_str().unwrap().parse().unwrap();
        block_on(self.keys.verify(&plain)).map(|key| key.email)
    }
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

#[test]
fn keys_of_0_1_0_work_or_are_refused_as_before() {
    let world = World::new();
    for (key, email) in [
        ("admin", "admin@localhost"),
        ("plain", "ada@example.com"),
        ("limited", "bob@example.com"),
        ("ops", "ops@example.com"),
    ] {
        assert_eq!(world.verify(key).unwrap(), email);
    }
    let refused = world.verify("revoked");
    assert!(matches!(refused, Err(KeyError::Rejected(KeyRejection::Revoked(_)))), "{refused:?}");
    let refused = world.verify("expired");
    assert!(matches!(refused, Err(KeyError::Rejected(KeyRejection::Expired(_)))), "{refused:?}");
    let project = ProjectId::default();
    let by = Allowed::operator();
    let listed = block_on(world.keys.list(&by, &project, None, 100, None)).unwrap().keys;
    assert_eq!(listed.len(), 6, "they belong to the default project");
    let limited = listed.iter().find(|key| key.name == "limited").unwrap();
    assert_eq!(limited.limits.tokens_per_minute, Some(100_000));
    block_on(world.keys.revoke(&Allowed::operator(), &limited.id)).unwrap();
    assert!(world.verify("limited").is_err());
}

#[test]
fn models_of_0_1_0_are_read_changed_and_deleted() {
    let world = World::new();
    let names: Vec<_> = block_on(world.registry.list())
        .unwrap()
        .into_iter()
        .map(|model| model.name.to_string())
        .collect();
    assert_eq!(names, ["demo", "org/other"]);
    let view = block_on(read_view(&*world.store, &name("org/other"))).unwrap().unwrap();
    assert!(view.control.pinned);
    assert!(matches!(view.slots[0].state, SlotState::Ready { .. }));
    block_on(world.registry.order(&name("org/other"), Order::Unpin)).unwrap();

    // The names belong to them before and after they have claims.
    let other = view.model.spec.clone();
    for alias in ["small", "demo"] {
        let mut spec = other.clone();
        spec.aliases = vec![name(alias)];
        let refused = block_on(world.registry.apply(&name("new"), spec, Source::Api));
        assert!(matches!(refused, Err(RegistryError::NameTaken { .. })), "{refused:?}");
    }
    let demo = block_on(world.registry.get(&name("demo"))).unwrap();
    let (same, is_new) =
        block_on(world.registry.apply(&demo.name, demo.spec.clone(), Source::Api)).unwrap();
    assert_eq!((&same, is_new), (&demo, false));
    let claim = block_on(world.store.load::<NameClaim>(&NameClaim::key_of(&name("small"))));
    assert_eq!(claim.unwrap().unwrap().value.model, demo.name);
    block_on(world.registry.delete(&demo.name, Source::Api)).unwrap();
    let stored = block_on(world.store.load::<Model>(&Model::key_of(&demo.name))).unwrap().unwrap();
    assert!(stored.value.deleted_at.is_some());
    block_on(world.registry.apply(&name("small"), other_without_aliases(&demo), Source::Api))
        .unwrap();
}

fn other_without_aliases(model: &Model) -> diogenes_core::fleet::ModelSpec {
    diogenes_core::fleet::ModelSpec { aliases: Vec::new(), ..model.spec.clone() }
}

#[test]
fn stamps_of_a_router_of_0_1_0_count() {
    let world = World::new();
    let demand = StoredDemand::new(world.store.clone(), world.clock.clone());
    let demand = block_on(demand.demand(&name("demo"))).unwrap();
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    assert_eq!(demand.last_request_at, at("2026-11-26T18:12:30Z"));
    assert_eq!(demand.last_arrival_at, at("2026-11-26T18:11:51Z"));
    let view = block_on(read_view(&*world.store, &name("demo"))).unwrap().unwrap();
    assert_eq!(demand.of(&view.slots[0].claim).last_used_at, at("2026-11-26T18:12:30Z"));
}

/// The instances that 0.1.0 launched; none of them may be ended, and none added.
struct Running(Vec<Slot>);

#[async_trait]
impl ComputeBackend for Running {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        Err(LaunchError::Quota { reason: format!("{} runs already", request.model) })
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        let instance = |slot: &Slot| Instance {
            id: slot.instance().cloned().unwrap(),
            claim: Some(slot.claim.clone()),
            model: Some(slot.model.clone()),
            state: InstanceState::Running,
            launched_at: None,
            addresses: vec!["10.0.0.7".parse().unwrap()],
        };
        Ok(self.0.iter().map(instance).collect())
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        Err(ComputeError::Denied { reason: format!("{id} shall go on") })
    }

    fn settle_time(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn the_orchestrator_goes_on_with_agents_of_0_1_0() {
    let world = World::new();
    let slot_of = |model: &str| {
        let view = block_on(read_view(&*world.store, &name(model))).unwrap().unwrap();
        view.slots.into_iter().next().unwrap()
    };
    let (mut demo, other) = (slot_of("demo"), slot_of("org/other"));
    let demand = Arc::new(StoredDemand::new(world.store.clone(), world.clock.clone()));
    let told = block_on(demand.demand(&demo.model)).unwrap();
    assert_eq!(told.held, 2, "as its routers have counted");
    let told = told.of(&demo.claim);
    assert_eq!((told.running, told.waiting), (2, 1), "as its agent has told");
    let logs = BeatLogs::new(world.store.clone());
    let log = block_on(logs.tail(&demo.model, 1000)).unwrap().unwrap();
    assert!(log.text.ends_with("INFO:     Application startup complete.\n"), "{log:?}");

    // One whose readiness nobody has taken down yet.
    let instance = demo.instance().cloned().unwrap();
    let launched_at = demo.claimed_at;
    demo.state = SlotState::Booting { instance, launched_at, phase: Phase::Boot };
    block_on(world.store.save(demo.clone(), Expect::Any)).unwrap();
    let lease = |slot: &Slot| {
        let lease = block_on(world.store.load::<Lease>(&Lease::key_of(&slot.claim)));
        lease.unwrap().unwrap()
    };
    let before = [lease(&demo), lease(&other)];
    let reconciler = Reconciler {
        store: world.store.clone(),
        compute: Arc::new(Running(vec![demo.clone(), other.clone()])),
        demand,
        clock: world.clock.clone(),
        timer: Arc::new(Patient),
        entropy: Arc::new(SeededEntropy::new(2)),
        deployment: DeploymentId::new("diogenes"),
        router_lag: Duration::ZERO,
        launch_patience: Duration::ZERO,
        agents: Some(AgentRules { max_lifetime: Duration::from_hours(24) }),
    };
    for (slot, before) in [&demo, &other].into_iter().zip(before) {
        let outcome = block_on(reconciler.reconcile(&slot.model)).unwrap();
        assert!(outcome.refused.is_none(), "{:?}", outcome.refused);
        let after = lease(slot);
        assert_ne!(after.version, before.version, "the agent sees a new version");
        assert_eq!(after.value.bumped_at, world.clock.now());
    }
    for model in ["demo", "org/other"] {
        let SlotState::Ready { base_url, .. } = slot_of(model).state else {
            panic!("{:?}", slot_of(model))
        };
        assert_eq!(base_url, "http://10.0.0.7:8000");
    }
}

#[test]
fn what_routers_of_0_1_0_have_counted_of_a_key_counts() {
    let world = World::new();
    let limiter = StoreLimiter::new(world.store.clone());
    let key = KeyId::from_caller("p2G4XrxqF0UXjHDR");
    let limits = Limits {
        requests_per_minute: Some(100),
        tokens_per_minute: Some(100_000),
        concurrency: None,
    };
    let admit = |tokens| {
        let bound = TokenBound::new(tokens);
        block_on(limiter.admit(&key, &limits, bound, world.clock.now()))
    };
    let refused = admit(1_001);
    assert!(matches!(refused, Err(AdmitError::Exceeded(_))), "99,000 tokens were used");
    drop(admit(1_000).unwrap());
    let refused = admit(0);
    assert!(matches!(refused, Err(AdmitError::Exceeded(_))), "100 requests were made");
}
