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
    TokenBound, TokenReservation,
};

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);

/// When a request may be tried again that only those in flight keep out.
const SOON: Duration = Duration::from_secs(1);

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
    /// Tokens that were used.
    settled: u64,
    /// Tokens set aside for requests that are not settled.
    reserved: u64,
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
            settled: 0,
            reserved: 0,
            in_flight: Arc::default(),
        });
        if since(used.began, now) >= WINDOW || used.began > now {
            used.began = now;
            used.requests = 0;
            used.settled = 0;
            used.reserved = 0;
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
            tokens: limits
                .tokens_per_minute
                .map(|limit| window(limit, self.settled.saturating_add(self.reserved))),
        }
    }

    fn admit(
        &mut self,
        key: &KeyId,
        limits: &Limits,
        bound: TokenBound,
        now: Timestamp,
    ) -> Result<Admission, LimitExceeded> {
        let status = self.status(limits, now);
        let in_flight = self.in_flight.load(Ordering::Acquire);
        let requests = status.requests.filter(|window| window.remaining == 0);
        let tokens = status.tokens.map(|window| (window, bound.within(window.limit)));
        let refused = if let Some(window) = requests {
            Some((LimitKind::Requests, window.limit, window.reset))
        } else if let Some((window, wanted)) =
            tokens.filter(|(window, wanted)| u64::from(window.remaining) < (*wanted).max(1))
        {
            // Those in flight mostly use less than what is set aside for them.
            let in_time =
                self.reserved > 0 && self.settled.saturating_add(wanted) <= u64::from(window.limit);
            let retry_after = if in_time { SOON.min(window.reset) } else { window.reset };
            Some((LimitKind::Tokens, window.limit, retry_after))
        } else {
            limits
                .concurrency
                .filter(|most| in_flight >= *most)
                .map(|most| (LimitKind::Concurrency, most, SOON))
        };
        if let Some((kind, limit, retry_after)) = refused {
            return Err(LimitExceeded { kind, limit, retry_after, status });
        }
        self.requests = self.requests.saturating_add(1);
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let reservation = tokens.map(|(_, tokens)| {
            self.reserved = self.reserved.saturating_add(tokens);
            TokenReservation { key: key.clone(), window: self.began, tokens }
        });
        Ok(Admission {
            status: self.status(limits, now),
            reservation,
            guard: Some(Box::new(InFlight(self.in_flight.clone()))),
        })
    }

    fn settle(&mut self, reservation: &TokenReservation, used: u64) {
        if self.began == reservation.window {
            self.reserved = self.reserved.saturating_sub(reservation.tokens);
            self.settled = self.settled.saturating_add(used);
        }
    }
}

#[async_trait]
impl Limiter for LocalLimiter {
    async fn admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        bound: TokenBound,
        now: Timestamp,
    ) -> Result<Admission, AdmitError> {
        Ok(self.with(key, now, |used| used.admit(key, limits, bound, now))?)
    }

    async fn settle(&self, admission: Admission, used: Option<u64>, now: Timestamp) {
        let Some(reservation) = admission.reservation else { return };
        let tokens = used.unwrap_or(reservation.tokens);
        self.with(&reservation.key, now, |used| used.settle(&reservation, tokens));
    }
}
