use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use diogenes_core::jobs::{
    BEAT, Capacity, ClaimError, Job, JobKind, JobOutcome, LEASE, Needs, QueueName,
};
use diogenes_core::ports::Write;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::handler::{Ended, Handler, Stop, Work};
use super::metrics::JobMetrics;
use super::source::{Attempt, Room, Source};

/// A worker that could not beat for so long stops, before its lease ends.
const SILENT: Duration = LEASE.saturating_sub(BEAT);
/// How long handlers usually may take to come to their ends when the worker stops.
pub const GRACE: Duration = Duration::from_secs(20);

/// How long a look may go on that is under way when the worker stops.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Takes jobs from queues and has them done.
pub struct Worker {
    /// Where its jobs come from.
    pub source: Arc<dyn Source>,
    pub lanes: Vec<Lane>,
    /// How many jobs it has at once in all.
    pub most: usize,
    /// What its machine has for them.
    pub capacity: Capacity,
    /// Who does which kind of job.
    pub handlers: BTreeMap<JobKind, Arc<dyn Handler>>,
    /// How long handlers may take to come to their ends when the worker stops, or an attempt has
    /// taken as long as it may.
    pub grace: Duration,
    /// Rings when something may be due.
    pub bell: Arc<Notify>,
    pub metrics: Arc<JobMetrics>,
}

/// A queue that a worker takes jobs from.
#[derive(Clone, Debug)]
pub struct Lane {
    pub queue: QueueName,
    /// How many of its jobs the worker has at once.
    pub concurrency: usize,
}

/// The jobs of this worker.
#[derive(Default)]
struct Running {
    /// Whether each got further.
    tasks: JoinSet<bool>,
    works: Vec<Attended>,
    stint: Stint,
}

/// What a worker has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stint {
    /// How many jobs it has begun or gone on with.
    pub begun: usize,
    /// Whether one of them got further, or came to another end than that the worker stopped.
    pub got_further: bool,
    /// Whether it ended because it was told to.
    pub was_stopped: bool,
}

/// A job for as long as its task has it, and the place of the lane that it came from.
struct Attended {
    lane: usize,
    needs: Needs,
    work: Weak<Work>,
}

impl Worker {
    /// Works until `stop` resolves; then its jobs are given back, each once its handler has come to a
    /// good place or the grace is over.
    pub async fn run(self, stop: oneshot::Receiver<()>) {
        self.work(None, stop).await;
    }

    /// The same, until nothing more is due within `patience` either.
    pub async fn run_while_due(self, patience: Duration, stop: oneshot::Receiver<()>) -> Stint {
        self.work(Some(patience), stop).await
    }

    async fn work(self, patience: Option<Duration>, mut stop: oneshot::Receiver<()>) -> Stint {
        let queues: Vec<_> = self.lanes.iter().map(|lane| lane.queue.clone()).collect();
        self.source.open(&queues).await;
        let mut running = Running::default();
        let mut busy_at = Instant::now();
        'work: loop {
            let mut look = self.source.look(self.room(&mut running));
            let found = loop {
                tokio::select! {
                    _ = &mut stop => {
                        // What it takes in this moment is given back like the rest.
                        if let Ok(found) = tokio::time::timeout(LAST_LOOK, look).await {
                            self.begin_all(found.jobs, &mut running);
                        }
                        break 'work;
                    }
                    Some(ended) = running.tasks.join_next() => running.ended(ended),
                    found = &mut look => break found,
                }
            };
            let pause = found.pause;
            self.begin_all(found.jobs, &mut running);
            if !running.tasks.is_empty() {
                busy_at = Instant::now();
            } else if patience.is_some_and(|most| pause.max(busy_at.elapsed()) >= most) {
                return running.stint;
            }
            tokio::select! {
                _ = &mut stop => break,
                () = self.bell.notified() => {}
                Some(ended) = running.tasks.join_next() => running.ended(ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
        for work in running.works.iter().filter_map(|attended| attended.work.upgrade()) {
            work.shut_down();
        }
        running.stint.was_stopped = true;
        // Each ends by itself, at the latest after the grace.
        while let Some(ended) = running.tasks.join_next().await {
            running.ended(ended);
        }
        running.stint
    }

    /// What it can take now.
    fn room(&self, running: &mut Running) -> Room {
        running.works.retain(|attended| attended.work.strong_count() > 0);
        let lanes = self.lanes.iter().enumerate().map(|(place, lane)| {
            let busy = running.works.iter().filter(|attended| attended.lane == place).count();
            (lane.queue.clone(), lane.concurrency.saturating_sub(busy))
        });
        let left = running
            .works
            .iter()
            .fold(self.capacity.clone(), |left, attended| left.without(&attended.needs));
        Room {
            lanes: lanes.collect(),
            most: self.most.saturating_sub(running.works.len()),
            kinds: self.handlers.keys().cloned().collect(),
            left,
        }
    }

    fn begin_all(&self, jobs: Vec<Box<dyn Attempt>>, running: &mut Running) {
        for attempt in jobs {
            let job = attempt.job();
            let lane = self.lanes.iter().position(|lane| lane.queue == job.queue).unwrap_or(0);
            let (needs, handler) = (job.needs.clone(), self.handlers.get(&job.kind).cloned());
            let work = Work::new(attempt);
            running.works.push(Attended { lane, needs, work: Arc::downgrade(&work) });
            running.stint.begun += 1;
            let (metrics, grace) = (self.metrics.clone(), self.grace);
            running.tasks.spawn(async move { attend(&work, handler, grace, &metrics).await });
        }
    }
}

impl Running {
    fn ended(&mut self, ended: Result<bool, JoinError>) {
        match ended {
            Ok(got_further) => self.stint.got_further |= got_further,
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the handler of a job panicked; the job is taken again once its lease is over"
            ),
        }
    }
}

/// Runs a handler to its end, and says all the while that its worker lives. Returns whether the job got
/// further.
async fn attend(
    work: &Work,
    handler: Option<Arc<dyn Handler>>,
    grace: Duration,
    metrics: &JobMetrics,
) -> bool {
    let job = work.job().await;
    let before = done(&job);
    let begun = metrics.begin(&job);
    let (id, kind) = (job.id.to_string(), job.kind.to_string());
    let Some(handler) = handler else {
        let message = format!("this worker has no handler for jobs of the kind `{kind}`");
        let outcome = JobOutcome::Failed { message, is_final: true };
        finish(work, outcome, &[], &id).await;
        return true;
    };
    tracing::info!(job = %id, kind = %kind, attempt = job.attempt, "job begun");
    // All are polled at all times: while the handler waits for the job's claim, so does a beat.
    let mut ended = tokio::select! {
        ended = handler.run(work) => ended,
        why = overdue(work.stop(), grace) => Ended::stopped(why),
        never = limit(work, job.timeout) => match never {},
        error = keep_alive(work, &id) => {
            tracing::warn!(
                job = %id, error = &error as &dyn std::error::Error,
                "job given up: it is another worker's by now"
            );
            return false;
        }
    };
    if let (Stop::TimedOut, Some(timeout)) = (work.why(), job.timeout)
        && !matches!(ended.outcome, JobOutcome::Completed { .. })
    {
        let timeout = diogenes_core::duration::format(timeout);
        let message = format!("the attempt took longer than its timeout of {timeout}");
        ended.outcome = JobOutcome::Failed { message, is_final: false };
    }
    begun.ended(&ended.outcome);
    let is_cut = ended.outcome == JobOutcome::Released;
    if finish(work, ended.outcome, &ended.writes, &id).await
        && let Some(afterwards) = ended.afterwards
    {
        afterwards.await;
    }
    !is_cut || done(&work.job().await) > before
}

/// How much of a job is done, as its handler counts.
fn done(job: &Job) -> u64 {
    job.progress.as_ref().map_or(0, |progress| progress.done)
}

/// Says again and again that the worker lives; returns why that counts no longer.
async fn keep_alive(work: &Work, id: &str) -> ClaimError {
    let mut heard = Instant::now();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat.tick().await;
    loop {
        beat.tick().await;
        match work.beat().await {
            Ok(()) => heard = Instant::now(),
            Err(ClaimError::Store(error)) if heard.elapsed() < SILENT => {
                tracing::warn!(
                    job = id,
                    error = &error as &dyn std::error::Error,
                    "a worker could not say that it lives; it tries again"
                );
            }
            Err(error) => return error,
        }
    }
}

/// Tells the handler when the attempt has taken as long as it may.
async fn limit(work: &Work, timeout: Option<Duration>) -> Infallible {
    if let Some(timeout) = timeout {
        tokio::time::sleep(timeout).await;
        work.time_out();
    }
    std::future::pending().await
}

/// Resolves once the grace is over of a handler that was told to stop.
async fn overdue(mut stop: watch::Receiver<Stop>, grace: Duration) -> Stop {
    // Who tells lives as long as the work.
    let why = stop.wait_for(|stop| matches!(stop, Stop::Shutdown | Stop::TimedOut)).await;
    let why = why.map_or(Stop::Shutdown, |why| *why);
    tokio::time::sleep(grace).await;
    why
}

/// Writes how an attempt has ended; false where that did not count.
async fn finish(work: &Work, outcome: JobOutcome, writes: &[Write], id: &str) -> bool {
    let told = format!("{outcome:?}");
    match work.finish(outcome, writes).await {
        Ok(job) => {
            tracing::info!(job = id, state = ?job.state, "job ended its attempt");
            true
        }
        Err(error) => {
            tracing::warn!(
                job = id,
                outcome = told,
                error = &error as &dyn std::error::Error,
                "the end of an attempt was not recorded; another worker goes on"
            );
            false
        }
    }
}
