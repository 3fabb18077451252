use std::sync::{Arc, Mutex as PlainMutex, PoisonError};

use async_trait::async_trait;
use diogenes_core::jobs::{ClaimError, Job, JobOutcome, Progress};
use diogenes_core::ports::{Version, Write};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use super::source::Attempt;

/// Does the work of one kind of job.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Works on a job until it ends, or until [`Work::stop`] says to. It may be dropped at any await:
    /// what it has done must be in the store by then, for whoever goes on.
    async fn run(&self, work: &Work) -> Ended;
}

/// How an attempt has ended.
pub struct Ended {
    pub outcome: JobOutcome,
    /// Committed together with it.
    pub writes: Vec<Write>,
    /// What is left to do once that is committed; lost if the process dies.
    pub afterwards: Option<BoxFuture<'static, ()>>,
}

impl Ended {
    /// An end with nothing to write beside it.
    pub fn with(outcome: JobOutcome) -> Self {
        Self { outcome, writes: Vec::new(), afterwards: None }
    }

    /// The end of a handler that was told to stop and has nothing to show for it.
    pub fn stopped(why: Stop) -> Self {
        match why {
            Stop::Cancelled => Self::with(JobOutcome::Cancelled),
            Stop::No | Stop::Shutdown => Self::with(JobOutcome::Released),
            Stop::TimedOut => Self::failed("the attempt took longer than it may"),
        }
    }

    /// A failure that another attempt may help.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::with(JobOutcome::Failed { message: message.into(), is_final: false })
    }
}

/// Why a handler should come to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// It need not.
    #[default]
    No,
    /// Somebody asked for the end of the job.
    Cancelled,
    /// This worker stops; another one goes on.
    Shutdown,
    /// The attempt has taken longer than it may.
    TimedOut,
}

/// A job that is being worked on.
pub struct Work {
    claim: Mutex<Box<dyn Attempt>>,
    progress: PlainMutex<Option<Progress>>,
    stop: watch::Sender<Stop>,
}

impl Work {
    pub(super) fn new(claim: Box<dyn Attempt>) -> Arc<Self> {
        let stop = if claim.is_cancelled() { Stop::Cancelled } else { Stop::No };
        Arc::new(Self {
            claim: Mutex::new(claim),
            progress: PlainMutex::default(),
            stop: watch::Sender::new(stop),
        })
    }

    /// The job as it was last read or written.
    pub async fn job(&self) -> Job {
        self.claim.lock().await.job().clone()
    }

    /// What it is to do.
    pub async fn arguments(&self) -> Value {
        self.claim.lock().await.arguments().clone()
    }

    /// Says how far it is; written with the next beat.
    pub fn progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    /// Whether the handler should come to its end, and changes of that.
    pub fn stop(&self) -> watch::Receiver<Stop> {
        self.stop.subscribe()
    }

    /// Commits records of the handler's own, if the job is still this worker's, and returns their
    /// versions.
    ///
    /// # Errors
    /// As [`Claim::commit`](diogenes_core::jobs::Claim::commit). After [`ClaimError::Lost`] nothing that it does counts any more.
    pub async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, ClaimError> {
        let mut claim = self.claim.lock().await;
        let result = claim.commit(writes).await;
        self.look_at(&**claim);
        result
    }

    /// Says that the worker lives, and how far it is, now and not with the next beat.
    ///
    /// # Errors
    /// As [`Attempt::beat`].
    pub async fn beat(&self) -> Result<(), ClaimError> {
        let mut claim = self.claim.lock().await;
        claim.beat(self.latest_progress()).await?;
        self.look_at(&**claim);
        Ok(())
    }

    /// Ends the attempt, and returns the job as it stands then.
    pub(super) async fn finish(
        &self,
        outcome: JobOutcome,
        writes: &[Write],
    ) -> Result<Job, ClaimError> {
        let mut claim = self.claim.lock().await;
        claim.finish(outcome, self.latest_progress(), writes).await?;
        Ok(claim.job().clone())
    }

    /// Tells the handler that this worker stops.
    pub(super) fn shut_down(&self) {
        self.stop.send_if_modified(|stop| {
            let is_new = *stop != Stop::TimedOut;
            if is_new {
                *stop = Stop::Shutdown;
            }
            is_new
        });
    }

    /// Tells the handler that the attempt has taken as long as it may.
    pub(super) fn time_out(&self) {
        self.stop.send_replace(Stop::TimedOut);
    }

    /// Why the handler was told to stop.
    pub(super) fn why(&self) -> Stop {
        *self.stop.borrow()
    }

    fn latest_progress(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds lines to the job's log.
    ///
    /// # Errors
    /// As [`Attempt::log`].
    pub async fn log(&self, lines: Vec<String>) -> Result<(), ClaimError> {
        let mut claim = self.claim.lock().await;
        let result = claim.log(lines).await;
        self.look_at(&**claim);
        result
    }

    /// Takes over from the claim whether somebody has asked for the job's end.
    fn look_at(&self, claim: &dyn Attempt) {
        if claim.is_cancelled() {
            self.stop.send_if_modified(|stop| {
                let is_new = *stop == Stop::No;
                if is_new {
                    *stop = Stop::Cancelled;
                }
                is_new
            });
        }
    }
}
