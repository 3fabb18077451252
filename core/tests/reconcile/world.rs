#![expect(clippy::unwrap_used, reason = "the fixture is not inside a test function")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::causes::chain;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{
    Beat, BeatStatus, DeploymentId, InstanceId, Load, ModelSpec, Order, Reconciler, Registry,
    Round, Slot, SlotState, Source, StoredDemand,
};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Clock as _, ComputeBackend, ComputeError, Expect, Instance, LaunchError, LaunchRequest,
    StateStore as _,
};
use diogenes_core::testing::{
    CountingWake, FakeCompute, Impatient, ManualClock, MemoryStore, SeededEntropy, unreadable_model,
};
use pollster::block_on;

pub(crate) struct Backend {
    pub(crate) cloud: FakeCompute,
    pub(crate) describes: AtomicUsize,
    pub(crate) ends: Mutex<Vec<InstanceId>>,
    pub(crate) may_end: AtomicBool,
    pub(crate) may_list: AtomicBool,
    /// Its launches never answer.
    pub(crate) hangs: Mutex<Option<ModelName>>,
}

pub(crate) fn denied(action: &str) -> ComputeError {
    ComputeError::Denied { reason: format!("allow `{action}`") }
}

#[async_trait]
impl ComputeBackend for Backend {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        let hangs = self.hangs.lock().unwrap().as_ref() == Some(&request.model);
        if hangs {
            std::future::pending::<()>().await;
        }
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

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) registry: Registry,
    pub(crate) reconciler: Reconciler,
}

impl World {
    /// Models `m0`, `m1` …, with one replica each.
    pub(crate) fn new(models: usize) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let backend = Arc::new(Backend {
            cloud: FakeCompute::new(clock.clone(), Duration::ZERO),
            describes: AtomicUsize::new(0),
            ends: Mutex::default(),
            may_end: AtomicBool::new(true),
            may_list: AtomicBool::new(true),
            hangs: Mutex::default(),
        });
        let registry =
            Registry::new(store.clone(), clock.clone(), Arc::new(CountingWake::default()));
        for number in 0..models {
            let spec = ModelSpec::new(["vllm"]);
            block_on(registry.apply(&name(number), spec, Source::Api)).unwrap();
        }
        let reconciler = Reconciler {
            store: store.clone(),
            compute: backend.clone(),
            demand: Arc::new(StoredDemand::new(store.clone(), clock.clone())),
            clock: clock.clone(),
            timer: Arc::new(Impatient),
            entropy: Arc::new(SeededEntropy::new(7)),
            deployment: DeploymentId::new("test"),
            router_lag: Duration::ZERO,
            launch_patience: Duration::ZERO,
            agents: None,
        };
        clock.advance(Duration::from_secs(1));
        Self { clock, store, backend, registry, reconciler }
    }

    pub(crate) fn order(&self, number: usize, order: Order) {
        block_on(self.registry.order(&name(number), order)).unwrap();
        self.clock.advance(Duration::from_secs(1));
    }

    pub(crate) fn slot(&self, number: usize) -> Option<Slot> {
        block_on(self.store.load(&Slot::key_of(&name(number), 0))).unwrap().map(|slot| slot.value)
    }

    pub(crate) fn beat_ready(&self, number: usize) {
        self.beat_with(number, Load::default());
    }

    pub(crate) fn beat_with(&self, number: usize, load: Load) {
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

    /// A replica of the model, ready.
    pub(crate) fn ready(&self, number: usize) {
        self.order(number, Order::Up);
        block_on(self.reconciler.reconcile(&name(number))).unwrap();
        self.beat_ready(number);
        block_on(self.reconciler.reconcile(&name(number))).unwrap();
        assert!(matches!(self.slot(number).unwrap().state, SlotState::Ready { .. }));
    }

    /// Makes the record of a model unreadable.
    pub(crate) fn damage(&self, number: usize) {
        block_on(self.store.commit(&[unreadable_model(&name(number))])).unwrap();
    }

    pub(crate) fn describes(&self) -> usize {
        self.backend.describes.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn running(&self) -> usize {
        self.backend.cloud.instances_where(|one| one.ended.is_none()).len()
    }
}

pub(crate) fn name(number: usize) -> ModelName {
    format!("m{number}").parse().unwrap()
}

pub(crate) fn failures(round: Round) -> Vec<String> {
    round.failures().map(|error| chain(&error)).collect()
}
