use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::keys::{KeyHash, KeyId};
use crate::name::ModelName;
use crate::ports::{IndexKey, Key, Limits, Query, Table};

/// An issued key, as far as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The hash of the key.
    pub hash: KeyHash,
    /// Whom it belongs to.
    pub email: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The models that it may use; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<ModelName>>,
    /// How much it may use.
    #[serde(default)]
    pub limits: Limits,
    /// When it was issued.
    pub created_at: Timestamp,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The key that replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<KeyId>,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask models: `/v1`.
    Inference,
    /// Control everything: `/api/v1`. It does not include `inference`.
    Admin,
}

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejection {
    /// Nobody issued it.
    #[error("the API key is not known; make one with `diogenes key create`")]
    Unknown,
    /// It was revoked.
    #[error("the API key `{0}` was revoked")]
    Revoked(KeyId),
    /// Its time is over.
    #[error("the API key `{0}` has expired")]
    Expired(KeyId),
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Inference, Self::Admin];

    /// The name in JSON and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no scope; use `inference` or `admin`"))
    }
}

impl ApiKey {
    /// Where the key with this id stands.
    pub fn key_of(id: &KeyId) -> Key {
        Key::new(format!("KEY#{id}"), "KEY")
    }

    /// Lists every key, or those of one email; oldest first within an email.
    pub fn all(email: Option<&str>) -> Query {
        let prefix = email.map_or_else(String::new, |email| format!("{email}\u{1f}"));
        Query::new(Table::Index, "KEYS", prefix)
    }

    /// Whether it counts at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), KeyRejection> {
        if self.revoked_at.is_some() {
            return Err(KeyRejection::Revoked(self.id.clone()));
        }
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(KeyRejection::Expired(self.id.clone()));
        }
        Ok(())
    }

    /// Whether it has `scope`.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may use `model`, named as registered.
    pub fn may_use(&self, model: &ModelName) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }
}

impl Entity for ApiKey {
    const KIND: &'static str = "API key";

    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }

    fn index(&self) -> Option<IndexKey> {
        Some(IndexKey {
            partition: "KEYS".into(),
            sort: format!("{}\u{1f}{}\u{1f}{}", self.email, self.created_at, self.id),
        })
    }
}
