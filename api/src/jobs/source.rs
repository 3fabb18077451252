//! Where a worker gets its jobs, and what it can do with one that it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::fleet::eta::since;
use diogenes_core::jobs::{
    Capacity, Claim, ClaimError, Job, JobFit, JobKind, JobOutcome, Jobs, Progress, QueueName,
};
use diogenes_core::ports::{Clock, StoreError, Version, Write};
use serde_json::Value;

/// How often queues are looked at though nothing rings.
pub const EVERY: Duration = Duration::from_secs(30);
/// How long to wait before another look at a queue whose due jobs could not be taken.
pub const AGAIN: Duration = Duration::from_secs(1);

/// Where jobs come from: the store, or a server that has one.
#[async_trait]
pub trait Source: Send + Sync {
    /// Called once, before the first look at these queues.
    async fn open(&self, _queues: &[QueueName]) {}

    /// Takes jobs that are due and fit, no more than there is room for. It may take a while where
    /// there are none. Dropped on its way, it may have taken some that nobody hears of until their
    /// leases are over. Errors are logged here.
    async fn look(&self, room: Room) -> Found;
}

/// What a worker can take at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its queues, and how many jobs of each it can take.
    pub lanes: Vec<(QueueName, usize)>,
    /// How many it can take in all.
    pub most: usize,
    /// The kinds that it handles.
    pub kinds: BTreeSet<JobKind>,
    /// What its machine has left.
    pub left: Capacity,
}

/// What came of a look.
pub struct Found {
    pub jobs: Vec<Box<dyn Attempt>>,
    /// Until when there is nothing to do, unless something rings.
    pub pause: Duration,
}

/// A job that a worker has. Everything that is written through it is fenced, as [`Claim`] says.
#[async_trait]
pub trait Attempt: Send {
    /// The job as it was last read or written.
    fn job(&self) -> &Job;

    /// What it is to do.
    fn arguments(&self) -> &Value;

    /// Whether somebody has asked for its end, as far as is known.
    fn is_cancelled(&self) -> bool;

    /// Says that the worker lives, and how far it is.
    async fn beat(&mut self, progress: Option<Progress>) -> Result<(), ClaimError>;

    /// Adds lines to the job's log. Beyond a bound they are dropped.
    async fn log(&mut self, lines: Vec<String>) -> Result<(), ClaimError>;

    /// Commits records of the handler's own; only where the source is a store.
    async fn commit(&mut self, writes: &[Write]) -> Result<Vec<Option<Version>>, ClaimError>;

    /// Ends the attempt, together with records of the handler's own.
    async fn finish(
        &mut self,
        outcome: JobOutcome,
        progress: Option<Progress>,
        writes: &[Write],
    ) -> Result<(), ClaimError>;
}

#[async_trait]
impl Attempt for Claim {
    fn job(&self) -> &Job {
        Self::job(self)
    }

    fn arguments(&self) -> &Value {
        Self::arguments(self)
    }

    fn is_cancelled(&self) -> bool {
        Self::is_cancelled(self)
    }

    async fn beat(&mut self, progress: Option<Progress>) -> Result<(), ClaimError> {
        Self::beat(self, progress).await
    }

    async fn log(&mut self, lines: Vec<String>) -> Result<(), ClaimError> {
        Self::log(self, lines).await
    }

    async fn commit(&mut self, writes: &[Write]) -> Result<Vec<Option<Version>>, ClaimError> {
        Self::commit(self, writes).await
    }

    async fn finish(
        &mut self,
        outcome: JobOutcome,
        progress: Option<Progress>,
        writes: &[Write],
    ) -> Result<(), ClaimError> {
        Self::finish(self, outcome, progress, writes).await
    }
}

/// The store of this process.
pub struct LocalJobs {
    pub jobs: Jobs,
    pub clock: Arc<dyn Clock>,
    /// The worker's name in the records of the jobs that it has. No other worker has it: jobs that
    /// are said to be its at the start are those of a process that has ended.
    pub name: String,
}

#[async_trait]
impl Source for LocalJobs {
    async fn open(&self, queues: &[QueueName]) {
        for queue in queues {
            match self.jobs.rescue(queue, Some(&self.name)).await {
                Ok(0) => {}
                Ok(rescued) => tracing::info!(
                    queue = %queue, rescued, "going on with jobs of an earlier process"
                ),
                Err(error) => unreadable(queue, &error),
            }
        }
    }

    async fn look(&self, mut room: Room) -> Found {
        let mut found = Found { jobs: Vec::new(), pause: EVERY };
        for (queue, free) in std::mem::take(&mut room.lanes) {
            let pause = match self.look_at(&queue, free, &mut room, &mut found.jobs).await {
                Ok(pause) => pause,
                Err(error) => {
                    unreadable(&queue, &error);
                    AGAIN
                }
            };
            found.pause = found.pause.min(pause);
        }
        found
    }
}

impl LocalJobs {
    async fn look_at(
        &self,
        queue: &QueueName,
        free: usize,
        room: &mut Room,
        found: &mut Vec<Box<dyn Attempt>>,
    ) -> Result<Duration, StoreError> {
        self.jobs.rescue(queue, None).await?;
        let free = free.min(room.most);
        let fit = JobFit::of_worker(room.kinds.clone(), room.left.clone());
        let claims = self.jobs.claim_fitting(queue, &self.name, free, &fit).await?;
        let is_full = claims.len() >= free;
        room.most = room.most.saturating_sub(claims.len());
        for claim in claims {
            room.left = room.left.without(&claim.job().needs);
            found.push(Box::new(claim));
        }
        if is_full {
            // An end rings.
            return Ok(EVERY);
        }
        let due = self.jobs.next_due(queue).await?;
        Ok(match due.map(|due| since(self.clock.now(), due)) {
            // It could not be taken: it does not fit, its queue is bounded, or somebody else was
            // faster.
            Some(Duration::ZERO) => AGAIN,
            Some(until) => until,
            None => EVERY,
        })
    }
}

fn unreadable(queue: &QueueName, error: &StoreError) {
    tracing::warn!(
        queue = %queue, error = error as &dyn std::error::Error,
        "a queue could not be read; trying again soon"
    );
}
