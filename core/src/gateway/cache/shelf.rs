use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::{AnswerKey, KeptAnswer};
use super::room::Room;
use crate::Timestamp;
use crate::entity::{Entity as _, StoreExt as _};
use crate::ports::{Expect, Key, MAX_WRITES, StateStore, StoreError, Write};

/// Where answers are kept.
pub struct AnswerShelf {
    store: Arc<dyn StateStore>,
    /// None where the store is as large as it has to be.
    room: Option<Mutex<Room>>,
}

/// An answer that was kept before the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingAnswer {
    pub key: Key,
    pub bytes: usize,
    pub expires_at: Timestamp,
}

impl AnswerShelf {
    /// In a store that may grow, and removes what has expired by itself.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store, room: None }
    }

    /// In a store with room for [`MOST_KEPT`](super::MOST_KEPT) answers of
    /// [`MOST_KEPT_BYTES`](super::MOST_KEPT_BYTES) together: the oldest ones make way for new ones.
    /// Nobody else keeps answers there; `standing` are those that are there, the oldest first.
    pub fn bounded(
        store: Arc<dyn StateStore>,
        standing: impl IntoIterator<Item = StandingAnswer>,
    ) -> Self {
        let mut room = Room::default();
        for StandingAnswer { key, bytes, expires_at } in standing {
            // What has no room any more expires by itself.
            drop(room.take(key, bytes, expires_at, Timestamp::MIN));
        }
        Self { store, room: Some(Mutex::new(room)) }
    }

    /// The answer to the request of `key`, if it is kept.
    pub async fn find(&self, key: &AnswerKey) -> Result<Option<KeptAnswer>, StoreError> {
        let found = self.store.load::<KeptAnswer>(&KeptAnswer::key_of(key)).await?;
        Ok(found.map(|stored| stored.value))
    }

    /// Keeps an answer.
    pub async fn keep(&self, answer: &KeptAnswer) -> Result<(), StoreError> {
        let put = answer.put(Expect::Any)?;
        let gone = self.room.as_ref().map(|room| {
            let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
            room.take(answer.key(), answer.body.len(), answer.expires_at, answer.made_at)
        });
        let gone = gone.into_iter().flatten().map(|key| Write::Delete { key, expect: Expect::Any });
        // Room is made before it is taken.
        let writes: Vec<Write> = gone.chain([put]).collect();
        for writes in writes.chunks(MAX_WRITES) {
            self.store.commit(writes).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for AnswerShelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerShelf").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pollster::block_on;

    use super::*;
    use crate::ports::Clock as _;
    use crate::testing::{ManualClock, MemoryStore};

    fn key(of: usize) -> AnswerKey {
        AnswerKey::of([], false, of.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_store_does_not_grow_beyond_its_bound() {
        let clock = Arc::new(ManualClock::default());
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let (now, end) = (clock.now(), clock.now() + Duration::from_mins(10));
        let room = Mutex::new(Room::new(3, 1000));
        let shelf = AnswerShelf { store, room: Some(room) };
        for of in 0..10 {
            let body = ("application/json".to_owned(), "{}".to_owned());
            let answer = KeptAnswer::new(key(of), "m".parse().unwrap(), body, (now, end)).unwrap();
            block_on(shelf.keep(&answer)).unwrap();
        }
        let standing = (0..10).filter(|of| block_on(shelf.find(&key(*of))).unwrap().is_some());
        assert_eq!(standing.collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn what_stood_before_counts() {
        let clock = Arc::new(ManualClock::default());
        let (now, end) = (clock.now(), clock.now() + Duration::from_mins(10));
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock));
        let answer = |of| {
            let body = ("application/json".to_owned(), "{}".to_owned());
            KeptAnswer::new(key(of), "m".parse().unwrap(), body, (now, end)).unwrap()
        };
        block_on(AnswerShelf::new(store.clone()).keep(&answer(0))).unwrap();
        let bytes = crate::gateway::cache::MOST_KEPT_BYTES;
        let standing = StandingAnswer { key: answer(0).key(), bytes, expires_at: end };
        let shelf = AnswerShelf::bounded(store, [standing]);
        assert!(block_on(shelf.find(&key(0))).unwrap().is_some());
        block_on(shelf.keep(&answer(1))).unwrap();
        assert!(block_on(shelf.find(&key(0))).unwrap().is_none());
        assert!(block_on(shelf.find(&key(1))).unwrap().is_some());
    }
}
