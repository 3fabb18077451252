//! How many jobs that do nothing get done in a second, and how long one waits for a free worker.
//!
//! Beside it stand plain commits of one record to the same store: a job takes three of them at least,
//! to be created, claimed and ended.

#![expect(clippy::print_stdout, reason = "the report is what the program prints")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use clap::Parser;
use diogenes_api::jobs::{Bell, Ended, GRACE, Handler, Lane, LocalJobs, Work, Worker};
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_backends::sqlite::SqliteStore;
use diogenes_backends::system::{OsEntropy, SystemClock};
use diogenes_core::jobs::{Capacity, Creator, JobId, JobKind, JobOutcome, Jobs, NewJob, QueueName};
use diogenes_core::keys::KeyId;
use diogenes_core::ports::{Expect, Key, StateStore, Write};
use diogenes_core::tenancy::{Allowed, ProjectId, Subject};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

const NOOP: JobKind = JobKind::known("noop");
/// How many create jobs, or write records, at once.
const AT_ONCE: usize = 16;

/// Jobs that do nothing, on SQLite and on the emulator of DynamoDB.
#[derive(Parser)]
struct Args {
    /// Jobs of a round on SQLite; a tenth of them on DynamoDB
    #[arg(long, default_value_t = 5_000)]
    jobs: usize,
    /// Jobs whose wait is measured, one at a time
    #[arg(long, default_value_t = 300)]
    waits: usize,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Leave DynamoDB out
    #[arg(long)]
    only_sqlite: bool,
}

/// Figures of one round.
struct Round {
    /// Plain commits in a second.
    commits: f64,
    /// Jobs in a second, created and done at the same time.
    jobs: f64,
    /// From the creation to the handler, sorted.
    waits: Vec<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    println!(
        "{:<10} {:>10} {:>10} {:>8} {:>9} {:>9}",
        "", "commits/s", "jobs/s", "ratio", "p50 ms", "p99 ms"
    );
    let mut rounds = Vec::new();
    for number in 0..args.rounds {
        rounds.push(round(sqlite(folder.path(), number)?, args.jobs, args.waits).await?);
    }
    report("sqlite", &rounds);
    if !args.only_sqlite {
        let mut rounds = Vec::new();
        for number in 0..args.rounds {
            let store = dynamodb(number).await?;
            rounds.push(round(store, args.jobs / 10, args.waits).await?);
        }
        report("dynoxide", &rounds);
    }
    Ok(())
}

fn sqlite(folder: &Path, number: usize) -> anyhow::Result<Arc<dyn StateStore>> {
    let path = folder.join(format!("{number}.db"));
    Ok(Arc::new(SqliteStore::open(&path, Arc::new(SystemClock))?))
}

async fn dynamodb(number: usize) -> anyhow::Result<Arc<dyn StateStore>> {
    use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("bench", "secret", None, None, "bench"))
        .endpoint_url(diogenes_conformance::dynoxide::endpoint());
    let client = aws_sdk_dynamodb::Client::from_conf(config.build());
    let table = format!("jobs-{number}");
    create_table(&client, &table).await.context("the table could not be made")?;
    Ok(Arc::new(DynamoStore::new(client, table, Arc::new(SystemClock))))
}

async fn round(store: Arc<dyn StateStore>, jobs: usize, waits: usize) -> anyhow::Result<Round> {
    let commits = commits(&store, jobs).await?;
    let world = World::new(store);
    let jobs = world.throughput(jobs).await?;
    let waits = world.waits(waits).await?;
    world.end().await?;
    Ok(Round { commits, jobs, waits })
}

/// Plain commits in a second.
async fn commits(store: &Arc<dyn StateStore>, count: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    spread(count, |number| {
        let store = store.clone();
        async move {
            let put = Write::Put {
                key: Key::new("BENCH", format!("{number:06}")),
                document: json!({"number": number}),
                index: None,
                expires_at: None,
                expect: Expect::Absent,
            };
            store.commit(&[put]).await.map(|_| ()).map_err(anyhow::Error::from)
        }
    })
    .await?;
    Ok(per_second(count, begun))
}

/// Does something so many times, some of them at once.
async fn spread<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    count: usize,
    act: impl Fn(usize) -> F,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        if tasks.len() >= AT_ONCE
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        tasks.spawn(act(number));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn per_second(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// What a worker has begun, and when.
#[derive(Default)]
struct Begun {
    times: Mutex<BTreeMap<JobId, Instant>>,
    more: Notify,
}

/// Does nothing.
struct Noop(Arc<Begun>);

#[async_trait]
impl Handler for Noop {
    async fn run(&self, work: &Work) -> Ended {
        let now = Instant::now();
        let id = work.job().await.id;
        self.0.times.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
        self.0.more.notify_one();
        Ended::with(JobOutcome::Completed { result: None })
    }
}

/// A worker, and what it works on.
struct World {
    jobs: Jobs,
    begun: Arc<Begun>,
    stop: oneshot::Sender<()>,
    worker: tokio::task::JoinHandle<()>,
}

impl World {
    fn new(store: Arc<dyn StateStore>) -> Self {
        let bell = Arc::new(Notify::new());
        let wake = Arc::new(Bell(bell.clone()));
        let jobs = Jobs::new(store, Arc::new(SystemClock), Arc::new(OsEntropy), wake);
        let begun = Arc::new(Begun::default());
        let handler: Arc<dyn Handler> = Arc::new(Noop(begun.clone()));
        let source =
            LocalJobs { jobs: jobs.clone(), clock: Arc::new(SystemClock), name: "bench".into() };
        let worker = Worker {
            source: Arc::new(source),
            lanes: vec![Lane { queue: QueueName::from(&NOOP), concurrency: 32 }],
            most: 32,
            capacity: Capacity::default(),
            handlers: BTreeMap::from([(NOOP, handler)]),
            grace: GRACE,
            bell,
            metrics: Arc::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let worker = tokio::spawn(worker.run(stopped));
        Self { jobs, begun, stop, worker }
    }

    /// Creates a job, and tells when that was asked for.
    async fn create(jobs: &Jobs) -> anyhow::Result<(JobId, Instant)> {
        let creator = Creator::new(&Subject::new("bench@example.com"), &KeyId::from_caller("b"));
        let new = NewJob::new(ProjectId::default(), NOOP, Value::Null, creator);
        let asked = Instant::now();
        Ok((jobs.create(&Allowed::operator(), new).await?.id, asked))
    }

    fn count(&self) -> usize {
        self.begun.times.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until so many jobs were begun.
    async fn until(&self, count: usize) {
        while self.count() < count {
            self.begun.more.notified().await;
        }
    }

    /// Jobs in a second, from the creation of the first to the beginning of the last.
    async fn throughput(&self, count: usize) -> anyhow::Result<f64> {
        let begun = Instant::now();
        spread(count, |_| {
            let jobs = self.jobs.clone();
            async move { Self::create(&jobs).await.map(|_| ()) }
        })
        .await?;
        self.until(count).await;
        Ok(per_second(count, begun))
    }

    /// How long jobs wait that come one at a time.
    async fn waits(&self, count: usize) -> anyhow::Result<Vec<Duration>> {
        let before = self.count();
        let mut waits = Vec::with_capacity(count);
        for number in 1..=count {
            let (id, asked) = Self::create(&self.jobs).await?;
            self.until(before + number).await;
            let times = self.begun.times.lock().unwrap_or_else(PoisonError::into_inner);
            waits.extend(times.get(&id).map(|begun| *begun - asked));
        }
        waits.sort();
        Ok(waits)
    }

    async fn end(self) -> anyhow::Result<()> {
        // Nobody is left to hear that it has ended already.
        let _ = self.stop.send(());
        self.worker.await.context("the worker has crashed")
    }
}

/// Prints the medians of the rounds.
fn report(store: &str, rounds: &[Round]) {
    let median = |of: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let wait = |percent: usize| {
        median(&|round: &Round| {
            let place =
                (round.waits.len() * percent / 100).min(round.waits.len().saturating_sub(1));
            round.waits.get(place).map_or(0.0, |wait| wait.as_secs_f64() * 1_000.0)
        })
    };
    println!(
        "{store:<10} {:>10.0} {:>10.0} {:>8.2} {:>9.2} {:>9.2}",
        median(&|round| round.commits),
        median(&|round| round.jobs),
        median(&|round| round.jobs / round.commits),
        wait(50),
        wait(99),
    );
}
