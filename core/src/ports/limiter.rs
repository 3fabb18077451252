use std::any::Any;
use std::fmt;
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
///
/// Tokens are reserved before a request and settled after it, so that at every moment what was
/// used and what is reserved in a window stays within the limit, for any number of concurrent
/// requests. Only a request that used more than its bound goes beyond it.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Counts one request of `key` at `now`, reserves `bound` tokens for it, and admits it; or
    /// says which limit it exceeds. Nothing is reserved for a key without a limit of tokens.
    ///
    /// A refused request counts for nothing. A bound above the whole limit reserves the whole
    /// limit: such a request is admitted only while nothing else stands in the window. The
    /// concurrency slot is held until the [`Admission`] is dropped.
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        bound: TokenBound,
        now: Timestamp,
    ) -> Result<Admission, AdmitError>;

    /// Replaces the tokens that were reserved by those that were `used`, in the window in which
    /// they were reserved; what was used beyond the bound is charged in full. Where `used` is not
    /// known, the reservation counts as used until its window ends, as does that of an
    /// [`Admission`] which is dropped unsettled.
    ///
    /// A failure to write is logged; the reservation then counts as used.
    async fn settle(&self, admission: Admission, used: Option<u64>, now: Timestamp);
}

/// The most tokens that a request can use: those of its prompt and of every answer that it asks
/// for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenBound(u64);

impl TokenBound {
    /// At most `tokens`.
    pub fn new(tokens: u64) -> Self {
        Self(tokens)
    }

    /// What a key with this limit reserves.
    pub fn within(self, limit: u32) -> u64 {
        self.0.min(limit.into())
    }
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

/// An admitted request. Dropping it gives its concurrency slot back; its tokens stay reserved
/// unless it is [settled](Limiter::settle).
#[derive(Debug)]
pub struct Admission {
    /// What is left, for the `x-ratelimit-*` headers.
    pub status: RateStatus,
    /// The tokens set aside for it; none for a key without a limit of tokens.
    pub reservation: Option<TokenReservation>,
    /// Gives the slot back when dropped.
    pub guard: Option<Box<dyn Guard>>,
}

/// Tokens that are set aside in one window of a key. It cannot be cloned, so it is settled at most
/// once.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenReservation {
    /// Whose tokens.
    pub key: KeyId,
    /// When the window began.
    pub window: Timestamp,
    pub tokens: u64,
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
    /// So many of what it counts, for messages.
    pub fn of(self, count: u32) -> String {
        let s = if count == 1 { "" } else { "s" };
        match self {
            Self::Requests => format!("{count} request{s} per minute"),
            Self::Tokens => format!("{count} token{s} per minute"),
            Self::Concurrency => format!("{count} request{s} at once"),
        }
    }
}

/// A request beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The limit that refused.
    pub kind: LimitKind,
    pub limit: u32,
    /// When a retry has a chance.
    pub retry_after: Duration,
    /// What is left of each limit.
    pub status: RateStatus,
}

impl LimitExceeded {
    /// The tokens that are left this minute, where the request was refused because it may use
    /// more.
    pub fn tokens_left(&self) -> Option<u32> {
        let left = self.status.tokens.filter(|_| self.kind == LimitKind::Tokens)?.remaining;
        (left > 0).then_some(left)
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.kind.of(self.limit);
        match self.tokens_left() {
            Some(left) => {
                write!(f, "{left} of the key's {limit} are left, and this request may use more")
            }
            None => write!(f, "the key's limit of {limit} has been reached"),
        }
    }
}

impl std::error::Error for LimitExceeded {}
