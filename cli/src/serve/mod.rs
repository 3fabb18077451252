//! `diogenes serve`: the whole product on this machine.

mod admin_key;
mod catalog;
mod config;
mod demo;
mod deployments;
mod files;
pub(crate) mod head;
mod http;
mod jobs;
pub(crate) mod lines;
mod linger;
mod money;
mod peer;
mod secret_file;
mod telemetry;
mod upkeep;
mod url;
mod webhook_key;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use diogenes_api::auth::{Authenticator, KeyRing};
use diogenes_api::control::{
    AuditArea, BudgetParts, BudgetsArea, ClusterArea, ClusterParts, Entrance, GatewayArea,
    KeysArea, ModelsArea, ProjectsArea, PromptsArea, UsageArea, WorkArea,
};
use diogenes_api::fleet_loop::{self, FleetLoop};
use diogenes_api::jobs::Worker;
use diogenes_api::metrics::Metrics;
use diogenes_api::proxy::{Dispatcher, FleetViews, Gateway, GatewaySettings, ProxyState, WayOut};
use diogenes_api::telemetry::{Exporter, TelemetrySettings};
use diogenes_api::{App, AppSettings};
use diogenes_backends::engine::secrets::MachineSecrets;
use diogenes_backends::process::{
    OnShutdown as ProcessesOnShutdown, ProcessBackend, ProcessSettings,
};
use diogenes_backends::sqlite::{DataDir, SqliteStore};
use diogenes_core::audit::{Actor, AuditLog};
use diogenes_core::fleet::{DeploymentId, Reconciler, Registry, RegistryError, Retire};
use diogenes_core::gateway::budget::Budgets;
use diogenes_core::gateway::catalog::{CatalogEditor, CatalogError, SecretRule};
use diogenes_core::keys::{Keys, LocalLimiter};
use diogenes_core::ports::{Clock, ComputeBackend, Entropy, StateStore, Wake};
use diogenes_core::prompts::Prompts;
use diogenes_core::tenancy::Projects;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

pub(crate) use admin_key::FILE as ADMIN_KEY_FILE;
pub(crate) use config::{Config, configured_data_dir, default_data_dir, parse_listen};
pub(crate) use demo::COMMAND as MOCK_VLLM;
pub(crate) use head::DEFAULT_FILE;
pub(crate) use http::serve_plain;
pub(crate) use telemetry::TelemetryConfig;
pub(crate) use url::{FILE as URL_FILE, running as running_url};

use config::OnShutdown;
use diogenes_backends::system::{OsEntropy, SystemClock, TokioTimer};
use http::Listener;

use self::deployments::Rollouts;
use self::money::Money;
use crate::exit::{Failure, Kind};

/// Serve the API and run models on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes serve --demo
  diogenes serve --config diogenes.toml --listen 0.0.0.0:8080
  DIOGENES_DATA_DIR=/var/lib/diogenes diogenes serve

Settings are read from the file, the environment and the flags; later ones win.")]
pub(crate) struct ServeArgs {
    /// Configuration file [default: diogenes.toml in the current directory, if it exists]
    #[arg(long, value_name = "FILE", env = "DIOGENES_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Address to listen on; port 0 picks a free port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT", value_parser = config::parse_listen, env = "DIOGENES_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Directory for state, keys and logs [default: $XDG_DATA_HOME/diogenes]
    #[arg(long, value_name = "DIR", env = "DIOGENES_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Add the model `demo`, which needs no GPU and no download
    #[arg(long)]
    pub(crate) demo: bool,
    /// What to do with the inference servers when `serve` stops [default: stop]
    #[arg(long, value_enum, env = "DIOGENES_ON_SHUTDOWN")]
    pub(crate) on_shutdown: Option<OnShutdown>,
    /// How long requests may take to finish when `serve` stops [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse, env = "DIOGENES_DRAIN_TIMEOUT")]
    pub(crate) drain_timeout: Option<Duration>,
    /// The largest request body in bytes [default: 33554432]
    #[arg(long, value_name = "BYTES", env = "DIOGENES_MAX_BODY_BYTES", value_parser = crate::wording::number::<usize>)]
    pub(crate) max_body_bytes: Option<usize>,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let mut config = Config::load(&args).map_err(Kind::Config.failure())?;
    if args.demo {
        let program = std::env::current_exe()
            .context("cannot find the path of this program")
            .map_err(Kind::Other.failure())?;
        let name = demo::MODEL.parse().context("the demo's name").map_err(Kind::Other.failure())?;
        config.models.entry(name).or_insert_with(|| demo::spec(&program));
    }
    let telemetry = config.telemetry.as_ref().map(TelemetryConfig::open).transpose();
    let telemetry = telemetry.map_err(Kind::Config.failure())?;
    let listener = http::listen(config.listen).map_err(Kind::Unavailable.failure())?;
    let address = listener
        .socket
        .local_addr()
        .context("cannot read the listening address")
        .map_err(Kind::Other.failure())?;
    let data_dir = DataDir::open(&config.data_dir)
        .map_err(anyhow::Error::from)
        .map_err(Kind::DataDir.failure())?;
    warn_of_open_doors(data_dir.path());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqliteStore::open(&data_dir.database(), clock.clone())
        .map_err(anyhow::Error::from)
        .map_err(Kind::DataDir.failure())?;
    let server =
        Server::start(&config, telemetry, Arc::new(store), clock).await.map_err(|error| {
            let is_taken = matches!(
                error.downcast_ref::<RegistryError>(),
                Some(RegistryError::NameTaken { .. } | RegistryError::IsRoute(_))
            ) || matches!(
                error.downcast_ref::<CatalogError>(),
                Some(CatalogError::NameTaken { .. })
            );
            let kind = if is_taken { Kind::Config } else { Kind::Other };
            Failure { kind, error }
        })?;
    let admin =
        admin_key::ensure(&config.data_dir, &server.keys).await.map_err(Kind::DataDir.failure())?;
    announce(&args, &config, address, &admin, data_dir.path());
    if listener.is_passed {
        tracing::info!("the service manager holds the socket, so a restart refuses no connections");
    }
    server.run(listener, &config).await.map_err(Kind::Other.failure())
}

/// Whoever may write the data directory may replace keys and commands.
fn warn_of_open_doors(data_dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = data_dir.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o022 != 0 {
        let path = data_dir.display();
        tracing::warn!(
            "{path} is writable by other users, who could take over Diogenes; run `chmod go-w {path}`"
        );
    }
}

/// Tells where it is; with `--demo`, on standard output, also the key and the snippets.
#[expect(clippy::print_stdout, reason = "the welcome is what the command prints")]
fn announce(
    args: &ServeArgs,
    config: &Config,
    address: SocketAddr,
    admin: &admin_key::AdminKey,
    data_dir: &Path,
) {
    let reachable = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    let base_url = format!("http://{reachable}");
    if let Err(error) = url::leave(data_dir, &base_url) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the URL could not be left in the data directory; clients need --url"
        );
    }
    tracing::info!(%address, "listening on {base_url}");
    log_configuration(config);
    if admin.is_new {
        tracing::info!("the admin key is in {}", admin.path.display());
    }
    if args.demo {
        println!("{}", demo::welcome(&base_url, &admin.key, &admin.path));
    }
}

fn log_configuration(config: &Config) {
    let models = config.models.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let list = if models.is_empty() { "none" } else { models.as_str() };
    if let Some(file) = &config.file {
        let file = file.display();
        tracing::info!(%file, models, "the configuration is {file}; its models: {list}");
    } else {
        tracing::info!(models, "no configuration file; models: {list}");
    }
    for (name, route) in &config.routes {
        let targets = route.models().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::info!(route = %name, targets, "route {name}: {targets}");
    }
    for (name, provider) in &config.providers {
        let url = &provider.base_url;
        tracing::info!(provider = %name, url, "provider {name}: {url}");
    }
}

/// How long the newest connections may take to send a request when `serve` ends.
const FIRST_REQUEST: Duration = Duration::from_millis(200);

/// The parts of a running `serve`.
struct Server {
    app: App,
    keys: Keys,
    processes: Arc<ProcessBackend>,
    fleet: FleetLoop,
    dispatcher: Arc<Dispatcher>,
    worker: Worker,
    work: Arc<WorkArea>,
    money: Money,
    telemetry: Option<Exporter>,
    rollouts: Rollouts,
}

impl Server {
    async fn start(
        config: &Config,
        telemetry: Option<TelemetrySettings>,
        store: Arc<SqliteStore>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let (wake, triggers) = fleet_loop::channel();
        let (bell, rings) = (wake.bell(), wake.rings());
        let wake: Arc<dyn Wake> = Arc::new(wake);
        let deployment = deployment_id(config)?;
        upkeep::spawn_sweeper(store.clone());
        let answers = upkeep::answer_shelf(&store).await?;
        let store: Arc<dyn StateStore> = store;
        let mut settings = ProcessSettings::new(config.data_dir.clone(), deployment.clone());
        settings.kill_grace = config.kill_grace;
        let processes = ProcessBackend::open(settings, store.clone(), wake.clone(), clock.clone())
            .context("cannot manage child processes")?;
        let registry = Registry::new(store.clone(), clock.clone(), wake.clone())
            .with_rule(diogenes_backends::process::RULE);
        let editor = CatalogEditor::new(store.clone(), clock.clone(), SecretRule::Machine);
        // A name that moves from a route of the file to a model of it is given up before.
        editor.retire_routes(&config.routes).await?;
        catalog::take_over_models(&registry.on_behalf_of(Actor::operator()), config).await?;
        let metrics = Arc::new(Metrics::default());
        let dispatcher = Dispatcher::new(metrics.clone(), clock.clone(), wake.clone());
        let way_out = WayOut { secrets: Arc::new(MachineSecrets), store: store.clone() };
        let prices = money::prices(config)?;
        let dispatcher = dispatcher.with_way_out(way_out).with_prices(prices.clone());
        let dispatcher = Arc::new(dispatcher);
        catalog::take_over(&editor, config).await?;
        let (catalog, imported) = editor.load_with_prices().await?;
        dispatcher.publish_prices(&catalog, imported.as_ref());
        dispatcher.publish_catalog(&catalog)?;
        let keys = Keys::new(store.clone(), clock.clone(), entropy.clone());
        let authenticator: Arc<dyn Authenticator> =
            Arc::new(KeyRing::new(keys.clone(), clock.clone()));
        let entrance = Entrance {
            authenticator: authenticator.clone(),
            max_body_bytes: config.max_body_bytes,
        };
        let views = FleetViews::local(dispatcher.clone());
        let money = Money::open(&dispatcher, &store, &clock, &*entropy);
        money.spawn();
        let telemetry = config
            .telemetry
            .as_ref()
            .zip(telemetry)
            .map(|(config, settings)| config.start(settings, &metrics, &clock, &*entropy));
        let (records, telemetry) = telemetry.transpose()?.unzip();
        let budgets = BudgetParts {
            budgets: Budgets::new(store.clone(), clock.clone()),
            ledger: money.ledger.clone(),
            views: views.clone(),
            clock: clock.clone(),
        };
        let cluster = ClusterParts {
            views: views.clone(),
            demand: dispatcher.clone(),
            registry: registry.clone(),
            logs: processes.clone(),
            clock: clock.clone(),
        };
        let services = jobs::Services::open(config, &store, &clock, &entropy, wake.clone())?;
        let shelf = upkeep::prompt_shelf(&store, &clock);
        let rollouts = Rollouts::new(&store, &clock, &entropy, &shelf);
        let gateway = Arc::new(
            Gateway::new(
                views.clone(),
                Arc::new(LocalLimiter::default()),
                clock.clone(),
                GatewaySettings::default(),
            )
            .with_purse(money.purse.clone())
            .with_usage(money.usage.clone())
            .with_answers_in(answers)
            .with_prompts(shelf.clone())
            .with_trials(rollouts.trials())
            .with_records(records),
        );
        let worker = services.worker(
            keys.clone(),
            gateway.clone(),
            config.max_body_bytes,
            bell,
            metrics.jobs().clone(),
        );
        let work = Arc::new(services.work_area(entrance.clone(), rings));
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy.clone());
        let prompts = PromptsArea::new(entrance.clone(), prompts).with_shelf(shelf);
        let app = App {
            prompts: Arc::new(prompts.with_gateway(gateway.clone())),
            work: work.clone(),
            batches: Arc::new(services.batches_area(entrance.clone())),
            evals: Arc::new(services.evals_area(entrance.clone(), gateway.clone())),
            datasets: Arc::new(services.datasets_area(entrance.clone())),
            deployments: Arc::new(rollouts.area(entrance.clone(), gateway.clone())),
            jobs: Arc::new(services.jobs_area(entrance.clone())),
            keys: Arc::new(KeysArea::new(
                entrance.clone(),
                keys.clone(),
                views.clone(),
                clock.clone(),
            )),
            projects: Arc::new(ProjectsArea::new(
                entrance.clone(),
                Projects::new(store.clone(), clock.clone()),
            )),
            budgets: Arc::new(BudgetsArea::new(entrance.clone(), budgets)),
            audit: Arc::new(AuditArea::new(
                entrance.clone(),
                AuditLog::new(store.clone(), clock.clone()),
            )),
            usage: Arc::new(UsageArea::new(entrance.clone(), store.clone(), clock.clone())),
            models: Arc::new(ModelsArea::new(
                entrance.clone(),
                registry,
                editor.clone(),
                views.clone(),
            )),
            gateway: Arc::new(GatewayArea::new(entrance.clone(), editor, views.clone(), prices)),
            cluster: Arc::new(ClusterArea::new(entrance, cluster)),
            proxy: Arc::new(ProxyState {
                authenticator,
                gateway,
                metrics,
                settings: AppSettings { max_body_bytes: config.max_body_bytes },
            }),
        };
        let compute: Arc<dyn ComputeBackend> = processes.clone();
        let reconciler = Reconciler {
            agents: None,
            store,
            compute,
            demand: dispatcher.clone(),
            clock: clock.clone(),
            timer: Arc::new(TokioTimer),
            entropy,
            deployment,
            router_lag: fleet_loop::ROUTER_LAG,
            // Nobody else launches.
            launch_patience: Duration::ZERO,
        };
        let fleet = FleetLoop { reconciler, dispatcher: dispatcher.clone(), clock, triggers };
        Ok(Self {
            app,
            keys,
            processes,
            fleet,
            dispatcher,
            worker,
            work,
            money,
            telemetry,
            rollouts,
        })
    }

    async fn run(self, listener: Listener, config: &Config) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up =
            if hang_ups_are_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        let (stop_fleet, stopped) = oneshot::channel();
        let (started, published) = oneshot::channel();
        let fleet = tokio::spawn(self.fleet.run(started, stopped));
        // Before that, a request would hear that its model does not exist.
        published.await.context("the fleet's loop has stopped")?;
        let (stop_worker, worker_stopped) = oneshot::channel();
        let worker = tokio::spawn(self.worker.run(worker_stopped));
        let rollouts = self.rollouts.spawn(self.app.proxy.gateway.clone());
        let dispatcher = self.dispatcher.clone();
        let mut signalled = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = hung_up(&mut hang_up) => {}
            }
        };
        let router = diogenes_api::router(self.app);
        let mut connections = http::serve(listener.socket, router, signalled()).await;
        tracing::info!(
            "shutting down: waiting for requests in progress; a second signal cuts them off"
        );
        // Nobody is left to hear that the worker has ended already.
        let _ = stop_worker.send(());
        self.work.close();
        dispatcher.shut_down();
        // Nobody is left to hear that the loop has ended already.
        let _ = stop_fleet.send(());
        let fleet = fleet.await.context("the fleet's loop has crashed")?;
        if config.on_shutdown == OnShutdown::Stop {
            retire(&fleet, Retire::Starting).await;
        }
        // A connection that has just been accepted has not sent its request yet, and would be
        // closed without an answer.
        tokio::time::sleep(FIRST_REQUEST).await;
        let is_hurried = tokio::select! {
            () = connections.finish() => false,
            () = tokio::time::sleep(config.drain_timeout) => {
                tracing::warn!("some requests were cut off; give them more time with --drain-timeout");
                false
            }
            () = signalled() => {
                tracing::warn!("some requests were cut off by a second signal");
                true
            }
        };
        // Before the books are closed: what was cut off is in them.
        connections.cut_off().await;
        jobs::end(worker, is_hurried).await?;
        rollouts.stop().await?;
        self.money.close().await;
        if let Some(telemetry) = self.telemetry {
            telemetry.close().await;
        }
        let mode = match config.on_shutdown {
            OnShutdown::Stop => {
                retire(&fleet, Retire::All).await;
                ProcessesOnShutdown::Stop
            }
            OnShutdown::Leave => ProcessesOnShutdown::Leave,
        };
        self.processes.shutdown(mode, config.kill_grace + Duration::from_secs(5)).await;
        tracing::info!("bye");
        Ok(())
    }
}

/// The terminal is gone; never, where hang-ups are ignored.
async fn hung_up(hang_up: &mut Option<Signal>) {
    match hang_up {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether this program was started with `nohup`, or by whoever else lets it outlive its terminal.
fn hang_ups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // A mask in hexadecimal digits, whose lowest bit is for SIGHUP (proc(5), signal(7)).
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// Records that instances end because `serve` does. Without that the next start would take it for
/// a failure of theirs, and let their models wait.
async fn retire(fleet: &Reconciler, which: Retire) {
    if let Err(error) = fleet.retire(which).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "could not record that replicas end with this server"
        );
    }
}

/// Tells this data directory's processes from those of another: its own path.
fn deployment_id(config: &Config) -> anyhow::Result<DeploymentId> {
    let path = config
        .data_dir
        .canonicalize()
        .with_context(|| format!("{} cannot be resolved", config.data_dir.display()))?;
    Ok(DeploymentId::new(path.display().to_string()))
}
