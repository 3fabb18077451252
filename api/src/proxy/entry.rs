use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use diogenes_core::Timestamp;
use diogenes_core::fleet::{ClaimId, Leased, Load, ModelView};
use diogenes_core::keys::KeyId;
use diogenes_core::ports::{Clock, Demand, Topic, Wake};
use diogenes_core::routing::{Candidate, least_in_flight, nearest};
use http::{HeaderMap, Method};
use tokio::sync::watch;

use super::line::{Charge, Customer, Line, Ticket};
use super::target::Target;
use super::upstream::{Origin, RequestHead, Upstream};
use crate::metrics::ModelMetrics;

/// How long a replica may take to accept a connection before it counts as dead, and to tell how it
/// is before it counts as alive.
const PROBE: Duration = Duration::from_secs(1);

/// A model as the proxy knows it: the newest view, its targets, and who waits.
pub(crate) struct Entry {
    view: ArcSwap<ModelView>,
    targets: ArcSwap<Vec<Arc<Target>>>,
    /// Out of rotation, with requests still in flight.
    retired: Mutex<Vec<Arc<Target>>>,
    /// Counts changes of the view and of the targets.
    changes: watch::Sender<u64>,
    held: AtomicU32,
    /// Of those, the ones of each key, where the model limits that.
    held_by_key: Mutex<BTreeMap<KeyId, u32>>,
    /// Microseconds since the epoch, rounded up, so that no request seems to precede a `down`
    /// that it came after; `i64::MIN` for never.
    last_request: AtomicI64,
    /// When the replicas that are gone were last used, as [`Target`] counts it.
    last_used_before: AtomicI64,
    /// Whether a task asks for another replica.
    asking: AtomicBool,
    /// When it was last woken for requests that other models of their route answer; milliseconds
    /// since the epoch.
    warmed: AtomicI64,
    /// Set while the fleet cannot be looked after: a full disk, say.
    neglected: AtomicBool,
    ask_again: Duration,
    /// Who waits for a turn.
    pub(super) line: Arc<Line>,
    pub(super) metrics: Arc<ModelMetrics>,
    clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("model", &self.view.load().model.name).finish_non_exhaustive()
    }
}

/// A place among the requests that this process holds.
#[derive(Debug)]
pub(super) struct Seat {
    entry: Arc<Entry>,
    /// Among whose requests it is counted as well.
    key: Option<KeyId>,
}

/// How many requests may wait, once that many do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    OfAll(u32),
    OfKey(u32),
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.entry.held.fetch_sub(1, Ordering::AcqRel);
        if let Some(key) = &self.key {
            let mut held = self.entry.held_by_key();
            if let Some(count) = held.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    held.remove(key);
                }
            }
        }
    }
}

/// One request in flight on a replica.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) target: Arc<Target>,
    entry: Arc<Entry>,
    /// Whether the replica counts as used by it once it has ended.
    counts_as_use: bool,
}

impl Lease {
    fn new(target: Arc<Target>, entry: Arc<Entry>, counts_as_use: bool) -> Self {
        target.begin(counts_as_use.then(|| entry.now_millis()));
        Self { target, entry, counts_as_use }
    }

    /// The model's entry.
    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.target.end(self.counts_as_use.then(|| self.entry.now_millis())) {
            self.entry.replica_fell_idle(&self.target);
        }
        if self.entry.has_turns() {
            self.entry.line.call_next();
        }
    }
}

impl Entry {
    pub(super) fn new(
        view: ModelView,
        metrics: ModelMetrics,
        clock: Arc<dyn Clock>,
        wake: Arc<dyn Wake>,
        ask_again: Duration,
    ) -> Arc<Self> {
        let entry = Arc::new(Self {
            view: ArcSwap::from_pointee(view.clone()),
            targets: ArcSwap::default(),
            retired: Mutex::default(),
            changes: watch::Sender::new(0),
            held: AtomicU32::new(0),
            held_by_key: Mutex::default(),
            last_request: AtomicI64::new(i64::MIN),
            last_used_before: AtomicI64::new(i64::MIN),
            asking: AtomicBool::new(false),
            warmed: AtomicI64::new(0),
            neglected: AtomicBool::new(false),
            ask_again,
            line: Arc::default(),
            metrics: Arc::new(metrics),
            clock,
            wake,
        });
        entry.update(view);
        entry
    }

    /// Takes over a newer view. Targets that stay keep their connections and counts.
    pub(super) fn update(&self, view: ModelView) {
        let old = self.targets.load_full();
        let mut targets = Vec::with_capacity(view.replicas.len());
        for replica in &view.replicas {
            if let Some(known) = old.iter().find(|target| target.claim == replica.claim) {
                targets.push(known.clone());
                continue;
            }
            match Origin::parse(&replica.base_url) {
                Ok(origin) => targets.push(Arc::new(Target::new(
                    replica.index,
                    replica.claim.clone(),
                    Upstream::new(origin),
                    replica.upstream_key.clone(),
                ))),
                Err(error) => tracing::error!(
                    model = %view.model.name, error = &error as &dyn std::error::Error,
                    "a replica of `{}` cannot be used", view.model.name
                ),
            }
        }
        {
            let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            let leaving = old
                .iter()
                .filter(|target| targets.iter().all(|staying| staying.claim != target.claim));
            retired.extend(leaving.cloned());
            // The records tell when a claim has ended for good.
            retired.retain(|target| {
                let stays = target.in_flight() > 0
                    || view.slots.iter().any(|slot| slot.claim == target.claim);
                if !stays {
                    self.last_used_before.fetch_max(target.last_used(), Ordering::AcqRel);
                }
                stays
            });
        }
        self.metrics.observe(&view);
        self.neglected.store(false, Ordering::Release);
        self.targets.store(Arc::new(targets));
        self.view.store(Arc::new(view));
        self.notify();
    }

    pub(crate) fn view(&self) -> Arc<ModelView> {
        self.view.load_full()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn now_millis(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The model could not be reconciled; who waits for long is told so.
    pub(super) fn neglect(&self) {
        self.neglected.store(true, Ordering::Release);
        self.notify();
    }

    pub(super) fn is_neglected(&self) -> bool {
        self.neglected.load(Ordering::Acquire)
    }

    /// Takes over what an agent reports of a replica's load.
    pub(super) fn report(&self, claim: &ClaimId, load: Load) {
        if let Some(target) = self.targets.load().iter().find(|target| target.claim == *claim) {
            target.report(load.running.saturating_add(load.waiting));
        }
    }

    /// Lets whoever waits look again.
    pub(super) fn notify(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Notes that somebody asked for the model.
    pub(super) fn asked_for(&self) {
        let now = self.clock.now().as_microsecond().saturating_add(1);
        self.last_request.fetch_max(now, Ordering::AcqRel);
    }

    /// Whether it is time to wake the model for requests that others of their route answer: the
    /// first of them does, and then one from time to time.
    pub(super) fn is_due_to_warm(&self) -> bool {
        let (now, last) = (self.now_millis(), self.warmed.load(Ordering::Relaxed));
        let pause = i64::try_from(self.ask_again.as_millis()).unwrap_or(i64::MAX);
        // A clock that was set back must not keep it cold.
        let is_due = now < last || now.saturating_sub(last) >= pause;
        is_due
            && self.warmed.compare_exchange(last, now, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether any replica is in rotation.
    pub(super) fn is_reachable(&self) -> bool {
        self.targets.load().iter().any(|target| target.is_reachable())
    }

    /// How many replicas are in rotation, and how many requests are under way on them.
    pub(super) fn load(&self) -> (u32, u32) {
        let targets = self.targets.load();
        let reachable = targets.iter().filter(|target| target.is_reachable());
        reachable.fold((0, 0), |(count, load), target| (count + 1, load + target.load()))
    }

    /// Whether the replica of this claim is in rotation.
    pub(super) fn has_in_rotation(&self, claim: &ClaimId) -> bool {
        let targets = self.targets.load();
        targets.iter().any(|target| target.claim == *claim && target.is_reachable())
    }

    /// Begins a request on the best replica once it is the request's turn, where replicas get only so many at once.
    pub(super) fn start_in_turn<W>(
        self: &Arc<Self>,
        waited: &mut Option<W>,
        near: Option<u64>,
        customer: Customer<'_>,
        ticket: Option<&Ticket>,
    ) -> Option<(Lease, Option<Charge>)> {
        let Some(most) = self.view.load().model.spec.max_concurrency else {
            let lease = self.start_where(waited, near, !customer.is_background, |_| true);
            return lease.map(|lease| (lease, None));
        };
        let is_use = !customer.is_background;
        let begin = || self.start_where(waited, near, is_use, |target| target.load() < most);
        let (lease, charge) = self.line.take_turn(customer, ticket, begin)?;
        Some((lease, Some(charge)))
    }

    /// Whether requests wait for their turn where there are many.
    pub(super) fn has_turns(&self) -> bool {
        self.view.load().model.spec.max_concurrency.is_some()
    }

    /// Whether the request has to wait for its turn.
    pub(super) fn is_busy(&self, ticket: Option<&Ticket>) -> bool {
        let Some(most) = self.view.load().model.spec.max_concurrency else { return false };
        let has_room = |target: &Arc<Target>| target.is_reachable() && target.load() < most;
        !self.targets.load().iter().any(has_room) || !self.line.is_turn_of(ticket)
    }

    /// Begins a request on the best of the replicas in rotation that suit, if any: the one with the
    /// least to do, or, of requests that are to meet, the one that is `near`. `waited` is what the
    /// request has held until now: a request is held or in flight, and never both.
    pub(super) fn start_where<W>(
        self: &Arc<Self>,
        waited: &mut Option<W>,
        near: Option<u64>,
        counts_as_use: bool,
        suits: impl Fn(&Target) -> bool,
    ) -> Option<Lease> {
        let targets = self.targets.load();
        let candidates = targets.iter().map(|target| {
            let candidate = target.candidate();
            Candidate { reachable: candidate.reachable && suits(target), ..candidate }
        });
        let place = match near {
            Some(key) => nearest(key, candidates),
            None => least_in_flight(candidates),
        }?;
        let target = targets.get(place)?.clone();
        *waited = None;
        let lease = Lease::new(target, self.clone(), counts_as_use);
        // The one with the least to do has enough, so every other has too.
        if lease.target.load() > self.view.load().model.spec.requests_per_replica() {
            self.ask_for_another();
        }
        Some(lease)
    }

    /// Asks for reconciles, one a second, for as long as another replica is due and not on its
    /// way: a request that is served at once wakes nobody.
    fn ask_for_another(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.lacks_replicas() || self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let entry = Arc::downgrade(self);
        runtime.spawn(async move {
            while let Some(entry) = entry.upgrade() {
                if !entry.lacks_replicas() {
                    entry.asking.store(false, Ordering::Release);
                    return;
                }
                entry.wake().await;
                let pause = entry.ask_again;
                drop(entry);
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Whether the replicas have more to do than the slots that are taken should.
    fn lacks_replicas(&self) -> bool {
        let view = self.view.load();
        let spec = &view.model.spec;
        let taken = u32::try_from(view.slots.len()).unwrap_or(u32::MAX);
        let in_flight: u32 = self.targets.load().iter().map(|target| target.load()).sum();
        taken < spec.max_replicas
            && in_flight > taken.saturating_mul(spec.requests_per_replica())
            && view.failure(self.now()).is_none()
    }

    /// A place among the requests that this process holds, unless all are taken, or all that a key
    /// may have.
    pub(super) fn seat(
        self: &Arc<Self>,
        most: u32,
        of_key: Option<(&KeyId, u32)>,
    ) -> Result<Seat, Limit> {
        let mut seat = {
            let take = |held| (held < most).then_some(held + 1);
            let taken = self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
            taken.map_err(|_| Limit::OfAll(most))?;
            Seat { entry: self.clone(), key: None }
        };
        if let Some((key, most)) = of_key {
            let mut held = self.held_by_key();
            let count = held.entry(key.clone()).or_default();
            if *count >= most {
                drop(held);
                return Err(Limit::OfKey(most));
            }
            *count += 1;
            seat.key = Some(key.clone());
        }
        Ok(seat)
    }

    fn held_by_key(&self) -> MutexGuard<'_, BTreeMap<KeyId, u32>> {
        self.held_by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a reconcile; a lost one is made up for by the next.
    pub(super) async fn wake(&self) {
        let name = self.view.load().model.name.clone();
        if let Err(error) = self.wake.wake(&Topic::Model(name.clone())).await {
            tracing::warn!(model = %name, error = &error as &dyn std::error::Error, "a reconcile could not be requested");
        }
    }

    /// Takes a replica that refuses connections out of rotation, and probes it back in.
    pub(super) fn take_out(self: &Arc<Self>, target: &Arc<Target>) {
        if !target.take_out() {
            return;
        }
        tracing::warn!(
            model = %self.view.load().model.name, claim = %target.claim,
            "a replica refuses connections and is out of rotation"
        );
        let (entry, target) = (Arc::downgrade(self), Arc::downgrade(target));
        tokio::spawn(async move {
            let mut pause = Duration::from_millis(50);
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
                let (Some(entry), Some(target)) = (entry.upgrade(), target.upgrade()) else {
                    return;
                };
                let in_rotation =
                    entry.targets.load().iter().any(|known| Arc::ptr_eq(known, &target));
                if !in_rotation {
                    return;
                }
                if entry.is_alive(&target).await {
                    target.put_in();
                    entry.notify();
                    tracing::info!(claim = %target.claim, "a replica accepts connections again");
                    return;
                }
            }
        });
    }

    /// Whether a replica answers when it is asked how it is.
    pub(super) async fn is_alive(&self, target: &Target) -> bool {
        let view = self.view.load_full();
        let request = RequestHead {
            method: &Method::GET,
            path: &view.model.spec.health_path,
            headers: &HeaderMap::new(),
            bearer: &target.upstream_key,
        };
        target.upstream.is_alive(&request, PROBE).await
    }

    /// A drained replica may end as soon as its last request has.
    fn replica_fell_idle(self: &Arc<Self>, target: &Arc<Target>) {
        let retired = {
            let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.iter().any(|known| Arc::ptr_eq(known, target))
        };
        if retired && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let entry = self.clone();
            runtime.spawn(async move { entry.wake().await });
        }
    }

    pub(super) fn demand(&self) -> Demand {
        let targets = self.targets.load();
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let replicas: BTreeMap<ClaimId, _> = retired
            .iter()
            .chain(targets.iter())
            .map(|target| (target.claim.clone(), target.demand()))
            .collect();
        let last_request = self.last_request.load(Ordering::Acquire);
        let last_request_at = Timestamp::from_microsecond(last_request).ok();
        Demand {
            held: self.held.load(Ordering::Acquire),
            last_request_at,
            last_arrival_at: last_request_at,
            leased: Leased::default(),
            last_used_before: Timestamp::from_millisecond(
                self.last_used_before.load(Ordering::Acquire),
            )
            .ok(),
            replicas,
        }
    }
}
