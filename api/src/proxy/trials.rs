use std::sync::Arc;

use diogenes_core::deployments::{Outcome, TrialBook};
use diogenes_core::gateway::record::RequestRecord;
use diogenes_core::prompts::Assignment;
use diogenes_core::tenancy::ProjectId;
use tokio::sync::Notify;

/// Takes note of requests for prompts that have a deployment under way.
pub struct Trials {
    book: Arc<TrialBook>,
    /// Rung when a request speaks against a version, so that nobody waits for the next look.
    bell: Arc<Notify>,
}

impl Trials {
    pub fn new(book: Arc<TrialBook>, bell: Arc<Notify>) -> Self {
        Self { book, bell }
    }
}

/// A request of a deployment that is under way.
pub(super) struct Trial {
    pub(super) trials: Arc<Trials>,
    pub(super) project: ProjectId,
    pub(super) at: Assignment,
}

impl Trial {
    /// Takes note of the end of the request.
    pub(super) fn note(&self, record: &RequestRecord) {
        let Some(outcome) = Outcome::of(record) else { return };
        if self.trials.book.note(&self.project, &self.at, &outcome) {
            self.trials.bell.notify_one();
        }
    }
}
