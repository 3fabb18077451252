use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::Timestamp;
use crate::ports::{
    Bound, BoundReached, Clock, Conflict, Cursor, Direction, Expect, Item, Key, Page, Query,
    StateStore, StoreError, Table, Version, Write, check_key, check_query, check_writes,
};

/// A [`StateStore`] in memory, gone with the process.
///
/// It never suspends, so any executor can drive it. Versions are numbers in the order of the
/// writes, which keeps a seeded simulation repeatable.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    items: BTreeMap<Key, Item>,
    /// Index partition, index sort key, and the item that it belongs to.
    index: BTreeSet<(String, String, Key)>,
    counters: BTreeMap<Key, Counter>,
    versions: u64,
}

struct Counter {
    value: i64,
    expires_at: Option<Timestamp>,
}

impl MemoryStore {
    /// An empty store whose items expire by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryStore")
            .field("items", &state.items.len())
            .field("counters", &state.counters.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        check_key(key)?;
        Ok(self.state().standing(key, self.clock.now()).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        check_query(query)?;
        let after = match &query.cursor {
            Some(cursor) => Some(cursor.position(query)?),
            None => None,
        };
        let now = self.clock.now();
        let state = self.state();
        let mut places = state.places(query);
        if query.direction == Direction::Descending {
            places.reverse();
        }
        let mut places = places.into_iter().filter(|(sort, item)| {
            let begins = after.as_ref().is_none_or(|(last_sort, last_key)| {
                let (this, last) = ((*sort, &item.key), (last_sort.as_str(), last_key));
                match query.direction {
                    Direction::Ascending => this > last,
                    Direction::Descending => this < last,
                }
            });
            begins && lives(item.expires_at, now)
        });
        let shown: Vec<_> = places.by_ref().take(query.limit).collect();
        let next = match (places.next(), shown.last()) {
            (Some(_), Some((sort, item))) => Some(Cursor::after(query, sort, &item.key)),
            _ => None,
        };
        Ok(Page { items: shown.into_iter().map(|(_, item)| item.clone()).collect(), next })
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        check_writes(writes)?;
        let now = self.clock.now();
        let mut state = self.state();
        for (place, write) in writes.iter().enumerate() {
            if let Write::Add { key, delta, bound, .. } = write {
                state.sum(place, key, *delta, *bound, now)?;
                continue;
            }
            let standing = state.standing(write.key(), now);
            let holds = match write.expect() {
                Expect::Any => true,
                Expect::Absent => standing.is_none(),
                Expect::Version(version) => standing.is_some_and(|item| item.version == *version),
            };
            if !holds {
                return Err(StoreError::Conflict(Box::new(Conflict {
                    write: place,
                    key: write.key().clone(),
                    standing: standing.cloned(),
                })));
            }
        }
        Ok(writes.iter().map(|write| state.apply(write, now)).collect())
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        check_key(key)?;
        let now = self.clock.now();
        let mut state = self.state();
        let value = state.sum(0, key, delta, bound, now)?;
        state.set(key, value, expires_at, now);
        Ok(value)
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        check_key(key)?;
        Ok(self.state().counter(key, self.clock.now()).map_or(0, |counter| counter.value))
    }
}

impl State {
    fn standing(&self, key: &Key, now: Timestamp) -> Option<&Item> {
        self.items.get(key).filter(|item| lives(item.expires_at, now))
    }

    fn counter(&self, key: &Key, now: Timestamp) -> Option<&Counter> {
        self.counters.get(key).filter(|counter| lives(counter.expires_at, now))
    }

    /// The value of a counter after an addition.
    fn sum(
        &self,
        place: usize,
        key: &Key,
        delta: i64,
        bound: Bound,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let standing = self.counter(key, now).map_or(0, |counter| counter.value);
        bound.add(standing, delta).ok_or_else(|| {
            StoreError::Bound(Box::new(BoundReached { write: place, key: key.clone(), standing }))
        })
    }

    /// Sets a counter, whose expiry stays if it stands.
    fn set(&mut self, key: &Key, value: i64, expires_at: Option<Timestamp>, now: Timestamp) {
        let expires_at = self.counter(key, now).map_or(expires_at, |counter| counter.expires_at);
        self.counters.insert(key.clone(), Counter { value, expires_at });
    }

    /// Every item that `query` covers, with the key it is sorted by, in ascending order.
    fn places(&self, query: &Query) -> Vec<(&str, &Item)> {
        let first = Key::new(&*query.partition, &*query.sort_prefix);
        match query.table {
            Table::Main => self
                .items
                .range(&first..)
                .take_while(|(key, _)| key.partition == query.partition)
                .take_while(|(key, _)| key.sort.starts_with(&query.sort_prefix))
                .map(|(key, item)| (key.sort.as_str(), item))
                .collect(),
            Table::Index => self
                .index
                .range((first.partition, first.sort, Key::new("", ""))..)
                .take_while(|(partition, _, _)| *partition == query.partition)
                .take_while(|(_, sort, _)| sort.starts_with(&query.sort_prefix))
                .filter_map(|(_, sort, key)| Some((sort.as_str(), self.items.get(key)?)))
                .collect(),
        }
    }

    fn apply(&mut self, write: &Write, now: Timestamp) -> Option<Version> {
        match write {
            Write::Add { key, delta, bound, expires_at } => {
                if let Ok(value) = self.sum(0, key, *delta, *bound, now) {
                    self.set(key, value, *expires_at, now);
                }
                None
            }
            Write::Check { .. } => None,
            Write::Delete { key, .. } => {
                self.remove(key);
                None
            }
            Write::Put { key, document, index, expires_at, .. } => {
                self.remove(key);
                self.versions += 1;
                let version = Version::new(self.versions.to_string());
                if let Some(index) = index.clone() {
                    self.index.insert((index.partition, index.sort, key.clone()));
                }
                self.items.insert(
                    key.clone(),
                    Item {
                        key: key.clone(),
                        version: version.clone(),
                        document: document.clone(),
                        index: index.clone(),
                        expires_at: *expires_at,
                    },
                );
                Some(version)
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(index) = self.items.remove(key).and_then(|item| item.index) {
            self.index.remove(&(index.partition, index.sort, key.clone()));
        }
    }
}

fn lives(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_none_or(|end| now < end)
}
