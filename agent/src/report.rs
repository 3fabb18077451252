//! Writing beats.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{Beat, BeatStatus, ClaimId, InstanceId};
use diogenes_core::ports::{Clock, Expect, StateStore, StoreError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::engine::{Log, Meter, Shared, lock};
use crate::facts::Facts;
use crate::settings::Pace;

/// How long a beat stands.
const BEAT_LIFE: Duration = Duration::from_mins(2);
/// How long the last words of a server that failed can be read.
const LAST_BEAT_LIFE: Duration = Duration::from_hours(24);
/// The first pause after a beat that could not be written; it doubles up to the usual interval.
const RETRY: Duration = Duration::from_millis(500);

/// Writes the beats of one claim.
pub(crate) struct Reporter {
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) claim: ClaimId,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) base_url: String,
    pub(crate) log: Shared<Log>,
    pub(crate) meter: Shared<Meter>,
    pub(crate) facts: watch::Receiver<Facts>,
    pub(crate) pace: Pace,
}

/// Why a beat was not written.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store gave no answer in time")]
    TimedOut,
}

impl Reporter {
    /// Beats for ever: at once when the status changes, and at the status's interval.
    pub(crate) async fn run(&self) -> Infallible {
        let mut facts = self.facts.clone();
        let mut failures = 0_u32;
        loop {
            let status = facts.borrow_and_update().status(&self.base_url);
            let usual = match &status {
                BeatStatus::Ready { .. } => self.pace.beat_ready,
                BeatStatus::Booting { .. }
                | BeatStatus::Unhealthy { .. }
                | BeatStatus::Interrupted { .. } => self.pace.beat,
            };
            let pause = match self.write(status.clone()).await {
                Ok(()) => {
                    if failures > 0 {
                        tracing::info!(failures, "beats are written again");
                    }
                    failures = 0;
                    usual
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a beat could not be written; trying again"
                        );
                    }
                    failures = failures.saturating_add(1);
                    RETRY.saturating_mul(1 << failures.min(10)).min(usual)
                }
            };
            let changed = async {
                facts.wait_for(|facts| facts.status(&self.base_url) != status).await.is_ok()
            };
            tokio::select! {
                changed = changed => if !changed {
                    // Nobody is left to change them.
                    sleep(pause).await;
                },
                () = sleep(pause) => {}
            }
        }
    }

    /// Writes one beat of now, for one that nothing follows.
    pub(crate) async fn last(&self) {
        let status = self.facts.borrow().status(&self.base_url);
        if let Err(error) = self.write(status).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the last beat could not be written"
            );
        }
    }

    async fn write(&self, status: BeatStatus) -> Result<(), Unwritten> {
        let (load, told) = lock(&self.meter).load();
        let (log_tail, log_end) = lock(&self.log).tail();
        let at = self.clock.now();
        let life = match &status {
            BeatStatus::Unhealthy { .. } => LAST_BEAT_LIFE,
            BeatStatus::Booting { .. }
            | BeatStatus::Ready { .. }
            | BeatStatus::Interrupted { .. } => BEAT_LIFE,
        };
        let beat = Beat {
            claim: self.claim.clone(),
            instance: self.instance.clone(),
            status,
            load,
            log_tail,
            log_end,
            at,
            expires_at: at.checked_add(life).unwrap_or(Timestamp::MAX),
        };
        // Nobody else writes it, and a beat that comes late is put right by the next one.
        match timeout(self.pace.patience, self.store.save(beat, Expect::Any)).await {
            Ok(saved) => saved.map(|_| lock(&self.meter).told(told)).map_err(Into::into),
            Err(_) => Err(Unwritten::TimedOut),
        }
    }
}
