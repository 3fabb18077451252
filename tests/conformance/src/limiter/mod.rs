//! The promises of [`Limiter`].

pub mod admission;
pub mod races;
pub mod tokens;
pub mod windows;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::keys::KeyId;
use diogenes_core::ports::{
    Admission, AdmitError, Clock as _, LimitExceeded, Limiter, Limits, TokenBound,
};
use diogenes_core::testing::ManualClock;

/// A limiter for one check.
pub struct Fixture {
    limiter: Arc<dyn Limiter>,
    clock: Arc<ManualClock>,
    counts_concurrency: bool,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A limiter that has counted nothing. `counts_concurrency` is whether it limits the requests
    /// in flight, which one over a store cannot.
    pub fn new(
        limiter: Arc<dyn Limiter>,
        clock: Arc<ManualClock>,
        counts_concurrency: bool,
    ) -> Self {
        // The beginning of a minute, where windows of the clock begin.
        let now = clock.now().as_second();
        clock.set(Timestamp::from_second(now - now.rem_euclid(60) + 60).unwrap());
        Self { limiter, clock, counts_concurrency, _keep: Box::new(()) }
    }

    /// Keeps what the limiter stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn try_admit(
        &self,
        key: &KeyId,
        limits: &Limits,
        bound: u64,
    ) -> Result<Admission, LimitExceeded> {
        let bound = TokenBound::new(bound);
        match self.limiter.admit(key, limits, bound, self.clock.now()).await {
            Ok(admission) => Ok(admission),
            Err(AdmitError::Exceeded(exceeded)) => Err(exceeded),
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn admit(&self, key: &KeyId, limits: &Limits, bound: u64) -> Admission {
        self.try_admit(key, limits, bound).await.unwrap()
    }

    async fn refuse(&self, key: &KeyId, limits: &Limits, bound: u64) -> LimitExceeded {
        self.try_admit(key, limits, bound).await.unwrap_err()
    }

    async fn settle(&self, admission: Admission, used: u64) {
        self.limiter.settle(admission, Some(used), self.clock.now()).await;
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

fn key(id: &str) -> KeyId {
    KeyId::from_caller(id)
}

fn tokens(limit: u32) -> Limits {
    Limits { tokens_per_minute: Some(limit), ..Limits::default() }
}

fn requests(limit: u32) -> Limits {
    Limits { requests_per_minute: Some(limit), ..Limits::default() }
}

/// What an admission says is left of the tokens.
fn tokens_left(admission: &Admission) -> u32 {
    admission.status.tokens.unwrap().remaining
}
