//! What keeps the proxy in step with a fleet that another process looks after: on AWS a router
//! lives for one request at a time, reads what it needs of the store, and leaves stamps there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{
    Beat, BeatStatus, ClaimId, HeldCounter, ModelView, Progress, Slot, SlotState,
};
use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, StateStore, StoreError, Topic, Wake};
use tokio::sync::Mutex as AsyncMutex;

use super::later::Later;
use super::stamps::{InUse, Stamps};
use super::{Admitted, FleetLink, Guard, Place, Room, Work};
use crate::proxy::dispatch::Dispatcher;
use crate::proxy::entry::{Entry, Limit};

/// How old a view may be when a request is routed by it.
const VIEW_LIFE: Duration = Duration::from_secs(2);
/// How old the load of a replica may be, where there is a choice of replicas.
const LOAD_LIFE: Duration = Duration::from_secs(5);
/// How old the routes and providers may be that a request is routed by. A change takes effect
/// within this time.
const CATALOG_LIFE: Duration = Duration::from_secs(5);
/// The time between two reads of a process that serves warm requests.
const BETWEEN_READS: Duration = Duration::from_secs(1);
/// The time between two triggers for one model while nothing is on its way.
const BETWEEN_TRIGGERS: Duration = Duration::from_secs(3);
/// The same while a replica is on its way: a lost one is made up for.
const REMIND: Duration = Duration::from_secs(20);
/// The longest time between two looks at a model whose boot takes long yet.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// The time between two looks at a model that may become ready at any moment.
const SHORTEST_PAUSE: Duration = Duration::from_millis(900);
/// How many polls may fail in a row before held requests are told.
const FAILURES: u32 = 3;
/// How long the listing of models may not show a new one.
const INDEX_LAG: Duration = Duration::from_mins(1);

/// The link of one router process to the store. Of many requests in one process each read serves
/// all.
pub(in crate::proxy) struct StoredFleet {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
    dispatcher: Arc<Dispatcher>,
    held: HeldCounter,
    known: AsyncMutex<Known>,
    stamps: Arc<Stamps>,
    later: Arc<Later>,
}

impl fmt::Debug for StoredFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFleet").finish_non_exhaustive()
    }
}

/// When what was read last.
#[derive(Default)]
struct Known {
    views: HashMap<ModelName, Timestamp>,
    models: Option<Timestamp>,
    catalog: Option<Timestamp>,
    loads: HashMap<ClaimId, Timestamp>,
    last_read: Option<Timestamp>,
    triggered: HashMap<ModelName, Timestamp>,
    failures: u32,
}

impl StoredFleet {
    /// A link of `dispatcher` to `store`.
    pub(in crate::proxy) fn new(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        wake: Arc<dyn Wake>,
        dispatcher: Arc<Dispatcher>,
    ) -> Self {
        let later = Arc::new(Later::default());
        Self {
            held: HeldCounter::new(store.clone()),
            stamps: Arc::new(Stamps::new(store.clone(), clock.clone(), later.clone())),
            later,
            store,
            clock,
            wake,
            dispatcher,
            known: AsyncMutex::default(),
        }
    }

    async fn look_at(
        &self,
        known: &mut Known,
        model: &ModelName,
        arrived_at: Timestamp,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.read(known, model).await?;
        let Some(view) = self.dispatcher.view_of(model) else { return Ok(()) };
        // A request that came before a `down` does not undo it. One that is ordered after this
        // reading is younger than the stamp.
        if view.control.down_at.is_some_and(|down_at| down_at >= arrived_at) {
            return Ok(());
        }
        self.stamps.stamp_at(model, None, now).await;
        let pause = if !view.slots.iter().any(Slot::is_live) {
            BETWEEN_TRIGGERS
        } else if self.is_further_than_recorded(&view).await? {
            VIEW_LIFE
        } else {
            REMIND
        };
        if view.failure(now).is_none() && !is_fresh(known.triggered.get(model), pause, now) {
            known.triggered.insert(model.clone(), now);
            self.wake(model).await;
        }
        Ok(())
    }

    /// Whether an agent has reported what the slot's record does not say yet: only the
    /// orchestrator writes it.
    async fn is_further_than_recorded(&self, view: &ModelView) -> Result<bool, StoreError> {
        for slot in &view.slots {
            let SlotState::Booting { instance, phase, .. } = &slot.state else { continue };
            let beat = self.store.load::<Beat>(&Beat::key_of(&slot.claim)).await?;
            let Some(beat) = beat.map(|beat| beat.value) else { continue };
            if beat.instance.as_ref().is_some_and(|reporter| reporter != instance) {
                continue;
            }
            match beat.status {
                BeatStatus::Booting { phase: reached } if reached <= *phase => {}
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn wake(&self, model: &ModelName) {
        if let Err(error) = self.wake.wake(&Topic::Model(model.clone())).await {
            tracing::warn!(
                model = %model, error = &error as &dyn std::error::Error,
                "a reconcile of `{model}` could not be requested; the schedule makes up for it"
            );
        }
    }
}

#[async_trait]
impl FleetLink for StoredFleet {
    // The first request of a process waits for both at once.
    async fn refresh(&self, name: &str) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        // A name that nobody knows may be that of a route or provider that was just added.
        let life = if self.dispatcher.knows(name) { CATALOG_LIFE } else { BETWEEN_READS };
        let catalog = self.catalog_older_than(life, known.catalog, now);
        let (catalog, refreshed) = tokio::join!(catalog, self.refresh_model(&mut known, name));
        if let Some(catalog) = catalog {
            self.take_over(&mut known, catalog)?;
        }
        refreshed
    }

    // Slots of models that nobody asked for are not read.
    async fn refresh_models(&self) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        if let Some(catalog) = self.catalog_older_than(CATALOG_LIFE, known.catalog, now).await {
            self.take_over(&mut known, catalog)?;
        }
        if is_fresh(known.models.as_ref(), VIEW_LIFE, now) {
            return Ok(());
        }
        self.read_models(&mut known).await
    }

    async fn refresh_all(&self) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        self.read_models(&mut known).await?;
        for view in self.dispatcher.all_views() {
            self.read(&mut known, &view.model.name).await?;
        }
        Ok(())
    }

    async fn ask(&self, entry: &Entry) {
        let view = entry.view();
        let model = &view.model.name;
        // Before the wake-up, so that the reconcile sees somebody ask.
        self.stamps.stamp(model, None).await;
        let on_its_way = view.slots.iter().any(Slot::is_live);
        self.known.lock().await.triggered.insert(model.clone(), self.clock.now());
        if !on_its_way {
            self.wake(model).await;
        }
    }

    async fn enter(&self, entry: &Arc<Entry>, room: Room<'_>) -> Result<Admitted, StoreError> {
        // What this process alone knows of keys is less than the store does.
        let seat = match entry.seat(room.most, None) {
            Ok(seat) => seat,
            Err(limit) => return Ok(Admitted::Full(limit)),
        };
        let model = entry.view().model.name.clone();
        let now = self.clock.now();
        let mut shared = SharedPlace {
            held: self.held.clone(),
            model: model.clone(),
            counted: Vec::new(),
            clock: self.clock.clone(),
            later: self.later.clone(),
        };
        if let Some((key, most)) = room.of_key {
            if !self.held.enter(&model, Some(key), most, now).await? {
                return Ok(Admitted::Full(Limit::OfKey(most)));
            }
            shared.counted.push(Some(key.clone()));
        }
        if !self.held.enter(&model, None, room.most, now).await? {
            return Ok(Admitted::Full(Limit::OfAll(room.most)));
        }
        shared.counted.push(None);
        Ok(Admitted::Place(Place { _seat: seat, _shared: Some(Box::new(shared)) }))
    }

    async fn look(&self, entry: &Entry, arrived_at: Timestamp) {
        let view = entry.view();
        let model = &view.model.name;
        let mut known = self.known.lock().await;
        match self.look_at(&mut known, model, arrived_at).await {
            Ok(()) => known.failures = 0,
            Err(error) => {
                known.failures += 1;
                tracing::warn!(
                    model = %model, error = &error as &dyn std::error::Error,
                    "the state of `{model}`, which a request waits for, could not be read"
                );
                if known.failures >= FAILURES {
                    self.dispatcher.neglect(model);
                }
            }
        }
    }

    // Many routers wait for one model, and a partition of the table serves only so many reads:
    // the longer the boot is going to take, the less often each of them looks.
    fn pause(&self, progress: &Progress) -> Duration {
        let far = match progress.eta {
            Some(eta) => eta / 10,
            None => SHORTEST_PAUSE + progress.elapsed / 60,
        };
        // They began together and shall not look together.
        let jitter = 800 + u32::try_from(crate::request_id::unique() % 400).unwrap_or(0);
        far.clamp(SHORTEST_PAUSE, LONGEST_PAUSE) * jitter / 1000
    }

    fn in_use(&self, entry: &Entry, claim: &ClaimId) -> Option<Box<dyn Guard>> {
        let model = entry.view().model.name.clone();
        Some(Box::new(InUse::begin(&self.stamps, model, claim.clone())))
    }

    fn later(&self, work: Work) {
        self.later.push(work);
    }

    async fn settle(&self) {
        self.later.settle().await;
    }
}

/// A place among the requests that wait, over all routers.
struct SharedPlace {
    held: HeldCounter,
    model: ModelName,
    /// Where it is counted: among those of a key, and among all.
    counted: Vec<Option<KeyId>>,
    clock: Arc<dyn Clock>,
    later: Arc<Later>,
}

impl fmt::Debug for SharedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPlace").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Drop for SharedPlace {
    fn drop(&mut self) {
        let (held, model, clock) = (self.held.clone(), self.model.clone(), self.clock.clone());
        let counted = std::mem::take(&mut self.counted);
        if counted.is_empty() {
            return;
        }
        self.later.push(Box::pin(async move {
            for key in &counted {
                if let Err(error) = held.leave(&model, key.as_ref(), clock.now()).await {
                    tracing::warn!(
                        model = %model, error = &error as &dyn std::error::Error,
                        "a request that no longer waits is counted as waiting for a while"
                    );
                }
            }
        }));
    }
}

/// Whether something that was read at `at` is younger than `life`.
fn is_fresh(at: Option<&Timestamp>, life: Duration, now: Timestamp) -> bool {
    at.is_some_and(|at| since(*at, now) < life)
}

mod reads;
#[cfg(test)]
mod tests;
