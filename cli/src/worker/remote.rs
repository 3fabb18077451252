use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_api::control::{
    BeatAnswer, BeatWork, ClaimWork, FinishWork, JobProgress, WorkItem, WorkPage,
};
use diogenes_api::jobs::{AGAIN, Attempt, EVERY, Found, Room, Source};
use diogenes_core::jobs::{
    Capacity, ClaimError, Job, JobKind, JobOutcome, LEASE, Progress, QueueName,
};
use diogenes_core::ports::{StoreError, Version, Write};
use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Client, decode};
use crate::exit::{Failure, ServerError};

/// How long a claim waits for a job.
const POLL: Duration = Duration::from_secs(20);
/// The most jobs that are asked for at once.
const MOST: usize = 100;

/// The jobs of a server, over HTTP.
pub(super) struct RemoteJobs {
    client: Client,
    name: String,
    /// How many claims have failed since the last that did not.
    failures: AtomicU32,
}

impl RemoteJobs {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self { client, name, failures: AtomicU32::new(0) }
    }

    /// Asks for nothing, so that a wrong URL or key is told at once.
    pub(super) async fn try_out(&self, queues: &[QueueName]) -> Result<(), Failure> {
        let nothing = ClaimWork {
            worker: self.name.clone(),
            queues: queues.to_vec(),
            kinds: BTreeSet::<JobKind>::new(),
            most: 1,
            has: Capacity::default(),
            wait: Duration::ZERO,
        };
        self.claim(&nothing).await.map(|_| ())
    }

    async fn claim(&self, wanted: &ClaimWork) -> Result<WorkPage, Failure> {
        decode(self.client.post(&["api", "v1", "work", "claim"], wanted).await?)
    }
}

#[async_trait]
impl Source for RemoteJobs {
    async fn look(&self, room: Room) -> Found {
        let open = room.lanes.iter().filter(|(_, free)| *free > 0);
        let queues: Vec<_> = open.map(|(queue, _)| queue.clone()).collect();
        let most = room.most.min(MOST);
        if queues.is_empty() || most == 0 {
            // An end rings.
            return Found { jobs: Vec::new(), pause: EVERY };
        }
        let wanted = ClaimWork {
            worker: self.name.clone(),
            queues,
            kinds: room.kinds,
            most: u32::try_from(most).unwrap_or(1),
            has: room.left,
            wait: POLL,
        };
        match self.claim(&wanted).await {
            Ok(page) => {
                self.failures.store(0, Ordering::Relaxed);
                let held = |item| -> Box<dyn Attempt> {
                    Box::new(RemoteAttempt {
                        client: self.client.clone(),
                        item,
                        is_cancelled: false,
                        heard: Instant::now(),
                    })
                };
                Found { jobs: page.data.into_iter().map(held).collect(), pause: Duration::ZERO }
            }
            Err(failure) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed);
                let pause = AGAIN.saturating_mul(1 << failures.min(5)).min(EVERY);
                tracing::warn!(
                    error = format!("{:#}", failure.error),
                    "no jobs could be taken; trying again in {}s",
                    pause.as_secs()
                );
                Found { jobs: Vec::new(), pause }
            }
        }
    }
}

/// A job of a server that this worker has.
struct RemoteAttempt {
    client: Client,
    item: WorkItem,
    is_cancelled: bool,
    /// When the server was told last that this worker lives.
    heard: Instant,
}

impl RemoteAttempt {
    fn path<'a>(&'a self, action: &'a str) -> [&'a str; 6] {
        ["api", "v1", "work", "jobs", self.item.job.id.as_str(), action]
    }

    async fn report(
        &mut self,
        progress: Option<Progress>,
        lines: Vec<String>,
    ) -> Result<(), ClaimError> {
        let progress = progress.map(body_of);
        let beat = BeatWork { claim: self.item.claim.clone(), progress, lines };
        let answer = self.client.post(&self.path("beat"), &beat).await;
        let answer: BeatAnswer = answer.and_then(decode).map_err(|failure| refused(&failure))?;
        self.is_cancelled |= answer.cancelled;
        self.heard = Instant::now();
        Ok(())
    }
}

#[async_trait]
impl Attempt for RemoteAttempt {
    fn job(&self) -> &Job {
        &self.item.job
    }

    fn arguments(&self) -> &Value {
        &self.item.arguments
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    async fn beat(&mut self, progress: Option<Progress>) -> Result<(), ClaimError> {
        self.report(progress, Vec::new()).await
    }

    async fn log(&mut self, lines: Vec<String>) -> Result<(), ClaimError> {
        self.report(None, lines).await
    }

    async fn commit(&mut self, _: &[Write]) -> Result<Vec<Option<Version>>, ClaimError> {
        let reason = "a worker elsewhere has no store".into();
        Err(ClaimError::Store(StoreError::Invalid { reason }))
    }

    /// Tries for as long as the job is this worker's: the server may be starting anew.
    async fn finish(
        &mut self,
        outcome: JobOutcome,
        progress: Option<Progress>,
        writes: &[Write],
    ) -> Result<(), ClaimError> {
        if !writes.is_empty() {
            return self.commit(writes).await.map(|_| ());
        }
        let progress = progress.map(body_of);
        let end = FinishWork { claim: self.item.claim.clone(), outcome, progress };
        let mut is_again = false;
        loop {
            let answer = self.client.post(&self.path("finish"), &end).await;
            match answer.and_then(decode::<WorkItem>).map_err(|failure| refused(&failure)) {
                Ok(item) => {
                    self.item = item;
                    return Ok(());
                }
                // The first one may have been heard, and its answer lost.
                Err(ClaimError::Lost) if is_again => return Ok(()),
                Err(ClaimError::Store(StoreError::Unavailable { .. }))
                    if self.heard.elapsed() < LEASE =>
                {
                    is_again = true;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn body_of(progress: Progress) -> JobProgress {
    JobProgress { done: progress.done, total: progress.total, message: progress.message }
}

fn refused(failure: &Failure) -> ClaimError {
    let server = failure.error.downcast_ref::<ServerError>();
    match server.and_then(|error| error.code.as_deref()) {
        Some("conflict") => ClaimError::Lost,
        _ => ClaimError::Store(StoreError::Unavailable {
            reason: format!("{:#}", failure.error),
            source: None,
        }),
    }
}
