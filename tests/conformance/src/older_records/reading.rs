//! What the records still mean.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::entity::{StoreExt as _, Stored};
use diogenes_core::fleet::{
    AgentRules, BeatLogs, DeploymentId, InstanceId, Lease, Model, ModelSpec, NameClaim, NameHolder,
    Order, Phase, Reconciler, RegistryError, Slot, SlotState, Source, StoredDemand, read_view,
};
use diogenes_core::keys::{KeyError, KeyId, KeyRejection, StoreLimiter};
use diogenes_core::ports::{
    AdmitError, Clock as _, ComputeBackend, ComputeError, DemandSource as _, Expect, Instance,
    InstanceState, LaunchError, LaunchRequest, Limiter as _, Limits, LogSource as _, TokenBound,
};
use diogenes_core::tenancy::{Allowed, ProjectId};
use diogenes_core::testing::{Patient, SeededEntropy};

use super::{Fixture, name};

/// Keys work, or are refused as before, and belong to the default project.
pub async fn keys_work_or_are_refused_as_before(f: &Fixture) {
    for (key, email) in [
        ("admin", "admin@localhost"),
        ("plain", "ada@example.com"),
        ("limited", "bob@example.com"),
        ("ops", "ops@example.com"),
    ] {
        assert_eq!(f.verify(key).await.unwrap(), email);
    }
    let refused = f.verify("revoked").await;
    assert!(matches!(refused, Err(KeyError::Rejected(KeyRejection::Revoked(_)))), "{refused:?}");
    let refused = f.verify("expired").await;
    assert!(matches!(refused, Err(KeyError::Rejected(KeyRejection::Expired(_)))), "{refused:?}");
    let project = ProjectId::default();
    let listed = f.keys.list(&Allowed::operator(), &project, None, 100, None).await.unwrap().keys;
    assert_eq!(listed.len(), 6);
    let limited = listed.iter().find(|key| key.name == "limited").unwrap();
    assert_eq!(limited.limits.tokens_per_minute, Some(100_000));
    f.keys.revoke(&Allowed::operator(), &limited.id).await.unwrap();
    assert!(f.verify("limited").await.is_err());
}

/// Models are read, changed and deleted, and keep their names with and without a claim.
pub async fn models_are_read_changed_and_deleted(f: &Fixture) {
    let listed = f.registry.list().await.unwrap();
    let names: Vec<_> = listed.into_iter().map(|model| model.name.to_string()).collect();
    assert_eq!(names, ["demo", "org/other"]);
    let view = read_view(&*f.store, &name("org/other")).await.unwrap().unwrap();
    assert!(view.control.pinned);
    assert!(matches!(view.slots[0].state, SlotState::Ready { .. }));
    f.registry.order(&name("org/other"), Order::Unpin).await.unwrap();

    let other = view.model.spec.clone();
    for alias in ["small", "demo"] {
        let spec = ModelSpec { aliases: vec![name(alias)], ..other.clone() };
        let refused = f.registry.apply(&name("new"), spec, Source::Api).await;
        assert!(matches!(refused, Err(RegistryError::NameTaken { .. })), "{refused:?}");
    }
    let demo = f.registry.get(&name("demo")).await.unwrap();
    let applied = f.registry.apply(&demo.name, demo.spec.clone(), Source::Api).await.unwrap();
    assert_eq!(applied, (demo.clone(), false));
    let claim = f.store.load::<NameClaim>(&NameClaim::key_of(&name("small"))).await;
    let holder = claim.unwrap().unwrap().value.holder;
    assert_eq!(holder, NameHolder::Model(demo.name.clone()));
    f.registry.delete(&demo.name, Source::Api).await.unwrap();
    let stored = f.store.load::<Model>(&Model::key_of(&demo.name)).await.unwrap().unwrap();
    assert!(stored.value.deleted_at.is_some());
    let spec = ModelSpec { aliases: Vec::new(), ..demo.spec };
    f.registry.apply(&name("small"), spec, Source::Api).await.unwrap();
}

/// The stamps that a router left beside the model count as use.
pub async fn stamps_of_routers_count(f: &Fixture) {
    let demand = StoredDemand::new(f.store.clone(), f.clock.clone());
    let demand = demand.demand(&name("demo")).await.unwrap();
    assert_eq!(demand.last_request_at, Some(f.at("2026-11-26T18:12:30Z")));
    assert_eq!(demand.last_arrival_at, Some(f.at("2026-11-26T18:11:51Z")));
    let claim = f.slot_of("demo").await.claim;
    assert_eq!(demand.of(&claim).last_used_at, Some(f.at("2026-11-26T18:12:30Z")));
}

/// What routers have counted of a key in this minute counts.
pub async fn counts_of_routers_limit_keys(f: &Fixture) {
    let limiter = StoreLimiter::new(f.store.clone());
    let key = KeyId::from_caller("p2G4XrxqF0UXjHDR");
    let limits = Limits {
        requests_per_minute: Some(100),
        tokens_per_minute: Some(100_000),
        concurrency: None,
    };
    let admit =
        async |tokens| limiter.admit(&key, &limits, TokenBound::new(tokens), f.clock.now()).await;
    let refused = admit(1_001).await;
    assert!(matches!(refused, Err(AdmitError::Exceeded(_))), "99,000 tokens were used");
    drop(admit(1_000).await.unwrap());
    let refused = admit(0).await;
    assert!(matches!(refused, Err(AdmitError::Exceeded(_))), "100 requests were made");
}

/// The orchestrator reads beats, loads and logs of agents, takes down their readiness, and renews
/// their leases.
pub async fn agents_are_understood(f: &Fixture) {
    let (mut demo, other) = (f.slot_of("demo").await, f.slot_of("org/other").await);
    let demand = Arc::new(StoredDemand::new(f.store.clone(), f.clock.clone()));
    let told = demand.demand(&demo.model).await.unwrap();
    assert_eq!(told.held, 2, "as its routers have counted");
    let told = told.of(&demo.claim);
    assert_eq!((told.running, told.waiting), (2, 1), "as its agent has told");
    let log = BeatLogs::new(f.store.clone()).tail(&demo.model, 1000).await.unwrap().unwrap();
    assert!(log.text.ends_with("INFO:     Application startup complete.\n"), "{log:?}");

    // One whose readiness nobody has taken down yet.
    let instance = demo.instance().cloned().unwrap();
    let launched_at = demo.claimed_at;
    demo.state = SlotState::Booting { instance, launched_at, phase: Phase::Boot };
    f.store.save(demo.clone(), Expect::Any).await.unwrap();
    let before = [lease(f, &demo).await, lease(f, &other).await];
    let reconciler = Reconciler {
        store: f.store.clone(),
        compute: Arc::new(Running(vec![demo.clone(), other.clone()])),
        demand,
        clock: f.clock.clone(),
        timer: Arc::new(Patient),
        entropy: Arc::new(SeededEntropy::new(2)),
        deployment: DeploymentId::new("diogenes"),
        router_lag: Duration::ZERO,
        launch_patience: Duration::ZERO,
        agents: Some(AgentRules { max_lifetime: Duration::from_hours(24) }),
    };
    for (slot, before) in [&demo, &other].into_iter().zip(before) {
        let outcome = reconciler.reconcile(&slot.model).await.unwrap();
        assert!(outcome.refused.is_none(), "{:?}", outcome.refused);
        let after = lease(f, slot).await;
        assert_ne!(after.version, before.version, "the agent sees a new version");
        assert_eq!(after.value.bumped_at, f.clock.now());
    }
    for model in ["demo", "org/other"] {
        let state = f.slot_of(model).await.state;
        let SlotState::Ready { base_url, .. } = state else { panic!("{state:?}") };
        assert_eq!(base_url, "http://10.0.0.7:8000");
    }
}

async fn lease(f: &Fixture, slot: &Slot) -> Stored<Lease> {
    f.store.load::<Lease>(&Lease::key_of(&slot.claim)).await.unwrap().unwrap()
}

/// The instances of the table; none of them may be ended, and none added.
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
        Err(ComputeError::Denied { reason: format!("{id} must keep running") })
    }

    fn settle_time(&self) -> Duration {
        Duration::ZERO
    }
}
