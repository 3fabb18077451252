use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::jobs::{
    BEAT, Capacity, Creator, Cron, Job, JobFilter, JobId, JobOutcome, JobState, JobStatus, Jobs,
    NewJob, NewSchedule, Progress,
};
use diogenes_core::keys::KeyId;
use diogenes_core::ports::{
    Bound, Clock as _, Expect, Item, Key, Page, Query, StateStore, StoreError, Version, Write,
};
use diogenes_core::tenancy::{Allowed, ProjectId, Subject};
use diogenes_core::testing::{CountingWake, MemoryStore, SeededEntropy};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::{Ended, GRACE, Handler, Lane, LocalJobs, Stint, Stop, Work, Worker};
use crate::proxy::testing::TokioClock;

/// How long the store of these tests takes for a commit: longer than the time between two beats.
const COMMIT: Duration = Duration::from_secs(BEAT.as_secs() + 5);

/// A store in memory whose commits take long.
struct Slow(MemoryStore);

#[async_trait]
impl StateStore for Slow {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.0.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.0.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        tokio::time::sleep(COMMIT).await;
        self.0.commit(writes).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.0.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.0.count(key).await
    }
}

/// Does what the arguments of a job say.
struct Scripted;

#[async_trait]
impl Handler for Scripted {
    async fn run(&self, work: &Work) -> Ended {
        match work.arguments().await.as_str() {
            Some("write") => {
                let mark = Write::Put {
                    key: Key::new("MARK", "-"),
                    document: json!(1),
                    index: None,
                    expires_at: None,
                    expect: Expect::Any,
                };
                let versions = work.commit(&[mark]).await.unwrap();
                assert!(matches!(versions[..], [Some(_)]), "{versions:?}");
                work.progress(Progress { done: 1, total: 1, message: "written".into() });
            }
            Some("panic") => panic!("as the job says"),
            Some("wait") => {
                work.stop().wait_for(|stop| *stop != Stop::No).await.unwrap();
                return Ended::with(JobOutcome::Cancelled);
            }
            _ => std::future::pending().await,
        }
        Ended::with(JobOutcome::Completed { result: None })
    }
}

fn worker(jobs: &Jobs, clock: &Arc<TokioClock>, queues: &[&str]) -> Worker {
    let handler: Arc<dyn Handler> = Arc::new(Scripted);
    let lane = |queue: &&str| Lane { queue: queue.parse().unwrap(), concurrency: 1 };
    let (jobs, clock, name) = (jobs.clone(), clock.clone(), queues.concat());
    Worker {
        source: Arc::new(LocalJobs { jobs, clock, name }),
        most: 10,
        capacity: Capacity { cpu: 4, ..Capacity::default() },
        lanes: queues.iter().map(lane).collect(),
        handlers: BTreeMap::from([("scripted".parse().unwrap(), handler)]),
        grace: GRACE,
        bell: Arc::new(Notify::new()),
        metrics: Arc::default(),
    }
}

/// A worker with two lanes, `one` and `two`, of one place each.
struct World {
    jobs: Jobs,
    clock: Arc<TokioClock>,
    stop: oneshot::Sender<()>,
    worker: JoinHandle<()>,
}

fn new_job(queue: &str, what: &str) -> NewJob {
    let creator = Creator::new(&Subject::new("a@b.c"), &KeyId::from_caller("k"));
    let kind = "scripted".parse().unwrap();
    let mut new = NewJob::new(ProjectId::default(), kind, Value::from(what), creator);
    (new.queue, new.max_attempts) = (queue.parse().unwrap(), 1);
    new
}

impl World {
    fn new(store: impl FnOnce(MemoryStore) -> Arc<dyn StateStore>) -> Self {
        let clock = TokioClock::new();
        let store = store(MemoryStore::new(clock.clone()));
        let (entropy, wake) = (Arc::new(SeededEntropy::new(1)), Arc::new(CountingWake::default()));
        let jobs = Jobs::new(store, clock.clone(), entropy, wake);
        let worker = worker(&jobs, &clock, &["one", "two"]);
        let (stop, stopped) = oneshot::channel();
        let worker = tokio::spawn(worker.run(stopped));
        Self { jobs, clock, stop, worker }
    }

    async fn create(&self, queue: &str, what: &str) -> JobId {
        self.create_in(queue, what, Duration::ZERO).await
    }

    async fn create_in(&self, queue: &str, what: &str, time: Duration) -> JobId {
        let mut new = new_job(queue, what);
        new.run_at = Some(self.clock.now() + time);
        self.jobs.create(&Allowed::operator(), new).await.unwrap().id
    }

    async fn job(&self, id: &JobId) -> Job {
        self.jobs.load(&ProjectId::default(), id).await.unwrap().unwrap().value
    }

    async fn status(&self, id: &JobId) -> JobStatus {
        self.job(id).await.status(self.clock.now())
    }

    /// Waits, in the time of a paused clock.
    async fn comes_to(&self, id: &JobId, wanted: JobStatus) {
        let deadline = self.clock.now() + Duration::from_mins(10);
        while self.status(id).await != wanted {
            assert!(self.clock.now() < deadline, "it is {}", self.status(id).await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.worker.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_for_a_while_ends_once_nothing_more_is_due() {
    let patience = Duration::from_secs(20);
    for (what, later, stint) in [
        ("write", 0, Stint { begun: 1, got_further: true, was_stopped: false }),
        ("write", 15, Stint { begun: 1, got_further: true, was_stopped: false }),
        ("write", 60, Stint { begun: 0, got_further: false, was_stopped: false }),
        ("hang", 0, Stint { begun: 1, got_further: false, was_stopped: true }),
    ] {
        let world = World::new(|memory| Arc::new(memory));
        let (stop, stopped) = oneshot::channel();
        world.create_in("three", what, Duration::from_secs(later)).await;
        let worker = worker(&world.jobs, &world.clock, &["three"]);
        let ran = tokio::spawn(worker.run_while_due(patience, stopped));
        tokio::time::sleep(Duration::from_mins(5)).await;
        let _ = stop.send(());
        assert_eq!(ran.await.unwrap(), stint, "{what} in {later} s");
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_commits_outlast_a_beat_ends() {
    let world = World::new(|memory| Arc::new(Slow(memory)));
    let id = world.create("one", "write").await;
    world.comes_to(&id, JobStatus::Completed).await;
    let progress = world.job(&id).await.progress.unwrap();
    assert_eq!((progress.done, &*progress.message), (1, "written"), "told with the end");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_gives_its_place_back_and_no_other() {
    let world = World::new(|memory| Arc::new(memory));
    let held = world.create("two", "wait").await;
    world.comes_to(&held, JobStatus::Running).await;
    let waits = world.create("two", "write").await;
    let panics = world.create("one", "panic").await;
    let next = world.create("one", "write").await;
    world.comes_to(&next, JobStatus::Completed).await;
    assert_eq!(world.status(&waits).await, JobStatus::Available, "the other lane is full");
    world.comes_to(&panics, JobStatus::Discarded).await;
    world.jobs.cancel(&Allowed::operator(), &ProjectId::default(), held.as_str()).await.unwrap();
    world.comes_to(&held, JobStatus::Cancelled).await;
    world.comes_to(&waits, JobStatus::Completed).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_stop_is_dropped_after_the_grace() {
    let world = World::new(|memory| Arc::new(memory));
    let id = world.create("one", "hang").await;
    world.comes_to(&id, JobStatus::Running).await;
    let (jobs, clock) = (world.jobs.clone(), world.clock.clone());
    world.end().await;
    let job = jobs.load(&ProjectId::default(), &id).await.unwrap().unwrap().value;
    assert_eq!((job.status(clock.now()), job.attempt), (JobStatus::Available, 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_stopped_and_has_failed() {
    let world = World::new(|memory| Arc::new(memory));
    for (queue, what) in [("one", "wait"), ("two", "hang")] {
        let mut new = new_job(queue, what);
        new.timeout = Some(Duration::from_secs(90));
        let id = world.jobs.create(&Allowed::operator(), new).await.unwrap().id;
        world.comes_to(&id, JobStatus::Discarded).await;
        let job = world.job(&id).await;
        let took = job.finished_at.unwrap().duration_since(job.started_at.unwrap()).as_secs();
        assert!((90..=111).contains(&took), "{what}: {took}");
        let message = job.failure.unwrap().message;
        assert_eq!(message, "the attempt took longer than its timeout of 1m 30s", "{what}");
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_what_fits_is_taken() {
    let world = World::new(|memory| Arc::new(memory));
    let mut large = new_job("one", "write");
    large.needs.cpu = 5;
    let mut other = new_job("one", "write");
    other.kind = "other".parse().unwrap();
    let mut behind = Vec::new();
    for new in [large, other, new_job("one", "write")] {
        behind.push(world.jobs.create(&Allowed::operator(), new).await.unwrap().id);
    }
    world.comes_to(&behind[2], JobStatus::Completed).await;
    assert_eq!(world.status(&behind[0]).await, JobStatus::Available);
    assert_eq!(world.status(&behind[1]).await, JobStatus::Available);
    // What runs takes its part.
    let mut held = new_job("two", "wait");
    held.needs.cpu = 4;
    let held = world.jobs.create(&Allowed::operator(), held).await.unwrap().id;
    world.comes_to(&held, JobStatus::Running).await;
    let mut next = new_job("one", "write");
    next.needs.cpu = 1;
    let next = world.jobs.create(&Allowed::operator(), next).await.unwrap().id;
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.status(&next).await, JobStatus::Available);
    world.jobs.cancel(&Allowed::operator(), &ProjectId::default(), held.as_str()).await.unwrap();
    world.comes_to(&next, JobStatus::Completed).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_does_the_jobs_of_a_schedule_at_their_times() {
    let world = World::new(|memory| Arc::new(memory));
    let cron = Cron { expression: "*/2 * * * *".into(), time_zone: "UTC".into() };
    let job = new_job("one", "write");
    let new = NewSchedule { name: "tick".parse().unwrap(), cron, overlaps: false, job };
    world.jobs.apply_schedule(&Allowed::operator(), new).await.unwrap();
    tokio::time::sleep(Duration::from_mins(11)).await;
    let (by, project, filter) = (Allowed::operator(), ProjectId::default(), JobFilter::default());
    let page = world.jobs.list(&by, &project, &filter, 100, None).await.unwrap();
    let (done, waiting): (Vec<_>, Vec<_>) =
        page.jobs.into_iter().partition(|job| job.state == JobState::Completed);
    assert!((5..=6).contains(&done.len()) && waiting.len() == 1, "{done:?} {waiting:?}");
    for job in done {
        let late = job.started_at.unwrap().duration_since(job.run_at).as_secs();
        assert!((0..=1).contains(&late), "{late} s late");
    }
    world.end().await;
}
