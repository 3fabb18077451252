use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::{Failure, Progress};
use diogenes_core::name::ModelName;
use diogenes_core::routing::{Cold, Patience, cold};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::entry::{Entry, Held};
use super::link::StoreLink;
use super::target::Lease;
use crate::error::{ApiError, ErrorKind, store_error};

/// How often a waiting request asks again for a reconcile, should a trigger be lost.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// How often a request that waits looks into the store, where that is the only news there is.
const POLL_EVERY: Duration = Duration::from_millis(900);
/// How long a request waits while the fleet cannot be looked after.
const PATIENCE_WITH_THE_STORE: Duration = Duration::from_secs(3);
/// How often a held stream is told how far the boot is.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(10);

/// A request that waits for a replica.
#[derive(Debug)]
pub(super) struct Hold {
    entry: Arc<Entry>,
    changes: watch::Receiver<u64>,
    began: Instant,
    began_at: Timestamp,
    deadline: Option<Pin<Box<Sleep>>>,
    ask_again: Pin<Box<Sleep>>,
    report: Pin<Box<Sleep>>,
    reported: Option<Progress>,
    /// Where the fleet is looked after elsewhere: how to see what becomes of it.
    link: Option<Linked>,
    _place: Held,
}

/// A place among the requests that wait, over all routers.
struct Linked {
    link: Arc<StoreLink>,
    model: ModelName,
    poll: Pin<Box<Sleep>>,
}

impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linked").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.link.leave(&self.model);
    }
}

/// What a waiting request learns.
#[derive(Debug)]
pub(super) enum Waited {
    /// A replica is ready.
    Ready(Lease),
    /// The boot is so far; wait on.
    Progress(Progress),
    /// There will be no replica for this request.
    Refused(ApiError),
}

impl Hold {
    /// Begins to wait, if the model and the caller's patience allow it, and wakes the model.
    pub(super) async fn begin(
        entry: &Arc<Entry>,
        patience: Patience,
        link: Option<&Arc<StoreLink>>,
    ) -> Result<Self, ApiError> {
        let changes = entry.changes();
        let view = entry.view();
        let now = entry.now();
        let name = view.model.name.as_str();
        let patience_ends = match cold(&view, patience, now) {
            Cold::Hold(most) => most,
            Cold::Failed(failure) => return Err(failed(name, &failure, now)),
            Cold::Warming(progress) => {
                match link {
                    // The stamp is what the fleet sees of a caller who was turned away.
                    Some(link) => {
                        link.stamp(&view.model.name, None).await;
                        link.wake(&view.model.name).await;
                    }
                    None => entry.wake().await,
                }
                return Err(ApiError::warming(name, &progress));
            }
        };
        let too_many = || {
            let progress = view.progress(now);
            let after = diogenes_core::routing::retry_after(progress.eta);
            ApiError::new(
                ErrorKind::TooManyHeld,
                format!(
                    "{} requests already wait for `{name}` to start; retry after the time in `Retry-After`",
                    view.model.spec.max_held
                ),
            )
            .retry_after(after)
        };
        let most = view.model.spec.max_held;
        let place = entry.hold(most).ok_or_else(too_many)?;
        let link = if let Some(link) = link {
            let model = view.model.name.clone();
            if !link.enter(&model, most).await.map_err(|error| store_error(&error))? {
                return Err(too_many());
            }
            let poll = Box::pin(tokio::time::sleep(POLL_EVERY));
            let linked = Linked { link: link.clone(), model, poll };
            // Before the trigger, so that the reconcile sees somebody ask.
            link.stamp(&linked.model, None).await;
            link.wake(&linked.model).await;
            Some(linked)
        } else {
            entry.wake().await;
            None
        };
        entry.metrics.held_request();
        let began = Instant::now();
        Ok(Self {
            entry: entry.clone(),
            changes,
            began,
            began_at: now,
            link,
            deadline: patience_ends.map(|most| Box::pin(tokio::time::sleep_until(began + most))),
            ask_again: Box::pin(tokio::time::sleep_until(began + ASK_AGAIN)),
            report: Box::pin(tokio::time::sleep_until(began)),
            reported: None,
            _place: place,
        })
    }

    /// The time since the wait began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for the end of the hold or for the next report. Cancel-safe.
    pub(super) async fn next(&mut self) -> Waited {
        loop {
            self.changes.mark_unchanged();
            let view = self.entry.view();
            let name = view.model.name.as_str();
            if view.model.deleted_at.is_some() {
                return Waited::Refused(ApiError::new(
                    ErrorKind::ModelNotFound,
                    format!(
                        "model `{name}` was deleted while the request waited; see `GET /v1/models`"
                    ),
                ));
            }
            if self.entry.is_closing() {
                return Waited::Refused(
                    ApiError::new(
                        ErrorKind::ShuttingDown,
                        "Diogenes is shutting down; retry once it is back",
                    )
                    .retry_after(Duration::from_secs(5)),
                );
            }
            if self.entry.is_neglected() && self.elapsed() >= PATIENCE_WITH_THE_STORE {
                return Waited::Refused(
                    ApiError::new(
                        ErrorKind::StoreUnavailable,
                        format!("model `{name}` cannot be started now, the state store does not answer; see the log of Diogenes"),
                    )
                    .retry_after(Duration::from_secs(5)),
                );
            }
            if let Some(lease) = self.entry.pick() {
                return Waited::Ready(lease);
            }
            let now = self.entry.now();
            if let Some(failure) =
                view.control.failure.as_ref().filter(|failure| failure.at >= self.began_at)
            {
                return Waited::Refused(failed(name, failure, now));
            }
            if view.control.down_at.is_some_and(|down_at| down_at >= self.began_at) {
                return Waited::Refused(ApiError::new(
                    ErrorKind::ModelDown,
                    format!(
                        "model `{name}` was taken down by an operator while the request waited; a new request starts it"
                    ),
                ));
            }
            let progress = view.progress(now);
            if self.reported.is_some_and(|reported| reported.phase != progress.phase) {
                return self.tell(progress);
            }
            tokio::select! {
                // An error means that the entry is gone with its sender: impossible while we
                // hold it, and the deadline ends the wait in any case.
                _ = self.changes.changed() => {}
                () = async {
                    match &mut self.deadline {
                        Some(deadline) => deadline.await,
                        None => std::future::pending().await,
                    }
                } => return Waited::Refused(ApiError::warming(name, &progress)),
                () = &mut self.report => return self.tell(view.progress(self.entry.now())),
                () = poll_due(&mut self.link) => {
                    if let Some(Linked { link, model, poll }) = &mut self.link {
                        link.poll(model).await;
                        poll.as_mut().reset(Instant::now() + POLL_EVERY);
                    }
                }
                () = &mut self.ask_again, if self.link.is_none() => {
                    self.ask_again.as_mut().reset(Instant::now() + ASK_AGAIN);
                    self.entry.wake().await;
                }
            }
        }
    }

    fn tell(&mut self, progress: Progress) -> Waited {
        self.reported = Some(progress);
        self.report.as_mut().reset(Instant::now() + REPORT_EVERY);
        Waited::Progress(progress)
    }
}

/// The time to look into the store; never, where a loop of this process looks after the fleet.
async fn poll_due(link: &mut Option<Linked>) {
    match link {
        Some(Linked { poll, .. }) => poll.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The last scale-up failed: the reason, and when to come back.
fn failed(name: &str, failure: &Failure, now: Timestamp) -> ApiError {
    let wait = diogenes_core::fleet::eta::since(now, failure.until);
    let next = diogenes_core::duration::format(Duration::from_secs(wait.as_secs().max(1)));
    let see = failure.kind.see_log(name).map(|see| format!("; {see}")).unwrap_or_default();
    ApiError::new(
        ErrorKind::ModelFailed(failure.kind),
        format!(
            "model `{name}` could not be started: {}{see}; the next try is possible in {next}",
            failure.reason
        ),
    )
    .retry_after(wait.clamp(Duration::from_secs(1), Duration::from_mins(1)))
}
