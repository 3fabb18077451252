//! What keeps the proxy in step with a fleet that another process looks after: on AWS a router
//! lives for one request at a time, reads what it needs of the store, and leaves stamps there.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{
    Beat, BeatStatus, ClaimId, HeldCounter, Model, ModelView, SlotState, UseStamp, read_view,
};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Expect, StateStore, StoreError, Topic, Wake};
use tokio::sync::Mutex as AsyncMutex;

use super::Dispatcher;

/// How old a view may be when a request is routed by it.
const VIEW_LIFE: Duration = Duration::from_secs(2);
/// How old the load of a replica may be, where there is a choice of replicas.
const LOAD_LIFE: Duration = Duration::from_secs(5);
/// The time between two reads of a process that serves warm requests.
const BETWEEN_READS: Duration = Duration::from_secs(1);
/// The time between two triggers for one model while nothing is on its way.
const BETWEEN_TRIGGERS: Duration = Duration::from_secs(3);
/// The same while a replica is on its way: a lost one is made up for.
const REMIND: Duration = Duration::from_secs(20);
/// How many polls may fail in a row before held requests are told.
const FAILURES: u32 = 3;
/// How long the listing of models may not show a new one.
const INDEX_LAG: Duration = Duration::from_mins(1);
/// The longest that the end of a request waits for its last writes.
const SETTLE: Duration = Duration::from_secs(3);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The link of one router process to the store. Of many requests in one process each read serves
/// all.
pub struct StoreLink {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
    dispatcher: Arc<Dispatcher>,
    held: HeldCounter,
    known: AsyncMutex<Known>,
    stamped: Mutex<HashMap<(ModelName, Option<ClaimId>), Timestamp>>,
    deferred: Mutex<Vec<Work>>,
}

impl std::fmt::Debug for StoreLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreLink").finish_non_exhaustive()
    }
}

/// When what was read last.
#[derive(Default)]
struct Known {
    views: HashMap<ModelName, Timestamp>,
    models: Option<Timestamp>,
    loads: HashMap<ClaimId, Timestamp>,
    last_read: Option<Timestamp>,
    triggered: HashMap<ModelName, Timestamp>,
    failures: u32,
}

impl StoreLink {
    /// A link of `dispatcher` to `store`.
    pub fn new(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        wake: Arc<dyn Wake>,
        dispatcher: Arc<Dispatcher>,
    ) -> Self {
        Self {
            held: HeldCounter::new(store.clone()),
            store,
            clock,
            wake,
            dispatcher,
            known: AsyncMutex::default(),
            stamped: Mutex::default(),
            deferred: Mutex::default(),
        }
    }

    /// Makes the view of the model that answers to `name` fresh enough for a request: at most one
    /// read a second of a process that serves a warm model.
    pub(crate) async fn refresh(&self, name: &str) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let resolved = self.dispatcher.resolve(name).or_else(|| name.parse().ok());
        // What is no name at all is nobody's.
        let Some(model) = resolved else { return Ok(()) };
        if is_fresh(known.views.get(&model), VIEW_LIFE, now) {
            if !is_fresh(known.last_read.as_ref(), BETWEEN_READS, now) {
                self.read_a_load(&mut known, &model).await;
            }
            return Ok(());
        }
        self.read(&mut known, &model).await?;
        let answers = self
            .dispatcher
            .view_of(&model)
            .is_some_and(|view| view.model.answers_to(name) && view.model.deleted_at.is_none());
        if answers {
            return Ok(());
        }
        // An alias that is new or has moved to another model.
        if !is_fresh(known.models.as_ref(), BETWEEN_READS, now) {
            self.read_models(&mut known).await?;
        }
        match self.dispatcher.resolve(name) {
            Some(other) if other != model => self.read(&mut known, &other).await,
            _ => Ok(()),
        }
    }

    /// Reads which models there are, for listings; slots of those that nobody asked for are not
    /// read.
    pub(crate) async fn refresh_models(&self) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        if is_fresh(known.models.as_ref(), VIEW_LIFE, self.clock.now()) {
            return Ok(());
        }
        self.read_models(&mut known).await
    }

    /// Reads everything, for operators.
    pub(crate) async fn refresh_all(&self) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        self.read_models(&mut known).await?;
        for view in self.dispatcher.all_views() {
            self.read(&mut known, &view.model.name).await?;
        }
        Ok(())
    }

    /// Looks after a model that a request waits for: reads how far it is, and asks for a reconcile
    /// where that would change something.
    pub(super) async fn poll(&self, model: &ModelName) {
        let mut known = self.known.lock().await;
        self.stamp(model, None).await;
        match self.look(&mut known, model).await {
            Ok(()) => known.failures = 0,
            Err(error) => {
                known.failures += 1;
                tracing::warn!(
                    model = %model, error = &error as &dyn std::error::Error,
                    "`{model}` is waited for, and its state could not be read"
                );
                if known.failures >= FAILURES {
                    self.dispatcher.neglect(model);
                }
            }
        }
    }

    async fn look(&self, known: &mut Known, model: &ModelName) -> Result<(), StoreError> {
        self.read(known, model).await?;
        let Some(view) = self.dispatcher.view_of(model) else { return Ok(()) };
        let now = self.clock.now();
        let pause = if !view.slots.iter().any(diogenes_core::fleet::Slot::is_live) {
            BETWEEN_TRIGGERS
        } else if self.is_further_than_recorded(&view).await? {
            VIEW_LIFE
        } else {
            REMIND
        };
        if view.failure(now).is_none() && !is_fresh(known.triggered.get(model), pause, now) {
            known.triggered.insert(model.clone(), now);
            self.ask(model).await;
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

    /// Asks for a reconcile on behalf of a request that begins to wait, unless a replica is on
    /// its way already.
    pub(super) async fn wake(&self, model: &ModelName) {
        let on_its_way = self
            .dispatcher
            .view_of(model)
            .is_some_and(|view| view.slots.iter().any(diogenes_core::fleet::Slot::is_live));
        let now = self.clock.now();
        self.known.lock().await.triggered.insert(model.clone(), now);
        if !on_its_way {
            self.ask(model).await;
        }
    }

    async fn ask(&self, model: &ModelName) {
        if let Err(error) = self.wake.wake(&Topic::Model(model.clone())).await {
            tracing::warn!(
                model = %model, error = &error as &dyn std::error::Error,
                "a reconcile of `{model}` could not be requested; the schedule makes up for it"
            );
        }
    }

    /// Takes one of `most` places among the requests that wait, over all routers.
    pub(super) async fn enter(&self, model: &ModelName, most: u32) -> Result<bool, StoreError> {
        self.held.enter(model, most, self.clock.now()).await
    }

    /// Gives the place back, at the latest when the request ends.
    pub(super) fn leave(&self, model: &ModelName) {
        let (held, model, clock) = (self.held.clone(), model.clone(), self.clock.clone());
        self.defer(async move {
            if let Err(error) = held.leave(&model, clock.now()).await {
                tracing::warn!(
                    model = %model, error = &error as &dyn std::error::Error,
                    "a request that waits no more is still counted for a while"
                );
            }
        });
    }

    /// Notes that the model, or one of its replicas, is in use, unless this process has just
    /// done so.
    pub(super) async fn stamp(&self, model: &ModelName, claim: Option<&ClaimId>) {
        let now = self.clock.now();
        let who = (model.clone(), claim.cloned());
        {
            let mut stamped = self.stamped.lock().unwrap_or_else(PoisonError::into_inner);
            if is_fresh(stamped.get(&who), UseStamp::EVERY, now) {
                return;
            }
            // Claims come and go.
            stamped.retain(|_, at| is_fresh(Some(at), UseStamp::EVERY * 4, now));
            stamped.insert(who.clone(), now);
        }
        let stamp = UseStamp { model: model.clone(), claim: claim.cloned(), at: now };
        if let Err(error) = self.store.save(stamp, Expect::Any).await {
            self.stamped.lock().unwrap_or_else(PoisonError::into_inner).remove(&who);
            tracing::warn!(
                model = %model, error = &error as &dyn std::error::Error,
                "the use of `{model}` was not noted; it is tried again with the next request"
            );
        }
    }

    /// Keeps work for [`StoreLink::settle`]: what is merely spawned may never run, as nothing
    /// does between two invocations.
    pub(super) fn defer(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(work));
    }

    /// Does what was deferred, before the last byte leaves.
    pub(crate) async fn settle(&self) {
        let work =
            std::mem::take(&mut *self.deferred.lock().unwrap_or_else(PoisonError::into_inner));
        if work.is_empty() {
            return;
        }
        let all = async {
            for piece in work {
                piece.await;
            }
        };
        if tokio::time::timeout(SETTLE, all).await.is_err() {
            tracing::warn!("the last writes of a request were given up after {SETTLE:?}");
        }
    }

    async fn read(&self, known: &mut Known, model: &ModelName) -> Result<(), StoreError> {
        let now = self.clock.now();
        known.last_read = Some(now);
        if let Some(view) = read_view(self.store.as_ref(), model).await? {
            self.dispatcher.publish(view);
            known.views.insert(model.clone(), now);
        } else {
            self.dispatcher.forget(model);
            known.views.remove(model);
        }
        Ok(())
    }

    async fn read_models(&self, known: &mut Known) -> Result<(), StoreError> {
        let now = self.clock.now();
        known.last_read = Some(now);
        let models = self.store.load_all::<Model>(Model::all()).await?;
        known.models = Some(now);
        for view in self.dispatcher.all_views() {
            let gone = models.iter().all(|model| model.value.name != view.model.name);
            // The index may lag behind a model that is new.
            if gone && since(view.model.updated_at, now) >= INDEX_LAG {
                known.views.remove(&view.model.name);
                self.dispatcher.forget(&view.model.name);
            }
        }
        for model in models.into_iter().map(|model| model.value) {
            let view = match self.dispatcher.view_of(&model.name) {
                Some(view) if view.model.updated_at >= model.updated_at => continue,
                Some(view) => {
                    let mut view = ModelView::clone(&view);
                    view.launch = model.spec.launch_hash();
                    view.model = Arc::new(model);
                    view
                }
                None => {
                    let control = diogenes_core::fleet::Control::new(model.name.clone());
                    ModelView::new(Arc::new(model), Vec::new(), control, None)
                }
            };
            self.dispatcher.publish(view);
        }
        Ok(())
    }

    /// Reads the load of the replica whose load is the oldest known, where there is a choice.
    async fn read_a_load(&self, known: &mut Known, model: &ModelName) {
        let now = self.clock.now();
        let Some(view) = self.dispatcher.view_of(model) else { return };
        if view.replicas.len() < 2 {
            return;
        }
        known.loads.retain(|claim, at| {
            is_fresh(Some(at), LOAD_LIFE * 12, now)
                || view.replicas.iter().any(|replica| replica.claim == *claim)
        });
        let read_at = |claim: &ClaimId| known.loads.get(claim).copied();
        let oldest = view
            .replicas
            .iter()
            .map(|replica| &replica.claim)
            .min_by_key(|claim| read_at(claim).unwrap_or(Timestamp::MIN));
        let Some(claim) = oldest.filter(|claim| !is_fresh(known.loads.get(*claim), LOAD_LIFE, now))
        else {
            return;
        };
        known.last_read = Some(now);
        known.loads.insert(claim.clone(), now);
        match self.store.load::<Beat>(&Beat::key_of(claim)).await {
            Ok(Some(beat)) => self.dispatcher.report(model, claim, beat.value.load),
            Ok(None) => {}
            // Only the choice of a replica is the worse for it.
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the load of a replica could not be read"
            ),
        }
    }
}

/// Whether something that was read at `at` is younger than `life`.
fn is_fresh(at: Option<&Timestamp>, life: Duration, now: Timestamp) -> bool {
    at.is_some_and(|at| since(*at, now) < life)
}

#[cfg(test)]
mod tests;
