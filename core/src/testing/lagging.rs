use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::Timestamp;
use crate::fleet::eta::later;
use crate::ports::{
    Bound, Clock, Expect, Item, Key, Page, Query, StateStore, StoreError, Table, Version, Write,
};

/// A store whose index shows every write only after a while, as a global secondary index of DynamoDB
/// may.
pub struct LaggingStore {
    memory: MemoryStore,
    /// The store as it was when the index was last up to date.
    index: MemoryStore,
    pending: Mutex<VecDeque<(Timestamp, Vec<Write>)>>,
    clock: Arc<dyn Clock>,
    lag: Duration,
}

impl LaggingStore {
    /// An empty store whose index lags by so much.
    pub fn new(clock: Arc<dyn Clock>, lag: Duration) -> Self {
        Self {
            memory: MemoryStore::new(clock.clone()),
            index: MemoryStore::new(clock.clone()),
            pending: Mutex::default(),
            clock,
            lag,
        }
    }

    /// What the index has come to know by now.
    fn due(&self) -> Vec<Vec<Write>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let due = pending.iter().take_while(|(shown_at, _)| *shown_at <= now).count();
        pending.drain(..due).map(|(_, writes)| writes).collect()
    }
}

#[async_trait]
impl StateStore for LaggingStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.memory.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        if query.table == Table::Main {
            return self.memory.list(query).await;
        }
        for writes in self.due() {
            // In the order of the commits, so that both stores give each item the same version.
            self.index.commit(&writes).await?;
        }
        self.index.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        let versions = self.memory.commit(writes).await?;
        let unconditional = |write: &Write| {
            let mut write = write.clone();
            match &mut write {
                Write::Put { expect, .. } | Write::Delete { expect, .. } => *expect = Expect::Any,
                Write::Check { .. } | Write::Add { .. } => return None,
            }
            Some(write)
        };
        let items: Vec<_> = writes.iter().filter_map(unconditional).collect();
        if !items.is_empty() {
            let shown_at = later(self.clock.now(), self.lag);
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.push_back((shown_at, items));
        }
        Ok(versions)
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.memory.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.memory.count(key).await
    }
}
