use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use diogenes_core::fleet::eta::since;
use diogenes_core::jobs::{BEAT, Claim, ClaimError, JobKind, JobOutcome, Jobs, LEASE, QueueName};
use diogenes_core::ports::{Clock, StoreError};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handler::{Handler, Stop, Work};

/// How often queues are looked at though nothing rings.
const EVERY: Duration = Duration::from_secs(30);
/// How long to wait before another look at a queue whose due jobs could not be taken.
const AGAIN: Duration = Duration::from_secs(1);
/// A worker that could not beat for so long stops, before its lease ends.
const SILENT: Duration = LEASE.saturating_sub(BEAT);
/// How long handlers may take to come to their ends when the worker stops.
const GRACE: Duration = Duration::from_secs(20);

/// Takes jobs from queues and has them done.
pub struct Worker {
    pub jobs: Jobs,
    pub clock: Arc<dyn Clock>,
    /// Its name in the records of the jobs that it has.
    pub name: String,
    pub lanes: Vec<Lane>,
    /// Who does which kind of job.
    pub handlers: BTreeMap<JobKind, Arc<dyn Handler>>,
    /// Rings when something may be due.
    pub bell: Arc<Notify>,
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
    tasks: JoinSet<usize>,
    per_lane: Vec<usize>,
    works: Vec<std::sync::Weak<Work>>,
}

impl Worker {
    /// Works until `stop` resolves; then its jobs are given back, each once its handler has come to a
    /// good place or the grace is over.
    ///
    /// No other worker has its name: jobs that are said to be its at the start are those of a process
    /// that has ended.
    pub async fn run(self, mut stop: oneshot::Receiver<()>) {
        for lane in &self.lanes {
            match self.jobs.rescue(&lane.queue, Some(&self.name)).await {
                Ok(0) => {}
                Ok(rescued) => tracing::info!(
                    queue = %lane.queue, rescued, "going on with jobs of an earlier process"
                ),
                Err(error) => unreadable(&lane.queue, &error),
            }
        }
        let mut running = Running { per_lane: vec![0; self.lanes.len()], ..Running::default() };
        loop {
            let pause = self.look(&mut running).await;
            tokio::select! {
                _ = &mut stop => break,
                () = self.bell.notified() => {}
                Some(ended) = running.tasks.join_next() => running.ended(ended.ok()),
                () = tokio::time::sleep(pause) => {}
            }
        }
        for work in running.works.iter().filter_map(std::sync::Weak::upgrade) {
            work.stop.send_replace(Stop::Shutdown);
        }
        // Each ends by itself, at the latest after the grace.
        while running.tasks.join_next().await.is_some() {}
    }

    /// Takes what is due, as far as there is room; returns until when there is nothing to do.
    async fn look(&self, running: &mut Running) -> Duration {
        let mut pause = EVERY;
        running.works.retain(|work| work.strong_count() > 0);
        for (place, lane) in self.lanes.iter().enumerate() {
            match self.look_at(place, lane, running).await {
                Ok(until) => pause = pause.min(until),
                Err(error) => {
                    unreadable(&lane.queue, &error);
                    pause = pause.min(AGAIN);
                }
            }
        }
        pause
    }

    async fn look_at(
        &self,
        place: usize,
        lane: &Lane,
        running: &mut Running,
    ) -> Result<Duration, StoreError> {
        self.jobs.rescue(&lane.queue, None).await?;
        let busy = running.per_lane.get(place).copied().unwrap_or(0);
        let free = lane.concurrency.saturating_sub(busy);
        for claim in self.jobs.claim(&lane.queue, &self.name, free).await? {
            self.begin(place, claim, running);
        }
        let is_full = running.per_lane.get(place).is_some_and(|busy| *busy >= lane.concurrency);
        let due = self.jobs.next_due(&lane.queue).await?;
        Ok(match due.map(|due| since(self.clock.now(), due)) {
            _ if is_full => EVERY,
            // It could not be taken: its queue is bounded, or somebody else was faster.
            Some(Duration::ZERO) => AGAIN,
            Some(until) => until,
            None => EVERY,
        })
    }

    fn begin(&self, place: usize, claim: Claim, running: &mut Running) {
        let handler = self.handlers.get(&claim.job().kind).cloned();
        let work = Work::new(claim);
        running.works.push(Arc::downgrade(&work));
        if let Some(busy) = running.per_lane.get_mut(place) {
            *busy += 1;
        }
        running.tasks.spawn(async move {
            attend(&work, handler).await;
            place
        });
    }
}

impl Running {
    fn ended(&mut self, place: Option<usize>) {
        if let Some(busy) = place.and_then(|place| self.per_lane.get_mut(place)) {
            *busy = busy.saturating_sub(1);
        } else {
            // Its job is taken again once its lease is over.
            tracing::error!("the handler of a job panicked");
            self.per_lane.iter_mut().for_each(|busy| *busy = busy.saturating_sub(1));
        }
    }
}

/// Runs a handler to its end, and says all the while that its worker lives.
async fn attend(work: &Work, handler: Option<Arc<dyn Handler>>) {
    let job = work.job().await;
    let (id, kind) = (job.id.to_string(), job.kind.to_string());
    let Some(handler) = handler else {
        let message = format!("this worker has no handler for jobs of the kind `{kind}`");
        let outcome = JobOutcome::Failed { message, is_final: true };
        finish(work, outcome, &[], &id).await;
        return;
    };
    tracing::info!(job = %id, kind = %kind, attempt = job.attempt, "job begun");
    let ended = {
        let mut run = std::pin::pin!(handler.run(work));
        let mut stop = work.stop();
        let mut ends = None;
        let mut heard = Instant::now();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            tokio::select! {
                ended = &mut run => break Some(ended),
                () = is_shut_down(&mut stop), if ends.is_none() => {
                    ends = Some(Instant::now() + GRACE);
                }
                () = until(ends) => break None,
                _ = beat.tick() => match work.beat().await {
                    Ok(()) => heard = Instant::now(),
                    Err(ClaimError::Store(error)) if heard.elapsed() < SILENT => {
                        tracing::warn!(
                            job = %id, error = &error as &dyn std::error::Error,
                            "a worker could not say that it lives; it tries again"
                        );
                    }
                    Err(error) => {
                        tracing::warn!(
                            job = %id, error = &error as &dyn std::error::Error,
                            "job given up: it is another worker's by now"
                        );
                        return;
                    }
                },
            }
        }
    };
    match ended {
        Some(ended) => {
            if finish(work, ended.outcome, &ended.writes, &id).await
                && let Some(afterwards) = ended.afterwards
            {
                afterwards.await;
            }
        }
        None => {
            finish(work, JobOutcome::Released, &[], &id).await;
        }
    }
}

async fn is_shut_down(stop: &mut watch::Receiver<Stop>) {
    // Who tells lives as long as the work.
    let _ = stop.wait_for(|stop| *stop == Stop::Shutdown).await;
}

async fn until(ends: Option<Instant>) {
    match ends {
        Some(ends) => tokio::time::sleep_until(ends).await,
        None => std::future::pending().await,
    }
}

/// Writes how an attempt has ended; false where that did not count.
async fn finish(
    work: &Work,
    outcome: JobOutcome,
    writes: &[diogenes_core::ports::Write],
    id: &str,
) -> bool {
    let progress = work.progress.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut claim = work.claim.lock().await;
    let told = format!("{outcome:?}");
    let result = async {
        if progress.is_some() {
            claim.beat(progress).await?;
        }
        claim.finish(outcome, writes).await
    };
    match result.await {
        Ok(()) => {
            let job = claim.job();
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

fn unreadable(queue: &QueueName, error: &StoreError) {
    tracing::warn!(
        queue = %queue, error = error as &dyn std::error::Error,
        "a queue could not be read; trying again soon"
    );
}
