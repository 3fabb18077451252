use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::keys::KeyId;
use crate::ports::StoreError;

/// Limits of one key; an absent one does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens (prompt and completion, as the engine's `usage` tells) per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
    /// Requests in flight at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

impl Limits {
    /// Whether nothing is limited, so that a request needs no [`Limiter`] at all.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// Counts what a key uses, and refuses what is beyond its limits.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Counts one request of `key` at `now` and admits it, or says which limit it exceeds.
    ///
    /// A refused request counts for nothing. The concurrency slot is held until the
    /// [`Admission`] is dropped.
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Admission, AdmitError>;

    /// Adds `tokens` to what `key` has used in the window that `now` falls in. Usage is known
    /// after the answer, so the window may end above the limit; the next request pays for it.
    async fn record_tokens(&self, key: &KeyId, limits: &Limits, tokens: u64, now: Timestamp);
}

/// Why a request was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// It is beyond a limit.
    #[error(transparent)]
    Exceeded(#[from] LimitExceeded),
    /// What the key has used is not known: a limit that cannot be counted is not ignored.
    #[error("the limits of the key could not be counted")]
    Store(#[from] StoreError),
}

/// An admitted request. Dropping it gives its concurrency slot back.
#[derive(Debug)]
pub struct Admission {
    /// What is left, for the `x-ratelimit-*` headers.
    pub status: RateStatus,
    /// Gives the slot back when dropped.
    pub guard: Option<Box<dyn Guard>>,
}

/// Anything whose drop frees what it holds.
pub trait Guard: Any + Send + Sync + std::fmt::Debug {}
impl<T: Any + Send + Sync + std::fmt::Debug> Guard for T {}

/// What is left of each windowed limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateStatus {
    /// Requests, if they are limited.
    pub requests: Option<RateWindow>,
    /// Tokens, if they are limited.
    pub tokens: Option<RateWindow>,
}

/// One windowed limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateWindow {
    /// The limit per window.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// The time until the window starts anew.
    pub reset: Duration,
}

/// Which limit refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// [`Limits::requests_per_minute`].
    Requests,
    /// [`Limits::tokens_per_minute`].
    Tokens,
    /// [`Limits::concurrency`].
    Concurrency,
}

impl LimitKind {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests per minute",
            Self::Tokens => "tokens per minute",
            Self::Concurrency => "requests at once",
        }
    }
}

/// A request beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key's limit of {limit} {} has been reached", kind.as_str())]
pub struct LimitExceeded {
    /// The limit that refused.
    pub kind: LimitKind,
    /// Its size.
    pub limit: u32,
    /// When a retry has a chance.
    pub retry_after: Duration,
    /// What is left of each limit.
    pub status: RateStatus,
}
