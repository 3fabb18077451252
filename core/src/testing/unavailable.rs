use async_trait::async_trait;

use crate::Timestamp;
use crate::ports::{Bound, Item, Key, Page, Query, StateStore, StoreError, Version, Write};

/// A store that answers nothing.
#[derive(Clone, Copy, Debug)]
pub struct UnavailableStore;

fn unavailable<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable { reason: "it is gone".into(), source: None })
}

#[async_trait]
impl StateStore for UnavailableStore {
    async fn get(&self, _: &Key) -> Result<Option<Item>, StoreError> {
        unavailable()
    }

    async fn count(&self, _: &Key) -> Result<i64, StoreError> {
        unavailable()
    }

    async fn list(&self, _: &Query) -> Result<Page, StoreError> {
        unavailable()
    }

    async fn commit(&self, _: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        unavailable()
    }

    async fn add(
        &self,
        _: &Key,
        _: i64,
        _: Bound,
        _: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        unavailable()
    }
}
