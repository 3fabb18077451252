use std::sync::{Arc, Mutex as PlainMutex, PoisonError};

use async_trait::async_trait;
use diogenes_core::jobs::{Claim, ClaimError, Job, JobOutcome, Progress};
use diogenes_core::ports::Write;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

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
}

/// A job that is being worked on.
pub struct Work {
    pub(super) claim: Mutex<Claim>,
    pub(super) progress: PlainMutex<Option<Progress>>,
    pub(super) stop: watch::Sender<Stop>,
}

impl Work {
    pub(super) fn new(claim: Claim) -> Arc<Self> {
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

    /// Commits records of the handler's own, if the job is still this worker's.
    ///
    /// # Errors
    /// As [`Claim::commit`]. After [`ClaimError::Lost`] nothing that it does counts any more.
    pub async fn commit(&self, writes: &[Write]) -> Result<(), ClaimError> {
        let mut claim = self.claim.lock().await;
        let result = claim.commit(writes).await;
        self.look_at(&claim);
        result
    }

    /// Says that the worker lives, and how far it is, now and not with the next beat.
    ///
    /// # Errors
    /// As [`Claim::beat`].
    pub async fn beat(&self) -> Result<(), ClaimError> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut claim = self.claim.lock().await;
        claim.beat(progress).await?;
        self.look_at(&claim);
        Ok(())
    }

    /// Adds lines to the job's log.
    ///
    /// # Errors
    /// As [`Claim::log`].
    pub async fn log(&self, lines: Vec<String>) -> Result<(), ClaimError> {
        self.claim.lock().await.log(lines).await
    }

    /// Takes over from the claim whether somebody has asked for the job's end.
    fn look_at(&self, claim: &Claim) {
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
