use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Priority, QueueName};
use crate::ports::Cursor;

/// How many searches are remembered; beyond that all of them begin anew.
const MOST: usize = 1_000;

/// Where the searches of workers ended that found nothing that fits among the first jobs of a queue,
/// so that the next goes on from there and what fits is found however many stand before it.
#[derive(Debug, Default)]
pub(super) struct Searches(Mutex<BTreeMap<Search, Cursor>>);

/// Whose search it is: what fits one worker need not fit another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Search {
    pub(super) worker: String,
    pub(super) queue: QueueName,
    pub(super) priority: Priority,
}

impl Searches {
    /// Where a search goes on, if it has not come to the end of the queue.
    pub(super) fn resumed(&self, search: &Search) -> Option<Cursor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(search).cloned()
    }

    /// It came as far as `at`, or to the end.
    pub(super) fn came_to(&self, search: Search, at: Option<Cursor>) {
        let mut searches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match at {
            Some(at) => {
                if searches.len() >= MOST {
                    searches.clear();
                }
                searches.insert(search, at);
            }
            None => {
                searches.remove(&search);
            }
        }
    }
}
