//! A store, a model and a link to both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{
    Beat, BeatStatus, ClaimId, InstanceId, Launch, Load, Model, ModelSpec, Phase, PhaseTimes,
    Placement, Slot, SlotState, Source, UseStamp,
};
use diogenes_core::ports::{
    Bound, Clock, Expect, Item, Key, Page, Query, StateStore, StoreError, Version, Write,
};
use diogenes_core::secret::Secret;
use diogenes_core::testing::{CountingWake, MemoryStore};

use crate::metrics::Metrics;
use crate::proxy::dispatch::Dispatcher;
use crate::proxy::entry::Entry;
use crate::proxy::fleet_link::StoredFleet;
pub(super) use crate::proxy::testing::{TokioClock, model};

/// Counts calls, and makes them slow or fail.
pub(super) struct Watched {
    memory: MemoryStore,
    reads: AtomicUsize,
    begun: AtomicUsize,
    done: AtomicUsize,
    millis: AtomicUsize,
    fails: AtomicBool,
}

impl Watched {
    /// The reads since the last time.
    pub(super) fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::SeqCst)
    }

    /// The writes that have come to an end.
    pub(super) fn writes(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// The writes that have begun and not ended.
    pub(super) fn unfinished(&self) -> usize {
        self.begun.load(Ordering::SeqCst) - self.done.load(Ordering::SeqCst)
    }

    /// From now on every call takes so long.
    pub(super) fn slow(&self, time: Duration) {
        self.millis.store(usize::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// From now on every call fails, or none.
    pub(super) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    async fn enter(&self) -> Result<(), StoreError> {
        let millis = self.millis.load(Ordering::SeqCst);
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis as u64)).await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { reason: "it is down".into(), source: None });
        }
        Ok(())
    }

    async fn write<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let result = match self.enter().await {
            Ok(()) => work.await,
            Err(error) => Err(error),
        };
        self.done.fetch_add(1, Ordering::SeqCst);
        result
    }
}

#[async_trait]
impl StateStore for Watched {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.enter().await?;
        self.memory.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.enter().await?;
        self.memory.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        self.write(self.memory.commit(writes)).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.write(self.memory.add(key, delta, bound, expires_at)).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.enter().await?;
        self.memory.count(key).await
    }
}

pub(super) struct World {
    pub(super) clock: Arc<TokioClock>,
    pub(super) store: Arc<Watched>,
    pub(super) wake: Arc<CountingWake>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) link: Arc<StoredFleet>,
    pub(super) started: Timestamp,
}

impl World {
    /// [`model`], with no replica.
    pub(super) async fn new() -> Self {
        let clock = TokioClock::new();
        let store = Arc::new(Watched {
            memory: MemoryStore::new(clock.clone()),
            reads: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            millis: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
        });
        let wake = Arc::new(CountingWake::default());
        let metrics = Arc::new(Metrics::default());
        let dispatcher = Dispatcher::new(metrics.clone(), clock.clone(), wake.clone());
        let dispatcher = Arc::new(dispatcher.one_of_many());
        let link = StoredFleet::new(store.clone(), clock.clone(), wake.clone(), dispatcher.clone());
        let started = clock.now();
        let world = Self { clock, store, wake, metrics, dispatcher, link: Arc::new(link), started };
        let mut spec = ModelSpec::new(["vllm"]);
        spec.max_replicas = 3;
        let model = Model {
            name: model(),
            spec,
            source: Source::Api,
            created_at: started,
            updated_at: started,
            deleted_at: None,
        };
        world.store.save(model, Expect::Any).await.unwrap();
        world
    }

    /// Gives slot `index` a replica that serves at `base_url`, and has its agent report.
    pub(super) async fn ready(&self, index: u32, base_url: &str) -> ClaimId {
        let base_url = base_url.to_owned();
        let state =
            SlotState::Ready { instance: instance(index), base_url, ready_at: self.started };
        self.slot(index, state).await
    }

    /// Gives slot `index` a replica that boots.
    pub(super) async fn booting(&self, index: u32) -> ClaimId {
        let launched_at = self.started;
        let state =
            SlotState::Booting { instance: instance(index), launched_at, phase: Phase::Boot };
        self.slot(index, state).await
    }

    async fn slot(&self, index: u32, state: SlotState) -> ClaimId {
        let claim = ClaimId::new(format!("claim-{index}"));
        let spec = ModelSpec::new(["vllm"]);
        let status = match &state {
            SlotState::Ready { base_url, .. } => BeatStatus::Ready { base_url: base_url.clone() },
            _ => BeatStatus::Booting { phase: Phase::Boot },
        };
        let slot = Slot {
            model: model(),
            index,
            claim: claim.clone(),
            claimed_at: self.started,
            launch: Launch {
                engine: spec.engine(),
                spec: spec.hash(),
                ladder: vec![Placement::local()],
                rung: 0,
                tried: 1,
                attempt: 0,
                asked_at: self.started,
                upstream_key: Secret::new("up-secret"),
                lifetime: None,
            },
            phases: PhaseTimes::launched(self.started),
            state,
        };
        self.store.save(slot, Expect::Any).await.unwrap();
        let beat = Beat {
            claim: claim.clone(),
            instance: None,
            status,
            load: Load::default(),
            log_tail: Vec::new(),
            log_end: 0,
            at: self.started,
            expires_at: Timestamp::MAX,
        };
        self.store.save(beat, Expect::Any).await.unwrap();
        claim
    }

    /// The model as the proxy knows it.
    pub(super) fn entry(&self) -> Arc<Entry> {
        self.dispatcher.find(model().as_str()).unwrap()
    }

    /// When the use of a replica, or of the model, was last stamped.
    pub(super) async fn stamp(&self, claim: Option<&ClaimId>) -> Option<Timestamp> {
        let stamps = self.store.memory.load_all::<UseStamp>(UseStamp::all_of(&model())).await;
        let mut stamps = stamps.unwrap().into_iter().map(|stamp| stamp.value);
        stamps.find(|stamp| stamp.claim.as_ref() == claim).map(|stamp| stamp.at)
    }

    /// How often a reconcile was asked for since the last time.
    pub(super) fn asked(&self) -> usize {
        self.wake.take()
    }

    /// How many requests are counted as waiting.
    pub(super) async fn held(&self) -> i64 {
        let key = Key::new(format!("HELD#{}", model()), "COUNT");
        self.store.memory.add(&key, 0, Bound::None, None).await.unwrap()
    }
}

fn instance(index: u32) -> InstanceId {
    InstanceId::new(format!("i-{index}"))
}
