use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_api::fleet_loop::{self, FleetLoop};
use diogenes_api::metrics::Metrics;
use diogenes_api::proxy::{Deadlines, Dispatcher, FleetViews, Gateway, GatewaySettings};
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{
    AgentRules, Control, DeploymentId, HeldCounter, ModelSpec, Order, Placement, Reconciler,
    Registry, Source, StoredDemand,
};
use diogenes_core::keys::LocalLimiter;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, DemandSource, Topic, Wake, WakeError};
use diogenes_core::testing::{MemoryStore, SeededEntropy};
use diogenes_core::wake::ElectedWake;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::callers::Caller;
use crate::clock::{SimulatedClock, tick};
use crate::journal::Journal;
use crate::machines::{Machines, Provider};

/// How many things happen in a schedule.
const STEPS: usize = 120;
const MODELS: [&str; 2] = ["alpha", "beta"];
/// A name that both models want.
const SHARED: &str = "shared";
/// How long everything may take to come to rest.
const REST: Duration = Duration::from_hours(2);

/// What looks after the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One process, as `diogenes serve`.
    Serve,
    /// Routers and an orchestrator that share a store, as on AWS.
    Functions,
}

/// One schedule.
pub(crate) struct World {
    kind: Kind,
    dice: Arc<SeededEntropy>,
    clock: Arc<SimulatedClock>,
    store: Arc<MemoryStore>,
    journal: Arc<Journal>,
    machines: Arc<Machines>,
    registry: Registry,
    routers: Vec<(Arc<Dispatcher>, Arc<Gateway>)>,
    callers: JoinSet<()>,
    /// What goes on beside the callers; it ends with the world.
    background: JoinSet<()>,
    /// Ends the loop of the fleet when it is dropped.
    _stop: Option<oneshot::Sender<()>>,
}

impl World {
    /// Draws and runs the schedule of `seed`.
    pub(crate) async fn run(kind: Kind, seed: u64) -> Result<(), String> {
        let mut world = Self::new(kind, seed);
        for model in MODELS {
            world.apply(model, false).await?;
        }
        for _ in 0..STEPS {
            sleep(Duration::from_millis(world.throw(12_000))).await;
            world.happen().await?;
            world.check().await?;
        }
        world.come_to_rest().await
    }

    fn new(kind: Kind, seed: u64) -> Self {
        let dice = Arc::new(SeededEntropy::new(seed));
        let clock = Arc::new(SimulatedClock::new());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let journal = Arc::new(Journal::default());
        let (settle, router_lag) = match kind {
            Kind::Serve => (Duration::ZERO, fleet_loop::ROUTER_LAG),
            Kind::Functions => (Duration::from_mins(1), Duration::from_secs(30)),
        };
        let machines = Arc::new(Machines::new(
            settle,
            router_lag,
            store.clone(),
            clock.clone(),
            journal.clone(),
            dice.clone(),
        ));
        let reconciler = |demand: Arc<dyn DemandSource>| Reconciler {
            store: store.clone(),
            compute: Arc::new(Provider(machines.clone())),
            demand,
            clock: clock.clone(),
            timer: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(!seed)),
            deployment: DeploymentId::new("simulation"),
            router_lag,
            launch_patience: Duration::from_secs(5),
            agents: (kind == Kind::Functions)
                .then_some(AgentRules { max_lifetime: Duration::from_hours(1) }),
        };
        let mut background = JoinSet::new();
        background.spawn(tick(journal.clone()));
        let gateway = |views, deadlines| {
            let settings = GatewaySettings { deadlines, ..GatewaySettings::default() };
            let limiter = Arc::new(LocalLimiter::default());
            Arc::new(Gateway::new(views, limiter, clock.clone(), settings))
        };
        let metrics = || Arc::new(Metrics::default());
        let (wake, routers, stop): (Arc<dyn Wake>, _, _) = match kind {
            Kind::Serve => {
                let (wake, triggers) = fleet_loop::channel();
                let wake: Arc<dyn Wake> = Arc::new(wake);
                let dispatcher = Arc::new(Dispatcher::new(metrics(), clock.clone(), wake.clone()));
                let fleet = FleetLoop {
                    reconciler: reconciler(dispatcher.clone()),
                    dispatcher: dispatcher.clone(),
                    clock: clock.clone(),
                    triggers,
                };
                let (started, _) = oneshot::channel();
                let (stop, stopped) = oneshot::channel();
                background.spawn(async move { drop(fleet.run(started, stopped).await) });
                let gateway = gateway(FleetViews::local(dispatcher.clone()), None);
                (wake, vec![(dispatcher, gateway)], Some(stop))
            }
            Kind::Functions => {
                let demand = Arc::new(StoredDemand::new(store.clone(), clock.clone()));
                let reconciler = Arc::new(reconciler(demand));
                let schedule = reconciler.clone();
                background.spawn(async move {
                    loop {
                        // What fails is made up for by the next.
                        let _ = schedule.reconcile_all().await;
                        sleep(Duration::from_mins(1)).await;
                    }
                });
                let invoke: Arc<dyn Wake> = Arc::new(Invoke { reconciler, dice: dice.clone() });
                let deadlines =
                    Deadlines { plain: Duration::from_secs(290), stream: Duration::from_secs(870) };
                let router = |_| {
                    let wake: Arc<dyn Wake> =
                        Arc::new(ElectedWake::new(invoke.clone(), store.clone(), clock.clone()));
                    let dispatcher = Dispatcher::new(metrics(), clock.clone(), wake.clone());
                    let dispatcher = Arc::new(dispatcher.one_of_many());
                    let views =
                        FleetViews::stored(dispatcher.clone(), store.clone(), clock.clone(), wake);
                    (dispatcher, gateway(views, Some(deadlines)))
                };
                (invoke.clone(), (0..3).map(router).collect(), None)
            }
        };
        let registry = Registry::new(store.clone(), clock.clone(), wake);
        Self {
            kind,
            dice,
            clock,
            store,
            journal,
            machines,
            registry,
            routers,
            callers: JoinSet::new(),
            background,
            _stop: stop,
        }
    }

    fn throw(&self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    fn pick<'a, T>(&self, of: &'a [T]) -> Result<&'a T, String> {
        let place = usize::try_from(self.throw(of.len() as u64)).unwrap_or(0);
        of.get(place).ok_or_else(|| "there is nothing to pick of".to_owned())
    }

    /// One thing happens.
    async fn happen(&mut self) -> Result<(), String> {
        match self.throw(100) {
            0..=54 => {
                for _ in 0..=self.throw(4) {
                    self.ask().await?;
                }
            }
            55..=66 => self.order().await?,
            67..=76 => {
                let (model, wants_shared) = (*self.pick(&MODELS)?, self.throw(3) == 0);
                self.apply(model, wants_shared).await?;
            }
            77 => {
                let model = name(self.pick(&MODELS)?)?;
                // It may be gone already.
                let _ = self.registry.delete(&model, Source::Api).await;
            }
            78..=84 => self.machines.crash(),
            85..=87 => match self.throw(3) {
                0 => self.machines.cloud.exhaust(&["small"]),
                1 => self.machines.cloud.exhaust(&["small", "large"]),
                _ => self.machines.cloud.exhaust(&[]),
            },
            // Time enough to fall asleep.
            88..=91 => sleep(Duration::from_secs(self.throw(600))).await,
            _ => {}
        }
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), String> {
        let asked = *self.pick(&[MODELS[0], MODELS[1], SHARED])?;
        let leaves = self.throw(4) == 0;
        let caller = Caller {
            model: asked.to_owned(),
            is_stream: self.throw(2) == 0,
            leaves_after: leaves.then(|| Duration::from_millis(self.throw(120_000))),
        };
        let (_, gateway) = self.pick(&self.routers)?;
        let now = self.clock.now();
        let models = self.registry.list().await.map_err(shown)?;
        let asked = models.iter().filter(|model| {
            model.name.as_str() == asked
                || model.spec.aliases.iter().any(|alias| alias.as_str() == asked)
        });
        asked.for_each(|model| self.journal.ask(&model.name, now));
        let call = caller.call(gateway.clone(), self.journal.clone(), self.clock.clone());
        self.callers.spawn(call);
        Ok(())
    }

    async fn order(&self) -> Result<(), String> {
        let model = name(self.pick(&MODELS)?)?;
        let order = match self.throw(8) {
            0..=3 => Order::Down,
            4 => Order::Up,
            5 => Order::Pin,
            _ => Order::Unpin,
        };
        if matches!(order, Order::Up | Order::Pin) {
            self.journal.ask(&model, self.clock.now());
        }
        // The model may be deleted.
        let _ = self.registry.order(&model, order).await;
        Ok(())
    }

    async fn apply(&self, model: &str, wants_shared: bool) -> Result<(), String> {
        let mut spec = ModelSpec::new(["vllm", "serve", "{port}"]);
        if self.throw(4) == 0 {
            spec.command.push("--another-version".into());
        }
        spec.max_replicas = 1 + u32::try_from(self.throw(3)).unwrap_or(0);
        spec.target_concurrency = 2;
        spec.idle_timeout = Duration::from_mins(2);
        spec.boot_timeout = Duration::from_mins(3);
        spec.drain_timeout = Duration::from_mins(2);
        spec.ladder = ["small", "large"].map(Placement::new).into();
        if wants_shared {
            spec.aliases = [name(SHARED)?].into();
        }
        // The other model may have the name.
        let _ = self.registry.apply(&name(model)?, spec, Source::Api).await;
        Ok(())
    }

    async fn check(&self) -> Result<(), String> {
        self.journal.check()?;
        let models = self.registry.list().await.map_err(shown)?;
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for model in &models {
            let aliases = model.spec.aliases.iter().map(ModelName::as_str);
            for one in aliases.chain([model.name.as_str()]) {
                if let Some(other) = owners.insert(one, model.name.as_str()) {
                    return Err(format!("`{other}` and `{}` answer to `{one}`", model.name));
                }
            }
        }
        if self.kind == Kind::Serve {
            // The one process knows exactly.
            let mut counted = 0;
            for (dispatcher, _) in &self.routers {
                for model in MODELS {
                    let demand = dispatcher.demand(&name(model)?).await.map_err(shown)?;
                    counted += demand.total();
                }
            }
            let outstanding = self.journal.outstanding();
            if counted > outstanding {
                return Err(format!("{counted} requests are counted; there are {outstanding}"));
            }
        }
        Ok(())
    }

    /// Every caller comes to an end, and once nobody asks, nothing is left running or counted.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        self.machines.cloud.exhaust(&[]);
        for model in MODELS {
            let _ = self.registry.order(&name(model)?, Order::Unpin).await;
        }
        let began = self.clock.elapsed();
        while let Some(ended) = self.callers.join_next().await {
            ended.map_err(shown)?;
            self.check().await?;
        }
        while self.machines.alive() > 0 {
            if self.clock.elapsed().saturating_sub(began) > REST {
                let left = self.machines.alive();
                return Err(format!("{left} instances run though nobody asks"));
            }
            sleep(Duration::from_secs(5)).await;
            self.check().await?;
        }
        // Stamps and counters of held requests are written behind the answer.
        sleep(Duration::from_mins(2)).await;
        let held = HeldCounter::new(self.store.clone());
        for model in MODELS {
            let model = name(model)?;
            let count = held.count(&model, self.clock.now()).await.map_err(shown)?;
            if count > 0 {
                return Err(format!("{count} requests count as held though nobody asks"));
            }
            for (dispatcher, _) in &self.routers {
                let total = dispatcher.demand(&model).await.map_err(shown)?.total();
                if total > 0 {
                    return Err(format!("{total} requests are counted though nobody asks"));
                }
            }
            let control = self.store.load::<Control>(&Control::key_of(&model)).await;
            if control.map_err(shown)?.is_some_and(|stored| stored.value.pinned) {
                return Err("the model is still pinned".into());
            }
        }
        if self.journal.answered() == 0 {
            return Err("nobody was answered, so nothing was tried".into());
        }
        self.background.shutdown().await;
        self.journal.check()
    }
}

/// Triggers a reconcile as an asynchronous invocation does: later, or, now and then, not at all.
struct Invoke {
    reconciler: Arc<Reconciler>,
    dice: Arc<SeededEntropy>,
}

#[async_trait]
impl Wake for Invoke {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        let Topic::Model(model) = topic else { return Ok(()) };
        let pause = Duration::from_millis(self.dice.next_u64() % 500);
        if !self.dice.next_u64().is_multiple_of(10) {
            let (reconciler, model) = (self.reconciler.clone(), model.clone());
            tokio::spawn(async move {
                sleep(pause).await;
                // Whoever waits asks again.
                let _ = reconciler.reconcile(&model).await;
            });
        }
        Ok(())
    }
}

fn name(text: &str) -> Result<ModelName, String> {
    text.parse().map_err(shown)
}

fn shown(error: impl Display) -> String {
    error.to_string()
}
