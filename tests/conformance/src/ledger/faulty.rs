//! A store that fails and loses answers, and keeps the books of the reservations in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Account, Bound, Item, Key, Page, Query, StateStore, StoreError, Version, Write,
};
use serde_json::Value;

/// What stands in each account by the records, without any counter.
pub(super) type Books = BTreeMap<Account, u64>;

/// Numbers that look random and are the same in every run.
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `end`.
    pub(super) fn below(&self, end: u64) -> u64 {
        // SplitMix64: https://prng.di.unimi.it/splitmix64.c
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Says what is wrong with the books after a commit.
pub(super) type Check = Box<dyn Fn(&Books) -> Result<(), String> + Send + Sync>;

pub(super) struct Faulty {
    dice: Dice,
    ledgers: Arc<Ledgers>,
}

/// The store and the books, which go on when a caller of the store is killed.
struct Ledgers {
    inner: Arc<dyn StateStore>,
    kept: Mutex<Kept>,
    check: Check,
    /// Taken for a commit and its entry in the books, so that those are exact after each.
    turn: tokio::sync::Mutex<()>,
}

/// The records as they were written, and what they come to.
#[derive(Default)]
struct Kept {
    records: BTreeMap<Key, Value>,
    books: Books,
    wrong: Option<String>,
}

impl Kept {
    fn put(&mut self, key: &Key, record: &Value) {
        if let Some(old) = self.records.insert(key.clone(), record.clone()) {
            for (account, amount) in entries(&old) {
                *self.books.entry(account).or_default() -= amount;
            }
        }
        for (account, amount) in entries(record) {
            *self.books.entry(account).or_default() += amount;
        }
    }
}

impl Faulty {
    /// Checks the books after each commit.
    pub(super) fn new(inner: Arc<dyn StateStore>, seed: u64, check: Check) -> Self {
        let (kept, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { dice: Dice::new(seed), ledgers: Arc::new(Ledgers { inner, kept, check, turn }) }
    }

    /// What was wrong first, after some commit.
    pub(super) fn wrong(&self) -> Option<String> {
        self.ledgers.kept.lock().unwrap().wrong.clone()
    }

    /// The books by what stands in the store now.
    pub(super) async fn audit(&self) -> Books {
        let keys: Vec<_> = self.ledgers.kept.lock().unwrap().records.keys().cloned().collect();
        let mut kept = Kept::default();
        for key in keys {
            if let Some(item) = self.ledgers.inner.get(&key).await.unwrap() {
                kept.put(&key, &item.document);
            }
        }
        kept.books
    }
}

impl Ledgers {
    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        let _turn = self.turn.lock().await;
        let versions = self.inner.commit(writes).await?;
        let mut kept = self.kept.lock().unwrap();
        for write in writes {
            if let Write::Put { key, document, .. } = write {
                kept.put(key, document);
            }
        }
        if let Err(wrong) = (self.check)(&kept.books) {
            kept.wrong.get_or_insert(wrong);
        }
        Ok(versions)
    }
}

/// What one record says of its accounts.
fn entries(record: &Value) -> Vec<(Account, u64)> {
    let used = record["state"]["settled"]["used"].as_array();
    let charges = record["charges"].as_array().unwrap().iter().enumerate();
    let entry = |(place, charge): (usize, &Value)| {
        let account = serde_json::from_value(charge["account"].clone()).unwrap();
        let stands = used.map_or(&charge["amount"], |used| &used[place]);
        (account, stands.as_u64().unwrap())
    };
    charges.map(entry).collect()
}

#[async_trait]
impl StateStore for Faulty {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        tokio::task::yield_now().await;
        self.ledgers.inner.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.ledgers.inner.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        tokio::task::yield_now().await;
        // Known before it happens: who is killed meanwhile tells nobody.
        for write in writes {
            if let Write::Put { key, .. } = write {
                let nothing = serde_json::json!({ "charges": [] });
                let mut kept = self.ledgers.kept.lock().unwrap();
                kept.records.entry(key.clone()).or_insert(nothing);
            }
        }
        if self.dice.below(20) == 0 {
            return Err(StoreError::Unavailable { reason: "it is down".into(), source: None });
        }
        // What has left for the store happens, whether or not its caller is killed meanwhile.
        let (ledgers, writes) = (Arc::clone(&self.ledgers), writes.to_vec());
        let sent = tokio::spawn(async move { ledgers.commit(&writes).await });
        let versions = sent.await.expect("a commit does not panic")?;
        tokio::task::yield_now().await;
        if self.dice.below(10) == 0 {
            return Err(StoreError::Unknown { reason: "the answer is lost".into(), source: None });
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
        self.ledgers.inner.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.ledgers.inner.count(key).await
    }
}
