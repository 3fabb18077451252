//! Telling somebody that a job has ended.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Job, JobKind, NewJob};
use crate::Timestamp;
use crate::ports::document_bytes;

/// The kind of the jobs that tell of the ends of others.
pub const WEBHOOK: JobKind = JobKind::known("webhook");

/// How often it is tried to tell it: for some hours, as the pauses grow.
const ATTEMPTS: u32 = 12;
/// The largest result that is told, in bytes of its compact JSON.
const MOST_RESULT: usize = 16 * 1024;

/// Who is told that a job has ended, by a signed request (a webhook).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    pub url: String,
}

/// What a job of the kind [`WEBHOOK`] is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    /// What is sent, as `POST`.
    pub payload: Value,
}

impl Job {
    /// The job that tells of the end of this one, if somebody wants to hear of it. It is committed
    /// together with that end, and so neither lost nor doubled.
    pub(super) fn told(&self, now: Timestamp) -> Option<NewJob> {
        let callback = self.callback.as_ref().filter(|_| self.is_finished())?;
        let status = self.status(now);
        let fits = |result: &&Value| document_bytes(result) <= MOST_RESULT;
        let payload = json!({
            "type": format!("job.{status}"),
            "timestamp": self.finished_at.unwrap_or(now),
            "data": {
                "id": self.id,
                "project": self.project,
                "kind": self.kind,
                "queue": self.queue,
                "status": status,
                "attempt": self.attempt,
                "created_at": self.created_at,
                "finished_at": self.finished_at,
                "result": self.result.as_ref().filter(fits),
                "failure": self.failure,
                "schedule": self.schedule,
                "tags": self.tags,
            },
        });
        let webhook = json!(Webhook { url: callback.url.clone(), payload });
        let mut new = NewJob::new(self.project.clone(), WEBHOOK, webhook, self.created_by.clone());
        new.max_attempts = ATTEMPTS;
        Some(new)
    }
}
