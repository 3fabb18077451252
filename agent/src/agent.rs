//! One run of the agent, from its start to the end of its instance.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_backends::aws::user_data::UserData;
use diogenes_backends::engine::health::Probe;
use diogenes_backends::engine::start::Unstartable;
use diogenes_backends::engine::{exit, secrets};
use diogenes_core::fleet::{InstanceId, Phase};
use diogenes_core::ports::{Clock, StateStore};
use diogenes_core::secret::{Secret, SecretRef};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::deadman::{BootClock, DeadMan, Limits, News, Switch};
use crate::engine::{Client, Forward, Log, Meter, Server, Shared};
use crate::facts::Facts;
use crate::metadata::Metadata;
use crate::orders::Orders;
use crate::report::Reporter;
use crate::settings::{LifetimeFrom, Settings};
use crate::watch as tasks;

/// Reaches what is outside of the instance.
#[async_trait]
pub trait Connect: Send + Sync {
    /// The store that `user_data` names. It need not answer yet.
    async fn store(&self, user_data: &UserData) -> Arc<dyn StateStore>;

    /// The SSM parameter `name` in the region that `user_data` names, decrypted. An error says
    /// what is wrong with it: "does not exist".
    async fn parameter(&self, user_data: &UserData, name: &str) -> Result<Secret, String>;
}

/// What the agent stands in.
pub struct World {
    /// The instance's metadata.
    pub metadata: Metadata,
    /// The deployment's store and secrets.
    pub connect: Box<dyn Connect>,
    /// The wall clock, for the times in beats.
    pub clock: Arc<dyn Clock>,
    /// The dead-man switch's clock.
    pub boot_clock: Arc<dyn BootClock>,
    /// Where the inference server's output goes on to.
    pub output: Box<dyn Write + Send>,
}

/// Until when the agent runs.
type Stop<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// Runs until `stop`, then ends the inference server and says so in a last beat. An error means
/// that the dead-man switch could not be started.
pub async fn run(
    settings: Settings,
    world: World,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    // First of all: from here on the instance ends, whatever becomes of the rest.
    let now = world.boot_clock.since_boot();
    let born = match settings.lifetime_from {
        LifetimeFrom::Boot => Duration::ZERO,
        LifetimeFrom::Start => now,
    };
    let (deadman, mut news) = DeadMan::start(
        Switch::new(born, now),
        Arc::clone(&world.boot_clock),
        settings.shutdown.clone(),
        settings.pace.tick,
    )?;
    let forward = Forward::to(world.output)?;
    tokio::pin!(stop);
    let facts = watch::Sender::new(Facts::new());
    let reading = Orders::read(&world.metadata, settings.user_data.as_deref());
    let orders = tokio::select! {
        orders = reading => orders,
        () = &mut stop => return Ok(()),
        never = tasks::end(&mut news, &facts) => match never {},
    };
    let user_data = &orders.user_data;
    deadman.arm(Limits {
        max_lifetime: user_data.max_lifetime,
        lease_timeout: user_data.lease_timeout,
    });
    tracing::info!(
        model = %user_data.model, claim = %user_data.claim,
        instance.id = orders.instance.as_ref().map(InstanceId::as_str),
        "this instance serves `{}`", user_data.model
    );
    let instance = Instance {
        store: world.connect.store(user_data).await,
        connect: world.connect,
        log: Shared::default(),
        meter: Shared::default(),
        metadata: world.metadata,
        clock: world.clock,
        settings,
        orders,
        deadman,
        facts,
    };
    instance.run(forward, news, stop).await;
    Ok(())
}

/// An instance with orders.
struct Instance {
    settings: Settings,
    orders: Orders,
    metadata: Metadata,
    store: Arc<dyn StateStore>,
    connect: Box<dyn Connect>,
    clock: Arc<dyn Clock>,
    deadman: DeadMan,
    facts: watch::Sender<Facts>,
    log: Shared<Log>,
    meter: Shared<Meter>,
}

/// In the runtime directory: the inference server was started.
const STARTED: &str = "server-started";

impl Instance {
    async fn run(&self, forward: Forward, mut news: UnboundedReceiver<News>, stop: Stop<'_>) {
        let reporter = self.reporter();
        let pace = self.settings.pace;
        let UserData { claim, lease_timeout, .. } = &self.orders.user_data;
        let every = pace.lease.min(*lease_timeout / 4);
        let lease = tasks::lease(&*self.store, claim, &self.deadman, every, pace.patience);
        tokio::select! {
            never = reporter.run() => match never {},
            never = lease => match never {},
            never = tasks::notices(&self.metadata, &self.facts, pace.notice) => match never {},
            never = tasks::end(&mut news, &self.facts) => match never {},
            () = self.serve(forward, stop) => {}
        }
        reporter.last().await;
    }

    /// Runs the inference server until `stop`. One that ends is not started again: the fleet
    /// sees why, and decides.
    async fn serve(&self, forward: Forward, mut stop: Stop<'_>) {
        let Settings { pace, .. } = &self.settings;
        let UserData { engine, upstream_key, .. } = &self.orders.user_data;
        let started = tokio::select! {
            started = self.start(forward) => started,
            () = &mut stop => return,
        };
        let mut server = match started {
            Ok(server) => server,
            Err(reason) => {
                self.is_over(reason);
                return stop.await;
            }
        };
        tasks::advance(&self.facts, Phase::Image);
        let client = Client::new(self.listen(), upstream_key.clone(), pace.patience);
        let probe = Probe::new(self.listen(), &engine.health_path, upstream_key, pace.patience);
        let watched = async {
            tokio::select! {
                () = probe.until_ready(|_| pace.check_boot) => {}
                reason = tasks::misplaced(&probe, &self.log, *pace) => return reason,
            }
            tracing::info!("the inference server answers");
            self.facts.send_modify(|facts| facts.ready = true);
            match tasks::health(&probe, &client, &self.facts, &self.meter, *pace).await {}
        };
        tokio::select! {
            exit = server.ended() => {
                self.is_over(exit::reason(exit.as_ref()));
                return stop.await;
            }
            reason = watched => {
                self.is_over(reason);
                server.stop(pace.kill_grace).await;
                return stop.await;
            }
            () = &mut stop => {}
        }
        self.facts.send_modify(|facts| {
            facts.ending.get_or_insert_with(|| "the instance is shutting down".into());
        });
        server.stop(pace.kill_grace).await;
    }

    async fn start(&self, forward: Forward) -> Result<Server, String> {
        let again = self.settings.runtime_dir.as_deref().is_some_and(was_started);
        if again {
            return Err("the agent was restarted; its inference server has ended".into());
        }
        let user_data = &self.orders.user_data;
        let UserData { engine, upstream_key, .. } = user_data;
        let mut parameters = BTreeMap::new();
        for (_, reference) in engine.references() {
            if let SecretRef::Ssm(name) = reference {
                let read = self.connect.parameter(user_data, name).await;
                parameters.insert(name.clone(), read);
            }
        }
        let secrets =
            secrets::read(engine, &parameters).map_err(|unread| cannot_run(&unread.to_string()))?;
        let facts = self.facts.clone();
        let announce = move |reached| tasks::advance(&facts, reached);
        let log = Arc::clone(&self.log);
        let user = self.settings.engine_user.as_deref();
        let start = (upstream_key, &secrets);
        Server::start(engine, self.listen(), user, start, log, forward, announce).map_err(|error| {
            match error {
                Unstartable::Model(problem) => cannot_run(&problem),
                Unstartable::NoRoom(_) | Unstartable::Machine(_) => error.to_string(),
            }
        })
    }

    /// Reports that nothing runs any more, and ends the instance a while later.
    fn is_over(&self, reason: String) {
        tracing::error!("{reason}; the instance ends soon");
        self.deadman.end_in(self.settings.pace.after_end, reason.clone());
        self.facts.send_modify(|facts| facts.ended = Some(reason));
    }

    /// Where the inference server listens. On every address, the callers of the network find it
    /// on the instance's own, and the agent on loopback.
    fn listen(&self) -> SocketAddr {
        let everywhere: IpAddr = match self.orders.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(self.settings.host.unwrap_or(everywhere), self.settings.port)
    }

    fn reporter(&self) -> Reporter {
        let address = SocketAddr::new(self.orders.address, self.settings.port);
        Reporter {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            claim: self.orders.user_data.claim.clone(),
            instance: self.orders.instance.clone(),
            base_url: format!("http://{address}"),
            log: Arc::clone(&self.log),
            meter: Arc::clone(&self.meter),
            facts: self.facts.subscribe(),
            pace: self.settings.pace,
        }
    }
}

fn cannot_run(problem: &str) -> String {
    format!("the model cannot run on this instance: {problem}")
}

/// Whether an agent before this one has started the inference server since the boot; from now
/// on one has. A directory that cannot be written costs only that knowledge.
fn was_started(runtime_dir: &Path) -> bool {
    let made = OpenOptions::new().write(true).create_new(true).open(runtime_dir.join(STARTED));
    match made {
        Ok(_) => false,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "`{}` cannot be written",
                runtime_dir.display()
            );
            false
        }
    }
}
