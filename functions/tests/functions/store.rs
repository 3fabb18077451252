//! A store that notes what is asked of it, as the actions that DynamoDB knows.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Bound, Item, Key, Page, Query, StateStore, StoreError, Table, Version, Write,
};
use diogenes_core::testing::{ManualClock, MemoryStore};

/// One call, as IAM judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Such as `dynamodb:GetItem`.
    pub(crate) action: &'static str,
    /// Whether it goes to the index.
    pub(crate) index: bool,
    /// The partition.
    pub(crate) leading_key: String,
}

pub(crate) struct Recorded {
    memory: MemoryStore,
    calls: Mutex<Vec<Call>>,
}

impl Recorded {
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self { memory: MemoryStore::new(clock), calls: Mutex::default() }
    }

    /// What was asked since the last time.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn note(&self, action: &'static str, index: bool, leading_key: &str) {
        let leading_key = leading_key.to_owned();
        self.calls.lock().unwrap().push(Call { action, index, leading_key });
    }
}

#[async_trait]
impl StateStore for Recorded {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.note("dynamodb:GetItem", false, &key.partition);
        self.memory.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.note("dynamodb:Query", query.table == Table::Index, &query.partition);
        self.memory.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        for write in writes {
            let (action, key) = match write {
                Write::Put { key, .. } => ("dynamodb:PutItem", key),
                Write::Delete { key, .. } => ("dynamodb:DeleteItem", key),
                Write::Check { key, .. } => ("dynamodb:ConditionCheckItem", key),
            };
            self.note(action, false, &key.partition);
        }
        self.memory.commit(writes).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.note("dynamodb:UpdateItem", false, &format!("COUNTER#{}", key.partition));
        self.memory.add(key, delta, bound, expires_at).await
    }
}
