use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Work;

/// The longest that the end of a request waits for its last writes.
pub(super) const SETTLE: Duration = Duration::from_secs(3);

/// Work that begins at once and has ended before the last byte of an answer leaves: what is left
/// running then may never go on, as nothing does between two invocations.
#[derive(Debug, Default)]
pub(super) struct Later {
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Later {
    pub(super) fn push(&self, work: Work) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.keep(runtime.spawn(work));
        } else {
            tracing::warn!("a write was dropped, because the server is shutting down");
        }
    }

    /// Waits for a task that runs already, too.
    pub(super) fn keep(&self, task: JoinHandle<()>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|task| !task.is_finished());
        running.push(task);
    }

    /// Waits until everything is done, for a while; then gives the rest up.
    pub(super) async fn settle(&self) {
        let running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let until = tokio::time::Instant::now() + SETTLE;
        let mut given_up = 0;
        for mut task in running {
            // A panic in there was reported by the runtime.
            if tokio::time::timeout_at(until, &mut task).await.is_err() {
                task.abort();
                given_up += 1;
            }
        }
        if given_up > 0 {
            tracing::warn!("gave up {given_up} of the last writes of a request after {SETTLE:?}");
        }
    }
}
