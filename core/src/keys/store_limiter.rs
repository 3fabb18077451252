use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;
use crate::fleet::eta::later;
use crate::keys::KeyId;
use crate::ports::{
    Admission, AdmitError, Bound, Key, LimitExceeded, LimitKind, Limiter, Limits, RateStatus,
    RateWindow, StateStore, StoreError, TokenBound, TokenReservation,
};

/// The length of a window, in seconds.
const WINDOW: i64 = 60;

/// How often an addition is tried whose answer gets lost. Counted twice is too strict for the
/// rest of a minute; not counted would be too lax.
const TRIES: usize = 2;

/// A [`Limiter`] over a store, for many processes that share it: one bounded counter write per
/// limit of requests or tokens before a request, and one after it to settle its tokens.
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
        window: Timestamp,
    ) -> Result<i64, StoreError> {
        let minute = window.as_second().div_euclid(WINDOW);
        let what = match what {
            Counted::Requests => "REQUESTS",
            Counted::Tokens => "TOKENS",
        };
        let key = Key::new(format!("LIMIT#{key}"), format!("{what}#{minute}"));
        let expiry = later(window, Duration::from_secs(3 * WINDOW.unsigned_abs()));
        self.store.add(&key, delta, bound, Some(expiry)).await
    }

    /// Adds `delta` if that stays within `limit`; returns the window with it, and whether it did.
    async fn take(
        &self,
        key: &KeyId,
        what: Counted,
        delta: u64,
        limit: u32,
        now: Timestamp,
    ) -> Result<(RateWindow, bool), StoreError> {
        let delta = i64::try_from(delta).unwrap_or(i64::MAX);
        // Something must be left, also of a window to which nothing is added.
        let most = i64::from(limit) - i64::from(delta == 0);
        let mut tries = 1;
        let (used, within) = loop {
            match self.add(key, what, delta, Bound::AtMost(most), now).await {
                Ok(used) => break (used, true),
                Err(StoreError::Bound(reached)) => break (reached.standing, false),
                Err(StoreError::Unknown { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        };
        let over = now.as_second().rem_euclid(WINDOW);
        let window = RateWindow {
            limit,
            remaining: limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)),
            reset: Duration::from_secs((WINDOW - over).unsigned_abs()),
        };
        Ok((window, within))
    }

    /// A refused request counts for nothing.
    async fn give_back(&self, reservation: Option<TokenReservation>) {
        if let Some(reservation) = reservation {
            self.replace(&reservation, 0).await;
        }
    }

    /// Replaces what is reserved by what was used.
    async fn replace(&self, reservation: &TokenReservation, used: u64) {
        let TokenReservation { key, window, tokens } = reservation;
        let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let delta = signed(used).saturating_sub(signed(*tokens));
        let bound = if delta < 0 { Bound::AtLeast(0) } else { Bound::None };
        match self.add(key, Counted::Tokens, delta, bound, *window).await {
            // The counter of the window has expired.
            Ok(_) | Err(StoreError::Bound(_)) => {}
            Err(error) => tracing::error!(
                key.id = %key, used, reserved = tokens, error = &error as &dyn std::error::Error,
                "the key `{key}` used {used} tokens, and {tokens} are counted against its limit"
            ),
        }
    }
}

#[async_trait]
impl Limiter for StoreLimiter {
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        bound: TokenBound,
        now: Timestamp,
    ) -> Result<Admission, AdmitError> {
        let mut status = RateStatus::default();
        let mut reservation = None;
        let refuse = |kind, window: RateWindow, status| LimitExceeded {
            kind,
            limit: window.limit,
            retry_after: window.reset,
            status,
        };
        if let Some(limit) = limits.tokens_per_minute {
            let tokens = bound.within(limit);
            let (window, within) = self.take(key, Counted::Tokens, tokens, limit, now).await?;
            status.tokens = Some(window);
            if !within {
                return Err(refuse(LimitKind::Tokens, window, status).into());
            }
            reservation = Some(TokenReservation { key: key.clone(), window: now, tokens });
        }
        if let Some(limit) = limits.requests_per_minute {
            let (window, within) = match self.take(key, Counted::Requests, 1, limit, now).await {
                Ok(taken) => taken,
                Err(error) => {
                    self.give_back(reservation).await;
                    return Err(error.into());
                }
            };
            status.requests = Some(window);
            if !within {
                self.give_back(reservation).await;
                return Err(refuse(LimitKind::Requests, window, status).into());
            }
        }
        Ok(Admission { status, reservation, guard: None })
    }

    async fn settle(&self, admission: Admission, used: Option<u64>, now: Timestamp) {
        let (Some(reservation), Some(used)) = (admission.reservation, used) else { return };
        let minute = |time: Timestamp| time.as_second().div_euclid(WINDOW);
        // Nobody reads a window that has ended.
        if used != reservation.tokens && minute(reservation.window) == minute(now) {
            self.replace(&reservation, used).await;
        }
    }
}
