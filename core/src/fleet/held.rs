use std::sync::Arc;
use std::time::Duration;

use crate::Timestamp;
use crate::fleet::eta::later;
use crate::keys::KeyId;
use crate::name::ModelName;
use crate::ports::{Bound, Key, StateStore, StoreError};

/// Counts the requests that wait for a model over all routers, and those of each key where a model
/// limits them: one counter per cold start.
///
/// A router that dies takes its count with it to [`HeldCounter::LIFE`] after the first of them
/// came; then the counter starts anew.
#[derive(Clone)]
pub struct HeldCounter {
    store: Arc<dyn StateStore>,
}

impl HeldCounter {
    /// No request waits for longer on AWS (a Lambda function lives for 15 minutes).
    pub const LIFE: Duration = Duration::from_mins(16);

    /// A counter in `store`.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store }
    }

    /// Takes a place among `most`, of all keys or of one; false when all are taken.
    pub async fn enter(
        &self,
        model: &ModelName,
        key: Option<&KeyId>,
        most: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        match self.add(model, key, 1, Bound::AtMost(most.into()), now).await {
            // Counted or not: the place is given back in any case, and never below zero.
            Ok(_) | Err(StoreError::Unknown { .. }) => Ok(true),
            Err(StoreError::Bound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the place back.
    pub async fn leave(
        &self,
        model: &ModelName,
        key: Option<&KeyId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self.add(model, key, -1, Bound::AtLeast(0), now).await {
            // It was of a counter that has expired meanwhile.
            Ok(_) | Err(StoreError::Bound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How many wait.
    pub async fn count(&self, model: &ModelName, now: Timestamp) -> Result<u32, StoreError> {
        let count = self.add(model, None, 0, Bound::None, now).await?;
        Ok(u32::try_from(count).unwrap_or(0))
    }

    async fn add(
        &self,
        model: &ModelName,
        key: Option<&KeyId>,
        delta: i64,
        bound: Bound,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let sort = key.map_or_else(|| "COUNT".into(), |key| format!("KEY#{}", key.as_str()));
        let key = Key::new(format!("HELD#{model}"), sort);
        self.store.add(&key, delta, bound, Some(later(now, Self::LIFE))).await
    }
}
