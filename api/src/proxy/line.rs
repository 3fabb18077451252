//! Turns at a model whose replicas get only so many requests at once (`max_concurrency`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diogenes_core::gateway::{FairQueue, QueuePlace};
use tokio::sync::Notify;

use super::call::Call;
use super::entry::Entry;
use super::usage::Usage;

/// Who waits for a turn, and how long answers are.
#[derive(Debug, Default)]
pub(super) struct Line {
    queue: Mutex<FairQueue<Arc<Notify>>>,
    /// Tokens of an answer, averaged over the last ones.
    typical_answer: AtomicU64,
}

/// Waits for a turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    entry: Arc<Entry>,
    place: QueuePlace,
    called: Arc<Notify>,
}

/// What a turn was taken to cost, until it is known.
#[derive(Debug)]
pub(super) struct Charge {
    entry: Arc<Entry>,
    key: String,
    weight: u32,
    tokens: u64,
}

impl Line {
    /// Gives a turn to the one with `ticket`, or to somebody without one if nobody waits, if
    /// `begin` finds room for it.
    pub(super) fn take_turn<T>(
        entry: &Arc<Entry>,
        call: &Call,
        ticket: Option<&Ticket>,
        begin: impl FnOnce() -> Option<T>,
    ) -> Option<(T, Charge)> {
        let line = &entry.line;
        let mut queue = line.lock();
        if !may_go(&queue, ticket) {
            return None;
        }
        let lease = begin()?;
        let (key, weight) = customer(call);
        let tokens =
            call.prompt_guess().saturating_add(line.typical_answer.load(Ordering::Relaxed));
        queue.charge(key, weight, tokens);
        Some((lease, Charge { entry: entry.clone(), key: key.to_owned(), weight, tokens }))
    }

    /// Whether it is the turn of the one with `ticket`, or of somebody without one.
    pub(super) fn is_turn_of(&self, ticket: Option<&Ticket>) -> bool {
        may_go(&self.lock(), ticket)
    }

    /// Lets the next one see whether there is room.
    pub(super) fn call_next(&self) {
        if let Some(called) = self.lock().head() {
            called.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<Arc<Notify>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_go(queue: &FairQueue<Arc<Notify>>, ticket: Option<&Ticket>) -> bool {
    ticket.map_or_else(|| queue.is_empty(), |ticket| queue.is_next(&ticket.place))
}

/// Whose turn a request takes, and with which weight.
fn customer(call: &Call) -> (&str, u32) {
    (call.by.limit_key().as_str(), call.by.weight.get())
}

impl Ticket {
    /// The last place among the requests of the same key.
    pub(super) fn take(entry: &Arc<Entry>, call: &Call) -> Self {
        let called = Arc::new(Notify::new());
        let (key, weight) = customer(call);
        let place = entry.line.lock().enter(key, weight, called.clone());
        Self { entry: entry.clone(), place, called }
    }

    /// Whether it is for this model.
    pub(super) fn is_for(&self, entry: &Arc<Entry>) -> bool {
        Arc::ptr_eq(&self.entry, entry)
    }

    /// Returns once it may be its turn.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.entry.line.lock().leave(&self.place);
        // It may have been called in vain, or there is room for another one.
        self.entry.line.call_next();
    }
}

impl Charge {
    /// Makes good what the turn was taken to cost; where it is not known, that stands.
    pub(super) fn settle(self, used: Option<Usage>) {
        let Some(used) = used else { return };
        let line = &self.entry.line;
        if used.completion > 0 {
            let typical = line.typical_answer.load(Ordering::Relaxed);
            let next = typical - typical / 8 + used.completion / 8;
            line.typical_answer.store(next, Ordering::Relaxed);
        }
        line.lock().correct(&self.key, self.weight, self.tokens, used.total());
    }
}
