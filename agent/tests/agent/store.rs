//! A store that remembers every beat and can be out of order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::fleet::Beat;
use diogenes_core::ports::{Bound, Item, Key, Page, Query, StateStore, StoreError, Version, Write};
use diogenes_core::testing::{ManualClock, MemoryStore};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Down,
    Hanging,
}

pub(crate) struct Store {
    memory: MemoryStore,
    mood: Mutex<Mood>,
    beats: Mutex<Vec<Beat>>,
    lease_reads: AtomicUsize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            memory: MemoryStore::new(Arc::new(ManualClock::default())),
            mood: Mutex::new(Mood::Well),
            beats: Mutex::default(),
            lease_reads: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Every beat that was written, the first one first.
    pub(crate) fn beats(&self) -> Vec<Beat> {
        self.beats.lock().unwrap().clone()
    }

    /// How often the lease was read.
    pub(crate) fn lease_reads(&self) -> usize {
        self.lease_reads.load(Ordering::SeqCst)
    }

    async fn answer(&self) -> Result<(), StoreError> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => Ok(()),
            Mood::Down => {
                Err(StoreError::Unavailable { reason: "it is down".into(), source: None })
            }
            Mood::Hanging => std::future::pending().await,
        }
    }
}

#[async_trait]
impl StateStore for Store {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.answer().await?;
        let item = self.memory.get(key).await?;
        if key.partition.starts_with("LEASE#") {
            self.lease_reads.fetch_add(1, Ordering::SeqCst);
        }
        Ok(item)
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.answer().await?;
        self.memory.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        self.answer().await?;
        let versions = self.memory.commit(writes).await?;
        for write in writes {
            if let Write::Put { key, document, .. } = write
                && key.partition.starts_with("BEAT#")
            {
                let beat = serde_json::from_value(document.clone()).unwrap();
                self.beats.lock().unwrap().push(beat);
            }
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
        self.answer().await?;
        self.memory.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.answer().await?;
        self.memory.count(key).await
    }
}
