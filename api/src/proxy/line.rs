//! Turns at a model whose replicas get only so many requests at once (`max_concurrency`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diogenes_core::gateway::{FairQueue, QueuePlace};
use tokio::sync::Notify;

use super::usage::Usage;

/// Who waits for a turn, and how long answers are.
#[derive(Debug, Default)]
pub(super) struct Line {
    queue: Mutex<FairQueue<Arc<Notify>>>,
    /// Tokens of an answer, averaged over the last ones.
    typical_answer: AtomicU64,
}

/// Who takes turns, with which weight, and the tokens of the prompt at a guess.
#[derive(Clone, Copy, Debug)]
pub(super) struct Customer<'a> {
    pub(super) key: &'a str,
    pub(super) weight: u32,
    /// Whether nobody waits for its answer.
    pub(super) is_background: bool,
    pub(super) prompt: u64,
}

/// Waits for a turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    line: Arc<Line>,
    place: QueuePlace,
    called: Arc<Notify>,
}

/// What a turn was taken to cost, until it is known.
#[derive(Debug)]
pub(super) struct Charge {
    line: Arc<Line>,
    key: String,
    weight: u32,
    tokens: u64,
}

impl Line {
    /// Gives a turn to the one with `ticket`, or to somebody without one if nobody waits, if
    /// `begin` finds room for it.
    pub(super) fn take_turn<T>(
        self: &Arc<Self>,
        customer: Customer<'_>,
        ticket: Option<&Ticket>,
        begin: impl FnOnce() -> Option<T>,
    ) -> Option<(T, Charge)> {
        let mut queue = self.lock();
        if !may_go(&queue, ticket) {
            return None;
        }
        let lease = begin()?;
        let Customer { key, weight, prompt, .. } = customer;
        let tokens = prompt.saturating_add(self.typical_answer.load(Ordering::Relaxed));
        queue.charge(key, weight, tokens);
        Some((lease, Charge { line: self.clone(), key: key.to_owned(), weight, tokens }))
    }

    /// Whether it is the turn of the one with `ticket`, or of somebody without one.
    pub(super) fn is_turn_of(&self, ticket: Option<&Ticket>) -> bool {
        may_go(&self.lock(), ticket)
    }

    /// How many wait for a turn.
    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.lock().len()).unwrap_or(u32::MAX)
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

impl Ticket {
    /// The last place among the requests of the same key.
    pub(super) fn take(line: &Arc<Line>, customer: Customer<'_>) -> Self {
        let called = Arc::new(Notify::new());
        let place = line.lock().enter(customer.key, customer.weight, called.clone());
        Self { line: line.clone(), place, called }
    }

    /// Whether it is for this line.
    pub(super) fn is_for(&self, line: &Arc<Line>) -> bool {
        Arc::ptr_eq(&self.line, line)
    }

    /// Returns once it may be its turn.
    pub(super) async fn called(&self) {
        self.called.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.line.lock().leave(&self.place);
        // It may have been called in vain, or there is room for another one.
        self.line.call_next();
    }
}

impl Charge {
    /// Makes good what the turn was taken to cost; where it is not known, that stands.
    pub(super) fn settle(self, used: Option<Usage>) {
        let Some(used) = used else { return };
        let Self { line, key, weight, tokens } = self;
        if used.completion > 0 {
            let typical = line.typical_answer.load(Ordering::Relaxed);
            let next = typical - typical / 8 + used.completion / 8;
            line.typical_answer.store(next, Ordering::Relaxed);
        }
        line.lock().correct(&key, weight, tokens, used.total());
    }
}
