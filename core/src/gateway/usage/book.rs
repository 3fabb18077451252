use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::lock::Mutex as Turn;

use super::noted::Noted;
use super::pages::{Pages, Sealed};
use super::record::{UsageId, UsageRecord};
use crate::Timestamp;
use crate::entity::{Entity as _, StoreExt as _, Stored};
use crate::ports::{Expect, StateStore, StoreError};

/// How many records are written at once.
const BATCH: usize = 50;
/// How many records of everything there are where many processes count.
const SHARDS: u32 = 16;
/// How often a batch is tried whose answer gets lost, or that meets another writer.
const TRIES: usize = 8;

/// Adds up what requests use, in memory, and writes it into [`UsageRecord`]s when it is told to.
///
/// What was noted after the last [`flush`](Self::flush) is lost if the process is killed.
/// Everything else is counted once: a record names the last page of each writer, so that a page
/// whose answer was lost is not added again. Only if more than eight other writers have added to the
/// same record between a lost answer and the repetition, what it had is counted twice.
pub struct UsageBook {
    writer: String,
    /// Which records it writes, where it is one of many.
    shard: Option<u32>,
    pages: Mutex<Pages>,
    turn: Turn<()>,
}

impl UsageBook {
    /// An empty book. `writer` must differ from that of every other process and of every earlier
    /// start.
    pub fn new(writer: impl Into<String>) -> Self {
        Self { writer: writer.into(), shard: None, pages: Mutex::default(), turn: Turn::default() }
    }

    /// The same for one of many processes that count at the same time. They share some records of
    /// everything, so that they do not all wait for the same one.
    pub fn one_of_many(writer: impl Into<String>) -> Self {
        let book = Self::new(writer);
        let shard = crc32fast::hash(book.writer.as_bytes()) % SHARDS;
        Self { shard: Some(shard), ..book }
    }

    /// Adds a request that has ended at `now`.
    pub fn note(&self, noted: &Noted<'_>, now: Timestamp) {
        self.pages().note(noted, now);
    }

    /// Writes what was noted. What could not be written is kept for the next call. It may be dropped
    /// at any point.
    ///
    /// # Errors
    /// The first failure of the store. A damaged record keeps no other one from being written.
    pub async fn flush(&self, store: &dyn StateStore, now: Timestamp) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        // What an earlier call has left goes first and as it was, since it may stand already.
        let left = self.write_sealed(store).await;
        if left.as_ref().is_err_and(is_outage) {
            return left;
        }
        self.pages().seal(now);
        left.and(self.write_sealed(store).await)
    }

    async fn write_sealed(&self, store: &dyn StateStore) -> Result<(), StoreError> {
        let sealed = self.pages().sealed();
        let mut result = Ok(());
        for batch in sealed.chunks(BATCH) {
            let written = self.write(store, batch).await;
            let is_over = written.as_ref().is_err_and(is_outage);
            result = result.and(written);
            if is_over {
                break;
            }
        }
        result
    }

    async fn write(
        &self,
        store: &dyn StateStore,
        batch: &[(UsageId, Sealed)],
    ) -> Result<(), StoreError> {
        let mut lost = None;
        for _ in 0..TRIES {
            let (mut writes, mut done, mut damage) = (Vec::new(), Vec::new(), None);
            for (id, Sealed { page, delta }) in batch {
                match store.load::<UsageRecord>(&UsageRecord::key_of(id, self.shard)).await {
                    Ok(Some(stored)) if stored.value.has(&self.writer, *page) => {}
                    Ok(standing) => {
                        let expect = standing.as_ref().map_or(Expect::Absent, Stored::unchanged);
                        let standing = standing.map(|stored| stored.value);
                        let record = UsageRecord::with(
                            standing,
                            (id, self.shard),
                            delta,
                            &self.writer,
                            *page,
                        );
                        writes.push(record.put(expect)?);
                    }
                    Err(error @ StoreError::Corrupt { .. }) => {
                        damage.get_or_insert(error);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                done.push(id);
            }
            let committed =
                if writes.is_empty() { Ok(Vec::new()) } else { store.commit(&writes).await };
            match committed {
                Ok(_) => {
                    let mut pages = self.pages();
                    for id in done {
                        pages.written(id);
                    }
                    return damage.map_or(Ok(()), Err);
                }
                Err(error @ (StoreError::Conflict(_) | StoreError::Unknown { .. })) => {
                    lost = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        lost.map_or(Ok(()), Err)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sums in memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.pages().len()
    }
}

/// Whether the next batch would fail too.
fn is_outage(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. } | StoreError::Unknown { .. })
}

impl fmt::Debug for UsageBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageBook").field("writer", &self.writer).finish_non_exhaustive()
    }
}
