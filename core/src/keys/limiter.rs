use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;
use crate::fleet::eta::since;
use crate::keys::KeyId;
use crate::ports::{
    Admission, AdmitError, LimitExceeded, LimitKind, Limiter, Limits, RateStatus, RateWindow,
};

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);

/// A [`Limiter`] in memory: for one process, such as `serve`. Windows of one minute begin with a
/// key's first request; a restart forgets them.
#[derive(Debug, Default)]
pub struct LocalLimiter {
    keys: Mutex<HashMap<KeyId, Used>>,
}

#[derive(Debug)]
struct Used {
    began: Timestamp,
    requests: u32,
    tokens: u64,
    in_flight: Arc<AtomicU32>,
}

/// Gives a concurrency slot back.
#[derive(Debug)]
struct InFlight(Arc<AtomicU32>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl LocalLimiter {
    fn with<T>(&self, key: &KeyId, now: Timestamp, work: impl FnOnce(&mut Used) -> T) -> T {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains_key(key) && keys.len() >= 1024 {
            // Bounded by the keys that were used in the last minute.
            keys.retain(|_, used| {
                since(used.began, now) < WINDOW || used.in_flight.load(Ordering::Acquire) > 0
            });
        }
        let used = keys.entry(key.clone()).or_insert_with(|| Used {
            began: now,
            requests: 0,
            tokens: 0,
            in_flight: Arc::default(),
        });
        if since(used.began, now) >= WINDOW || used.began > now {
            used.began = now;
            used.requests = 0;
            used.tokens = 0;
        }
        work(used)
    }
}

impl Used {
    fn status(&self, limits: &Limits, now: Timestamp) -> RateStatus {
        let reset = WINDOW.saturating_sub(since(self.began, now));
        let window = |limit: u32, used: u64| RateWindow {
            limit,
            remaining: limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)),
            reset,
        };
        RateStatus {
            requests: limits
                .requests_per_minute
                .map(|limit| window(limit, u64::from(self.requests))),
            tokens: limits.tokens_per_minute.map(|limit| window(limit, self.tokens)),
        }
    }

    fn admit(&mut self, limits: &Limits, now: Timestamp) -> Result<Admission, LimitExceeded> {
        let status = self.status(limits, now);
        let in_flight = self.in_flight.load(Ordering::Acquire);
        let exhausted = |window: Option<RateWindow>| window.filter(|window| window.remaining == 0);
        let refused = if let Some(window) = exhausted(status.requests) {
            Some((LimitKind::Requests, window.limit, window.reset))
        } else if let Some(window) = exhausted(status.tokens) {
            Some((LimitKind::Tokens, window.limit, window.reset))
        } else {
            limits
                .concurrency
                .filter(|most| in_flight >= *most)
                .map(|most| (LimitKind::Concurrency, most, Duration::from_secs(1)))
        };
        if let Some((kind, limit, retry_after)) = refused {
            return Err(LimitExceeded { kind, limit, retry_after, status });
        }
        self.requests = self.requests.saturating_add(1);
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Ok(Admission {
            status: self.status(limits, now),
            guard: Some(Box::new(InFlight(self.in_flight.clone()))),
        })
    }
}

#[async_trait]
impl Limiter for LocalLimiter {
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Admission, AdmitError> {
        Ok(self.with(key, now, |used| used.admit(limits, now))?)
    }

    async fn record_tokens(&self, key: &KeyId, _: &Limits, tokens: u64, now: Timestamp) {
        self.with(key, now, |used| {
            used.tokens = used.tokens.saturating_add(tokens);
        });
    }
}
