use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;
use crate::fleet::eta::later;
use crate::keys::KeyId;
use crate::ports::{
    Admission, AdmitError, Bound, Key, LimitExceeded, LimitKind, Limiter, Limits, RateStatus,
    RateWindow, StateStore, StoreError,
};

/// The length of a window, in seconds.
const WINDOW: i64 = 60;

/// A [`Limiter`] over a store, for many processes that share it: one bounded counter write per
/// request of a key with a request limit, and two more of a key with a token limit.
///
/// Windows are the minutes of the clock. Concurrency is not limited: nobody tells the store of a
/// process that died with requests in flight.
pub struct StoreLimiter {
    store: Arc<dyn StateStore>,
}

/// What a window counts.
#[derive(Clone, Copy)]
enum Counted {
    Requests,
    Tokens,
}

impl StoreLimiter {
    /// A limiter that counts in `store`.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store }
    }

    async fn add(
        &self,
        key: &KeyId,
        what: Counted,
        delta: i64,
        bound: Bound,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let minute = now.as_second().div_euclid(WINDOW);
        let what = match what {
            Counted::Requests => "REQUESTS",
            Counted::Tokens => "TOKENS",
        };
        let key = Key::new(format!("LIMIT#{key}"), format!("{what}#{minute}"));
        let expiry = later(now, Duration::from_secs(2 * WINDOW.unsigned_abs()));
        self.store.add(&key, delta, bound, Some(expiry)).await
    }

    /// Adds `delta` if that stays within `limit`; returns the window with it, and whether it did.
    async fn take(
        &self,
        key: &KeyId,
        what: Counted,
        delta: i64,
        limit: u32,
        now: Timestamp,
    ) -> Result<(RateWindow, bool), StoreError> {
        // Something must be left, also of a window to which nothing is added.
        let most = i64::from(limit) - i64::from(delta == 0);
        let (used, within) = match self.add(key, what, delta, Bound::AtMost(most), now).await {
            Ok(used) => (used, true),
            Err(StoreError::Bound(_)) => (i64::from(limit), false),
            // Counted or not: too strict or too lax by one request, and never stuck.
            Err(StoreError::Unknown { .. }) => (delta, true),
            Err(error) => return Err(error),
        };
        let over = now.as_second().rem_euclid(WINDOW);
        let window = RateWindow {
            limit,
            remaining: limit.saturating_sub(u32::try_from(used).unwrap_or(0)),
            reset: Duration::from_secs((WINDOW - over).unsigned_abs()),
        };
        Ok((window, within))
    }
}

#[async_trait]
impl Limiter for StoreLimiter {
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Admission, AdmitError> {
        let mut status = RateStatus::default();
        let refuse = |kind, window: RateWindow, status| LimitExceeded {
            kind,
            limit: window.limit,
            retry_after: window.reset,
            status,
        };
        // Tokens first: a request that they refuse counts for nothing.
        if let Some(limit) = limits.tokens_per_minute {
            let (window, within) = self.take(key, Counted::Tokens, 0, limit, now).await?;
            status.tokens = Some(window);
            if !within {
                return Err(refuse(LimitKind::Tokens, window, status).into());
            }
        }
        if let Some(limit) = limits.requests_per_minute {
            let (window, within) = self.take(key, Counted::Requests, 1, limit, now).await?;
            status.requests = Some(window);
            if !within {
                return Err(refuse(LimitKind::Requests, window, status).into());
            }
        }
        Ok(Admission { status, guard: None })
    }

    async fn record_tokens(&self, key: &KeyId, _: &Limits, tokens: u64, now: Timestamp) {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        if let Err(error) = self.add(key, Counted::Tokens, tokens, Bound::None, now).await {
            tracing::error!(
                key.id = %key, tokens, error = &error as &dyn std::error::Error,
                "{tokens} tokens of the key `{key}` were not counted against its limit"
            );
        }
    }
}
