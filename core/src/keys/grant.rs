use std::collections::BTreeSet;

use crate::Timestamp;
use crate::keys::{ApiKey, KeyId, KeyRejection, Scope};
use crate::name::ModelName;
use crate::ports::Limits;

/// What the bearer of a verified key may do: the part of an [`ApiKey`] that requests need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The key's id.
    pub key: KeyId,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The models that it may use; all when absent.
    pub models: Option<BTreeSet<ModelName>>,
    /// How much it may use.
    pub limits: Limits,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    /// Whether it has `scope`.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may use `model`, named as registered.
    pub fn may_use(&self, model: &ModelName) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }

    /// Whether its time is not over at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), KeyRejection> {
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(KeyRejection::Expired(self.key.clone()));
        }
        Ok(())
    }
}

impl From<ApiKey> for Grant {
    fn from(key: ApiKey) -> Self {
        Self {
            key: key.id,
            scopes: key.scopes,
            models: key.models,
            limits: key.limits,
            expires_at: key.expires_at,
        }
    }
}
