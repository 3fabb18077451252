//! `diogenes worker`: does jobs of a server elsewhere.

mod health;
mod remote;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use diogenes_api::jobs::{CommandKind, GRACE, Handler, HttpJobs, JobMetrics, Lane, Worker};
use diogenes_backends::system::SystemClock;
use diogenes_core::jobs::{JobKind, QueueName};
use diogenes_core::ports::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

use self::remote::RemoteJobs;
use crate::commands::Options;
use crate::exit::{Failure, Kind};
use crate::jobs::{CommandJobs, configured, http_jobs, of_machine};

/// Do jobs of a server that runs elsewhere.
///
/// A worker needs the server's URL and a key with the scope `jobs:work`, and nothing else: it takes
/// the jobs of the key's project over HTTP. The commands that it may run are those in `[jobs.commands]`
/// of its own configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes key create --email gpu-box@example.com --scope jobs:work     # on the server
  DIOGENES_API_KEY=sk-… diogenes worker --url https://diogenes.example.com --queues command,gpu
  diogenes worker --config worker.toml --concurrency 2

SIGTERM and SIGINT let it give its jobs back, each once its program has ended, and end.")]
pub(crate) struct WorkerArgs {
    /// The queues to take jobs from, the most important first
    #[arg(long, value_name = "QUEUES", value_delimiter = ',', default_values = ["command", "http"])]
    queues: Vec<QueueName>,
    /// How many jobs to do at once; `auto` is one for each core
    #[arg(long, value_name = "NUMBER", default_value = "auto", value_parser = concurrency)]
    concurrency: Concurrency,
    /// The worker's name, as `diogenes job show` tells it [default: the machine's name and the
    /// process's number]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Address of `/healthz` and `/metrics`; port 0 picks a free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8090", value_parser = crate::serve::parse_listen)]
    listen: SocketAddr,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug)]
enum Concurrency {
    Auto,
    Most(NonZeroUsize),
}

fn concurrency(text: &str) -> Result<Concurrency, String> {
    if text == "auto" {
        return Ok(Concurrency::Auto);
    }
    text.parse().map(Concurrency::Most).map_err(|_| "use `auto`, or 1 or more".into())
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(args: WorkerArgs) -> Result<(), Failure> {
    let config = configured(args.options.config.as_deref()).map_err(Kind::Config.failure())?;
    let client = args.options.client()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; choose another with --listen", args.listen))
        .map_err(Kind::Unavailable.failure())?;
    let address = listener.local_addr().context("cannot read the listening address")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = http_jobs(&config, clock)?;
    let mut handlers: BTreeMap<JobKind, Arc<dyn Handler>> = BTreeMap::new();
    handlers.insert(HttpJobs::JOB, Arc::new(http));
    handlers.insert(CommandKind::JOB, Arc::new(CommandJobs::new(config.commands.clone())));
    let capacity = of_machine(&config.commands);
    let most = match args.concurrency {
        Concurrency::Auto => usize::try_from(capacity.cpu).unwrap_or(1).max(1),
        Concurrency::Most(most) => most.get(),
    };
    let name = args.name.unwrap_or_else(own_name);
    let source = RemoteJobs::new(client, name.clone());
    source.try_out(&args.queues).await?;
    let metrics = Arc::new(JobMetrics::default());
    let queues = args.queues.iter().map(QueueName::as_str).collect::<Vec<_>>().join(", ");
    tracing::info!(
        worker = name, queues, concurrency = most, cpu = capacity.cpu, memory = capacity.memory,
        gpu = capacity.gpu, %address,
        "worker {name} takes up to {most} jobs of {queues}; its health is at http://{address}/healthz"
    );
    let lane = |queue| Lane { queue, concurrency: most };
    let worker = Worker {
        source: Arc::new(source),
        lanes: args.queues.into_iter().map(lane).collect(),
        most,
        capacity,
        handlers,
        grace: GRACE,
        bell: Arc::new(Notify::new()),
        metrics: metrics.clone(),
    };
    let health = tokio::spawn(health::serve(listener, metrics));
    let done = until_signalled(worker).await;
    health.abort();
    done.map_err(Kind::Other.failure())
}

async fn until_signalled(worker: Worker) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let (stop, stopped) = oneshot::channel();
    let mut worker = tokio::spawn(worker.run(stopped));
    tokio::select! {
        ended = &mut worker => return ended.context("the worker has crashed"),
        () = signalled() => {}
    }
    tracing::info!("shutting down: giving the jobs back; a second signal leaves them as they are");
    // Nobody is left to hear that the worker has ended already.
    let _ = stop.send(());
    tokio::select! {
        ended = &mut worker => ended.context("the worker has crashed")?,
        () = signalled() => {
            tracing::warn!("some jobs were left; others go on with them within 75 seconds");
        }
    }
    tracing::info!("bye");
    Ok(())
}

/// The machine's name and the process's number.
fn own_name() -> String {
    let machine = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname"));
    let machine: String = machine.unwrap_or_default().trim().chars().take(64).collect();
    let machine = if machine.is_empty() { "worker".to_owned() } else { machine };
    format!("{machine}-{}", std::process::id())
}
