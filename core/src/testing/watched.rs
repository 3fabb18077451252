use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;

use super::UnavailableStore;
use crate::Timestamp;
use crate::ports::{Bound, Item, Key, Page, Query, StateStore, StoreError, Version, Write};

/// A store that counts the records that are read, and from which none can be read while it is away.
pub struct WatchedStore {
    inner: Arc<dyn StateStore>,
    reads: AtomicUsize,
    is_away: AtomicBool,
}

impl WatchedStore {
    /// Watches `inner`, which is there.
    pub fn new(inner: Arc<dyn StateStore>) -> Self {
        Self { inner, reads: AtomicUsize::new(0), is_away: AtomicBool::new(false) }
    }

    /// How many records were asked for since the last call.
    pub fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }

    /// It goes away, or comes back.
    pub fn goes_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }
}

#[async_trait]
impl StateStore for WatchedStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            return UnavailableStore.get(key).await;
        }
        self.inner.get(key).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.inner.count(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        self.inner.commit(writes).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.inner.add(key, delta, bound, expires_at).await
    }
}
