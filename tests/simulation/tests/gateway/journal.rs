use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::name::ModelName;
use tokio::sync::Notify;

/// What has happened, as far as promises depend on it.
#[derive(Default)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
    begun: Notify,
}

#[derive(Default)]
struct Entries {
    /// The last time that somebody asked for a model, by a request or by an order.
    asked: HashMap<ModelName, Timestamp>,
    /// Requests that have begun and not ended.
    outstanding: u32,
    answered: u32,
    violation: Option<String>,
}

impl Journal {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ask(&self, model: &ModelName, now: Timestamp) {
        self.entries().asked.insert(model.clone(), now);
    }

    pub(crate) fn last_asked(&self, model: &ModelName) -> Option<Timestamp> {
        self.entries().asked.get(model).copied()
    }

    pub(crate) fn begin(&self) {
        self.entries().outstanding += 1;
        self.begun.notify_one();
    }

    pub(crate) fn end(&self) {
        self.entries().outstanding -= 1;
    }

    pub(crate) fn outstanding(&self) -> u32 {
        self.entries().outstanding
    }

    /// Waits until there is a request.
    pub(crate) async fn any_outstanding(&self) {
        while self.outstanding() == 0 {
            self.begun.notified().await;
        }
    }

    pub(crate) fn answer(&self) {
        self.entries().answered += 1;
    }

    pub(crate) fn answered(&self) -> u32 {
        self.entries().answered
    }

    /// Notes that a promise was broken; the first one counts.
    pub(crate) fn violation(&self, at: Duration, what: impl std::fmt::Display) {
        let violation = &mut self.entries().violation;
        violation.get_or_insert_with(|| format!("after {:.3} s: {what}", at.as_secs_f64()));
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.entries().violation.clone().map_or(Ok(()), Err)
    }
}
