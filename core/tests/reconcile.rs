//! Reconciles over a backend that counts what it is asked and refuses what it is told to.

#![expect(clippy::unwrap_used, reason = "the fixture is not inside a test function")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{
    Beat, BeatStatus, DeploymentId, FailureKind, FleetEvent, InstanceId, Load, ModelSource,
    ModelSpec, Order, ReconcileError, Reconciler, Registry, Slot, SlotState, StoredDemand,
    UseStamp,
};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Clock, ComputeBackend, ComputeError, Expect, Instance, Key, LaunchError, LaunchRequest,
    StateStore as _, Write,
};
use diogenes_core::testing::{CountingWake, FakeCompute, ManualClock, MemoryStore, SeededEntropy};
use pollster::block_on;

struct Backend {
    cloud: FakeCompute,
    describes: AtomicUsize,
    ends: Mutex<Vec<InstanceId>>,
    may_end: AtomicBool,
    may_list: AtomicBool,
}

fn denied(action: &str) -> ComputeError {
    ComputeError::Denied { reason: format!("allow `{action}`") }
}

#[async_trait]
impl ComputeBackend for Backend {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        self.cloud.launch(request).await
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        self.describes.fetch_add(1, Ordering::SeqCst);
        if !self.may_list.load(Ordering::SeqCst) {
            return Err(denied("List"));
        }
        self.cloud.describe().await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        self.ends.lock().unwrap().push(id.clone());
        if !self.may_end.load(Ordering::SeqCst) {
            return Err(denied("End"));
        }
        self.cloud.terminate(id).await
    }

    fn settle_time(&self) -> Duration {
        self.cloud.settle_time()
    }
}

struct World {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    backend: Arc<Backend>,
    registry: Registry,
    reconciler: Reconciler,
}

impl World {
    /// Models `m0`, `m1` …, with one replica each.
    fn new(models: usize) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let backend = Arc::new(Backend {
            cloud: FakeCompute::new(clock.clone(), Duration::ZERO),
            describes: AtomicUsize::new(0),
            ends: Mutex::default(),
            may_end: AtomicBool::new(true),
            may_list: AtomicBool::new(true),
        });
        let registry =
            Registry::new(store.clone(), clock.clone(), Arc::new(CountingWake::default()));
        for number in 0..models {
            let spec = ModelSpec::new(["vllm"]);
            block_on(registry.apply(&name(number), spec, ModelSource::Api)).unwrap();
        }
        let reconciler = Reconciler {
            store: store.clone(),
            compute: backend.clone(),
            demand: Arc::new(StoredDemand::new(store.clone(), clock.clone())),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            deployment: DeploymentId::new("test"),
            router_lag: Duration::ZERO,
            launch_patience: Duration::ZERO,
            agents: None,
        };
        clock.advance(Duration::from_secs(1));
        Self { clock, store, backend, registry, reconciler }
    }

    fn order(&self, number: usize, order: Order) {
        block_on(self.registry.order(&name(number), order)).unwrap();
        self.clock.advance(Duration::from_secs(1));
    }

    fn slot(&self, number: usize) -> Option<Slot> {
        block_on(self.store.load(&Slot::key_of(&name(number), 0))).unwrap().map(|slot| slot.value)
    }

    fn beat_ready(&self, number: usize) {
        self.beat_with(number, Load::default());
    }

    fn beat_with(&self, number: usize, load: Load) {
        let beat = Beat {
            claim: self.slot(number).unwrap().claim,
            instance: None,
            status: BeatStatus::Ready { base_url: "http://10.0.0.1:8000".into() },
            load,
            log_tail: Vec::new(),
            log_end: 0,
            at: self.clock.now(),
            expires_at: diogenes_core::Timestamp::MAX,
        };
        block_on(self.store.save(beat, Expect::Any)).unwrap();
    }

    fn describes(&self) -> usize {
        self.backend.describes.swap(0, Ordering::SeqCst)
    }

    fn running(&self) -> usize {
        self.backend.cloud.instances_where(|one| one.ended.is_none()).len()
    }
}

fn name(number: usize) -> ModelName {
    format!("m{number}").parse().unwrap()
}

/// The error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_reconcile_of_all_lists_the_instances_once() {
    let world = World::new(5);
    block_on(world.reconciler.reconcile_all()).unwrap();
    assert_eq!(world.describes(), 1, "while nothing runs");
    for number in 0..5 {
        world.order(number, Order::Up);
    }
    let outcomes = block_on(world.reconciler.reconcile_all()).unwrap();
    assert_eq!((world.describes(), outcomes.len(), world.running()), (1, 5, 5), "launching");
    for number in 0..5 {
        world.order(number, Order::Down);
    }
    block_on(world.reconciler.reconcile_all()).unwrap();
    world.clock.advance(Duration::from_secs(1));
    block_on(world.reconciler.reconcile_all()).unwrap();
    assert_eq!((world.describes(), world.running()), (2, 0), "ending");
}

#[test]
fn a_denied_end_is_told_by_name_and_loses_nothing() {
    let world = World::new(2);
    world.order(0, Order::Up);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let claim = world.slot(0).unwrap().claim;
    world.order(0, Order::Down);
    world.order(1, Order::Up);
    world.backend.may_end.store(false, Ordering::SeqCst);

    let error = block_on(world.reconciler.reconcile_all()).unwrap_err();
    assert_eq!(
        chain(&error),
        "the compute backend refused what the fleet needs: not allowed: allow `End`"
    );
    let stuck = world.slot(0).unwrap();
    assert!(matches!(stuck.state, SlotState::Terminating { .. }), "{:?}", stuck.state);
    assert_eq!(stuck.claim, claim);
    // The other model had its turn all the same.
    assert!(matches!(world.slot(1).unwrap().state, SlotState::Booting { .. }));

    // Nor is it forgotten, however long nobody mends it.
    world.clock.advance(Duration::from_hours(1));
    block_on(world.reconciler.reconcile(&name(0))).unwrap_err();
    assert_eq!(world.slot(0).unwrap().state, stuck.state);

    world.backend.may_end.store(true, Ordering::SeqCst);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    world.clock.advance(Duration::from_secs(1));
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    assert_eq!((world.slot(0), world.running()), (None, 1));
}

#[test]
fn a_denied_end_keeps_nobody_from_being_launched() {
    let world = World::new(1);
    let mut spec = ModelSpec::new(["vllm"]);
    spec.max_replicas = 2;
    block_on(world.registry.apply(&name(0), spec.clone(), ModelSource::Api)).unwrap();
    world.order(0, Order::Pin);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    // A changed engine replaces the replica.
    spec.command.push("--new".into());
    block_on(world.registry.apply(&name(0), spec, ModelSource::Api)).unwrap();
    world.backend.may_end.store(false, Ordering::SeqCst);
    let refused = block_on(world.reconciler.reconcile(&name(0)));
    assert!(matches!(refused, Err(ReconcileError::Compute(ComputeError::Denied { .. }))));
    assert_eq!(world.running(), 2);
}

#[test]
fn a_denied_listing_changes_nothing() {
    let world = World::new(1);
    world.order(0, Order::Up);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let before = world.slot(0);
    world.backend.may_list.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_hours(1));
    for error in [
        block_on(world.reconciler.reconcile(&name(0))).unwrap_err(),
        block_on(world.reconciler.reconcile_all()).unwrap_err(),
    ] {
        assert_eq!(
            chain(&error),
            "the compute backend refused what the fleet needs: not allowed: allow `List`"
        );
    }
    assert_eq!((world.slot(0), world.running()), (before, 1));
}

#[test]
fn a_reconcile_tells_what_happened() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    assert_eq!(reconcile().events, []);

    world.order(0, Order::Up);
    let launched_at = world.clock.now();
    reconcile();
    world.clock.advance(Duration::from_secs(42));
    world.beat_ready(0);
    let outcome = reconcile();
    let cold_start = Duration::from_secs(42);
    assert_eq!(outcome.events, [FleetEvent::Ready { cold_start }]);
    assert_eq!(outcome.oldest_launch, Some(launched_at));

    world.order(0, Order::Down);
    let mut events = Vec::new();
    for _ in 0..3 {
        events.extend(reconcile().events);
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(events, [FleetEvent::Freed]);
    assert_eq!(reconcile().oldest_launch, None);

    world.backend.cloud.exhaust(&["local"]);
    world.order(0, Order::Up);
    let kind = FailureKind::Capacity;
    assert_eq!(reconcile().events[..1], [FleetEvent::LaunchFailed { kind }]);
}

#[test]
fn the_load_that_an_agent_tells_counts_as_long_as_routers_send_requests() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    world.order(0, Order::Up);
    reconcile();
    world.beat_with(0, Load { running: 1, waiting: 0 });
    reconcile();
    let claim = world.slot(0).unwrap().claim;
    let stamp = |at| {
        let stamp = UseStamp { model: name(0), claim: Some(claim.clone()), at };
        block_on(world.store.save(stamp, Expect::Any)).unwrap();
    };
    let is_ready = || matches!(world.slot(0).unwrap().state, SlotState::Ready { .. });
    let spec = ModelSpec::new(["vllm"]);
    // Long after `up`, and a request is under way.
    world.clock.advance(spec.idle_timeout * 2);
    stamp(world.clock.now());
    world.clock.advance(Duration::from_mins(4));
    reconcile();
    assert!(is_ready());
    // No router has sent anything for long, whatever the agent says.
    world.clock.advance(spec.idle_timeout);
    reconcile();
    assert!(!is_ready(), "{:?}", world.slot(0));
}

#[test]
fn a_stream_that_goes_on_does_not_undo_a_down() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let stamp = |claim| {
        let stamp = UseStamp { model: name(0), claim, at: world.clock.now() };
        block_on(world.store.save(stamp, Expect::Any)).unwrap();
    };
    // Somebody asks, and his stream begins.
    stamp(None);
    reconcile();
    world.beat_ready(0);
    reconcile();
    let claim = world.slot(0).unwrap().claim;
    stamp(Some(claim.clone()));
    world.clock.advance(Duration::from_secs(1));

    world.order(0, Order::Down);
    for _ in 0..20 {
        // The router stamps all along the stream.
        stamp(Some(claim.clone()));
        reconcile();
        world.clock.advance(UseStamp::EVERY);
        let live = world.slot(0).filter(Slot::is_live);
        assert!(live.is_none(), "what is down stays down: {live:?}");
    }
    assert_eq!(world.slot(0), None, "the stream ended with the drain");

    // Somebody else asks.
    stamp(None);
    reconcile();
    assert!(world.slot(0).is_some_and(|slot| slot.is_live()));
}

/// A router of version 0.1.0 may run beside this version for a while.
#[test]
fn stamps_beside_the_model_count_too() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let stamp = |who: &str, claim: Option<&str>| {
        let mut document = serde_json::json!({ "model": "m0", "at": world.clock.now() });
        if let Some(claim) = claim {
            document["claim"] = claim.into();
        }
        let write = Write::Put {
            key: Key::new("MODEL#m0", format!("STAMP#{who}")),
            document,
            index: None,
            expires_at: None,
            expect: Expect::Any,
        };
        block_on(world.store.commit(&[write])).unwrap();
    };
    stamp("-", None);
    reconcile();
    let claim = world.slot(0).unwrap().claim;
    world.beat_ready(0);
    reconcile();
    let is_ready = || matches!(world.slot(0).unwrap().state, SlotState::Ready { .. });
    for _ in 0..5 {
        world.clock.advance(ModelSpec::new(["vllm"]).idle_timeout / 2);
        stamp(claim.as_str(), Some(claim.as_str()));
        reconcile();
        assert!(is_ready());
    }
}
