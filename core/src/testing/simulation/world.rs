use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;

use super::faults::{Dice, Faulty};
use crate::Timestamp;
use crate::entity::StoreExt;
use crate::fleet::{
    Beat, BeatStatus, ClaimId, DeploymentId, InstanceId, Leased, Load, ModelSpec, ModelView, Order,
    Phase, Placement, Reconciler, Registry, Source, read_view,
};
use crate::name::ModelName;
use crate::ports::{
    Clock, ComputeBackend, Demand, DemandSource, Entropy, Exit, Expect, ReplicaDemand, StateStore,
    StoreError,
};
use crate::testing::{
    CountingWake, FakeCompute, FakeInstance, ManualClock, MemoryStore, Patient, SeededEntropy,
};

/// How a schedule is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many things happen.
    pub steps: usize,
    /// How far listings lag behind; zero as for processes.
    pub settle: Duration,
    /// The model's cap.
    pub max_replicas: u32,
    /// How long reconcilers leave a launch to the one that began it.
    pub launch_patience: Duration,
}

/// An invariant that did not hold.
#[derive(Debug)]
pub struct Violation {
    pub seed: u64,
    pub step: usize,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, step {}: {}", self.seed, self.step, self.what)
    }
}

impl std::error::Error for Violation {}

/// How often the periodic reconcile runs.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);

/// How long routers may not know of a drain.
pub(super) const ROUTER_LAG: Duration = Duration::from_secs(2);

/// A request that waits for a replica.
#[derive(Clone, Debug)]
struct HeldRequest {
    since: Timestamp,
}

/// What callers do; the router's side of the product, as far as the fleet sees it.
#[derive(Default)]
pub(super) struct Callers {
    held: Vec<HeldRequest>,
    running: BTreeMap<ClaimId, u32>,
    last_used: BTreeMap<ClaimId, Timestamp>,
    pub(super) last_request: Option<Timestamp>,
}

struct SharedCallers(Arc<Mutex<Callers>>);

#[async_trait]
impl DemandSource for SharedCallers {
    async fn demand(&self, _: &ModelName) -> Result<Demand, StoreError> {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let claims = callers.running.keys().chain(callers.last_used.keys());
        Ok(Demand {
            held: u32::try_from(callers.held.len()).unwrap_or(u32::MAX),
            last_request_at: callers.last_request,
            last_arrival_at: callers.last_request,
            last_used_before: None,
            leased: Leased::default(),
            replicas: claims
                .map(|claim| {
                    let replica = ReplicaDemand {
                        running: callers.running.get(claim).copied().unwrap_or(0),
                        waiting: 0,
                        last_used_at: callers.last_used.get(claim).copied(),
                    };
                    (claim.clone(), replica)
                })
                .collect(),
        })
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// One schedule.
pub struct Simulation {
    pub(super) seed: u64,
    pub(super) step: usize,
    pub(super) settings: Settings,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) compute: Arc<FakeCompute>,
    pub(super) callers: Arc<Mutex<Callers>>,
    /// Since when each instance has had no record.
    pub(super) orphaned: BTreeMap<String, Timestamp>,
    /// Whether each instance had a record when it was launched.
    pub(super) recorded_at_birth: BTreeMap<InstanceId, bool>,
    /// Claims whose launch was refused.
    pub(super) refused: BTreeSet<ClaimId>,
    /// Claims whose draining was seen in the records, and its beginning.
    pub(super) drains: BTreeMap<ClaimId, Timestamp>,
    /// Claims whose replica hung at some time.
    pub(super) hung: BTreeSet<ClaimId>,
    /// Whether the model was pinned since the last `down`; the pin may be over.
    pub(super) pinned_since_down: bool,
    pub(super) model: ModelName,
    dice: Arc<SeededEntropy>,
    armed: Arc<AtomicBool>,
    reconciler: Arc<Reconciler>,
    registry: Registry,
    tasks: Vec<Task>,
    periodic_at: Timestamp,
}

/// Runs a future of ports that never wait.
pub(super) fn now_or_panic<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the ports in memory never wait"),
    }
}

impl Simulation {
    /// Draws and runs the schedule of `seed`; every invariant is checked after every step.
    pub fn run(seed: u64, settings: Settings) -> Result<(), Violation> {
        let mut simulation = Self::new(seed, settings);
        for step in 0..settings.steps {
            simulation.step = step;
            simulation.happen();
            simulation.check()?;
        }
        simulation.come_to_rest()
    }

    fn new(seed: u64, settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let compute = Arc::new(FakeCompute::new(clock.clone(), settings.settle));
        let callers = Arc::new(Mutex::new(Callers::default()));
        let dice = Arc::new(SeededEntropy::new(seed));
        let armed = Arc::new(AtomicBool::new(true));
        let faults = Dice { entropy: dice.clone(), armed: armed.clone() };
        let shared_store: Arc<dyn StateStore> = store.clone();
        let shared_compute: Arc<dyn ComputeBackend> = compute.clone();
        let reconciler = Reconciler {
            store: Arc::new(Faulty { inner: shared_store, dice: faults.clone() }),
            compute: Arc::new(Faulty { inner: shared_compute, dice: faults }),
            demand: Arc::new(SharedCallers(callers.clone())),
            clock: clock.clone(),
            timer: Arc::new(Patient),
            entropy: Arc::new(SeededEntropy::new(seed ^ 0x9e37_79b9)),
            deployment: DeploymentId::new("simulation"),
            router_lag: ROUTER_LAG,
            launch_patience: settings.launch_patience,
            agents: None,
        };
        let registry =
            Registry::new(store.clone(), clock.clone(), Arc::new(CountingWake::default()));
        let model: ModelName = "demo".parse().unwrap_or_else(|_| unreachable!("a valid name"));
        let periodic_at = clock.now();
        let simulation = Self {
            seed,
            step: 0,
            settings,
            clock,
            store,
            compute,
            callers,
            orphaned: BTreeMap::new(),
            recorded_at_birth: BTreeMap::new(),
            refused: BTreeSet::new(),
            drains: BTreeMap::new(),
            hung: BTreeSet::new(),
            pinned_since_down: false,
            model,
            dice,
            armed,
            reconciler: Arc::new(reconciler),
            registry,
            tasks: Vec::new(),
            periodic_at,
        };
        simulation.apply("v1", settings.max_replicas);
        simulation
    }

    fn apply(&self, version: &str, max_replicas: u32) {
        let mut spec = ModelSpec::new(["vllm", "serve", version]);
        spec.max_replicas = max_replicas;
        spec.target_concurrency = 2;
        spec.idle_timeout = Duration::from_mins(5);
        spec.boot_timeout = Duration::from_mins(10);
        spec.drain_timeout = Duration::from_mins(3);
        spec.max_lifetime = Some(Duration::from_hours(2));
        spec.ladder = ["small", "large"].map(Placement::new).into();
        // Deleted models and the like are part of the game.
        let _ = now_or_panic(self.registry.apply(&self.model, spec, Source::Api));
    }

    pub(super) fn with_callers<T>(&self, work: impl FnOnce(&mut Callers) -> T) -> T {
        work(&mut self.callers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn throw(&self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    /// One thing happens.
    fn happen(&mut self) {
        match self.throw(100) {
            0..=54 => self.poll_some_task(),
            55..=61 => self.start_reconcile(),
            62..=63 => self.crash_some_task(),
            64..=71 => self.ask(),
            72..=76 => self.finish_some_request(),
            77..=86 => self.boot_some_instance(),
            87 => self.end_some_instance(),
            88 => self.interrupt_some_instance(),
            89 => self.operator_speaks(),
            90 => match self.throw(3) {
                0 => self.compute.exhaust(&["small"]),
                1 => self.compute.exhaust(&["small", "large"]),
                _ => self.compute.exhaust(&[]),
            },
            _ => {
                let step =
                    Duration::from_millis(self.throw(4_000) * (1 + 20 * (self.throw(6) / 5)));
                self.clock.advance(step);
            }
        }
        if self.clock.now() >= self.periodic_at {
            self.periodic_at = self.clock.now().saturating_add(INTERVAL).unwrap_or(Timestamp::MAX);
            self.start_reconcile_all();
        }
        // Routers are quick, but not as quick as every single step.
        if self.step.is_multiple_of(3) {
            self.route();
        }
    }

    fn start_reconcile(&mut self) {
        let (reconciler, model) = (self.reconciler.clone(), self.model.clone());
        // A failed one is made up for by the next.
        self.tasks.push(Box::pin(async move { drop(reconciler.reconcile(&model).await) }));
    }

    fn start_reconcile_all(&mut self) {
        let reconciler = self.reconciler.clone();
        self.tasks.push(Box::pin(async move { drop(reconciler.reconcile_all().await) }));
    }

    fn poll_some_task(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let place = usize::try_from(self.throw(self.tasks.len() as u64)).unwrap_or(0);
        let Some(task) = self.tasks.get_mut(place) else {
            return;
        };
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            drop(self.tasks.swap_remove(place));
        }
    }

    fn crash_some_task(&mut self) {
        if !self.tasks.is_empty() {
            let place = usize::try_from(self.throw(self.tasks.len() as u64)).unwrap_or(0);
            drop(self.tasks.swap_remove(place));
        }
    }

    fn ask(&mut self) {
        let now = self.clock.now();
        let failing = self.view().is_some_and(|view| view.failure(now).is_some());
        self.with_callers(|callers| {
            callers.last_request = Some(now);
            if !failing {
                callers.held.push(HeldRequest { since: now });
            }
        });
        // The trigger may be lost.
        if self.throw(5) != 0 {
            self.start_reconcile();
        }
    }

    pub(super) fn view(&self) -> Option<ModelView> {
        now_or_panic(read_view(self.store.as_ref(), &self.model)).ok().flatten()
    }

    /// The router: held requests go to ready replicas or end with a reason.
    fn route(&mut self) {
        let view = self.view();
        let alive: Vec<ClaimId> =
            self.alive().into_iter().map(|instance| instance.details.claim).collect();
        let now = self.clock.now();
        self.with_callers(|callers| {
            // A request ends with its instance.
            callers.running.retain(|claim, _| alive.contains(claim));
            let Some(view) = view.filter(|view| view.model.deleted_at.is_none()) else {
                callers.held.clear();
                return;
            };
            if let Some(replica) =
                view.replicas.iter().find(|replica| alive.contains(&replica.claim))
            {
                let taken = u32::try_from(callers.held.len()).unwrap_or(u32::MAX);
                if taken > 0 {
                    *callers.running.entry(replica.claim.clone()).or_default() += taken;
                    callers.last_used.insert(replica.claim.clone(), now);
                    callers.held.clear();
                }
            }
            let failed_at = view.control.failure.as_ref().map(|failure| failure.at);
            let ends_at = failed_at.max(view.control.down_at);
            callers.held.retain(|held| ends_at.is_none_or(|at| at < held.since));
        });
    }

    fn finish_some_request(&mut self) {
        let now = self.clock.now();
        let all = self.throw(3) == 0;
        self.with_callers(|callers| {
            if let Some((claim, running)) = callers.running.iter_mut().next() {
                *running = if all { 0 } else { running.saturating_sub(1) };
                callers.last_used.insert(claim.clone(), now);
            }
            callers.running.retain(|_, running| *running > 0);
        });
    }

    pub(super) fn alive(&self) -> Vec<FakeInstance> {
        self.compute.instances_where(FakeInstance::is_alive)
    }

    fn some_instance(&self) -> Option<FakeInstance> {
        let alive = self.alive();
        let place = self.throw(alive.len().max(1) as u64);
        alive.into_iter().nth(usize::try_from(place).unwrap_or(0))
    }

    fn beat(&self, claim: &ClaimId, status: BeatStatus) {
        let now = self.clock.now();
        let beat = Beat {
            claim: claim.clone(),
            status,
            load: Load::default(),
            log_tail: Vec::new(),
            log_end: 0,
            instance: None,
            at: now,
            expires_at: now.saturating_add(Duration::from_hours(24)).unwrap_or(Timestamp::MAX),
        };
        let _ = now_or_panic(self.store.save(beat, Expect::Any));
    }

    pub(super) fn boot_some_instance(&mut self) {
        let Some(instance) = self.some_instance() else {
            return;
        };
        let status = match self.beat_of(&instance.details.claim) {
            None => BeatStatus::Booting { phase: Phase::Boot },
            Some(BeatStatus::Booting { phase: Phase::Boot }) => {
                BeatStatus::Booting { phase: Phase::Weights }
            }
            Some(BeatStatus::Booting { .. }) => {
                BeatStatus::Ready { base_url: format!("http://{}:8000", instance.id) }
            }
            Some(other) => other,
        };
        self.beat(&instance.details.claim, status);
    }

    fn end_some_instance(&mut self) {
        if let Some(instance) = self.some_instance() {
            let exit =
                if self.throw(2) == 0 { Exit::Code(1) } else { Exit::Reclaimed("spot".into()) };
            self.compute.end(&instance.id, Some(exit));
        }
    }

    fn interrupt_some_instance(&mut self) {
        if let Some(instance) = self.some_instance() {
            let status = if self.throw(2) == 0 {
                BeatStatus::Interrupted { reason: "spot".into() }
            } else {
                BeatStatus::Unhealthy { reason: "hung".into() }
            };
            self.beat(&instance.details.claim, status);
        }
    }

    fn operator_speaks(&mut self) {
        match self.throw(9) {
            0 => drop(now_or_panic(self.registry.order(&self.model, Order::Up))),
            1 => {
                self.pinned_since_down = false;
                drop(now_or_panic(self.registry.order(&self.model, Order::Down)));
            }
            2 => {
                self.pinned_since_down = true;
                drop(now_or_panic(self.registry.order(&self.model, Order::Pin)));
            }
            3 | 4 => drop(now_or_panic(self.registry.order(&self.model, Order::Unpin))),
            5 => drop(now_or_panic(self.registry.delete(&self.model, Source::Api))),
            6 => self.apply("v2", self.settings.max_replicas),
            7 => self.apply("v1", 1),
            _ => self.apply("v1", self.settings.max_replicas),
        }
    }

    /// Faults end, time goes on: every caller is served or told why not, and once nobody asks
    /// any more, nothing is left running.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.armed.store(false, Ordering::Relaxed);
        self.compute.exhaust(&[]);
        self.tasks.clear();
        let _ = now_or_panic(self.registry.order(&self.model, Order::Unpin));
        let mut served = false;
        for round in 0..80 {
            self.step = self.settings.steps + round;
            self.clock.advance(INTERVAL);
            for _ in 0..8 {
                self.boot_some_instance();
            }
            self.start_reconcile_all();
            while !self.tasks.is_empty() {
                self.poll_some_task();
            }
            self.route();
            self.check()?;
            let nobody_waits = self.with_callers(|callers| callers.held.is_empty());
            if round >= 40 && !nobody_waits {
                return Err(self.violation("a held request never ended"));
            }
            if nobody_waits && !served {
                served = true;
                self.with_callers(|callers| callers.running.clear());
            }
            let at_rest = nobody_waits && self.alive().is_empty();
            if at_rest && self.view().is_none_or(|view| view.slots.is_empty()) {
                return Ok(());
            }
        }
        let left = self.alive().len();
        if left > 0 {
            return Err(self.violation(format!("{left} instances run though nobody asks")));
        }
        let slots = self.view().map_or(0, |view| view.slots.len());
        if slots > 0 {
            return Err(self.violation(format!("{slots} slots are taken though nobody asks")));
        }
        Ok(())
    }

    pub(super) fn violation(&self, what: impl Into<String>) -> Violation {
        Violation { seed: self.seed, step: self.step, what: what.into() }
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

/// The seeded entropy serves the reconciler's secrets too.
const _: fn(&SeededEntropy) -> &dyn Entropy = |entropy| entropy;
