//! The promises of [`DemandSource`].

pub mod reading;
pub mod running;
pub mod waiting;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::fleet::ClaimId;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock as _, Demand, DemandSource};
use diogenes_core::testing::ManualClock;

/// How long a state is waited for.
const DEADLINE: Duration = Duration::from_secs(20);
/// How exactly a source keeps times.
const EXACTNESS: Duration = Duration::from_millis(1);

/// Makes what a source tells of. Each call returns once it has happened.
#[async_trait]
pub trait Callers: Send + Sync {
    /// A request for `model`, of which no replica is ready, arrives and waits.
    async fn arrive(&self, model: &ModelName);

    /// The caller of the last request that waits goes away.
    async fn give_up(&self, model: &ModelName);

    /// Another replica of `model` becomes ready.
    async fn ready(&self, model: &ModelName, claim: &ClaimId);

    /// A request begins on the replica `claim`, which has the least to do.
    async fn begin(&self, model: &ModelName, claim: &ClaimId);

    /// Time has passed while a request is in flight on `claim`: whoever tells of it does so.
    async fn go_on(&self, model: &ModelName, claim: &ClaimId);

    /// A request on `claim` ends.
    async fn end(&self, model: &ModelName, claim: &ClaimId);

    /// The replicas of `model` are gone, and their records.
    async fn lose_all(&self, model: &ModelName);
}

/// A source for one check.
pub struct Fixture {
    source: Arc<dyn DemandSource>,
    clock: Arc<ManualClock>,
    callers: Box<dyn Callers>,
    unreadable: Option<Arc<dyn DemandSource>>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A source that knows of no request yet, and who makes requests.
    pub fn new(
        source: Arc<dyn DemandSource>,
        clock: Arc<ManualClock>,
        callers: impl Callers + 'static,
    ) -> Self {
        Self { source, clock, callers: Box::new(callers), unreadable: None, _keep: Box::new(()) }
    }

    /// A source of the same kind that cannot be read, where that can happen.
    #[must_use]
    pub fn or_unreadable(self, unreadable: Arc<dyn DemandSource>) -> Self {
        Self { unreadable: Some(unreadable), ..self }
    }

    /// Keeps what the source stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    async fn demand(&self, model: &ModelName) -> Demand {
        self.source.demand(model).await.unwrap()
    }

    /// Waits until the demand is as it should be.
    async fn until(&self, model: &ModelName, fits: impl Fn(&Demand) -> bool) -> Demand {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let last = self.demand(model).await;
            if fits(&last) {
                return last;
            }
            assert!(Instant::now() < deadline, "last seen of `{model}`: {last:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Whether a time is that of the clock.
    fn is_now(&self, at: Option<Timestamp>) -> bool {
        let now = self.clock.now();
        at.is_some_and(|at| (now - EXACTNESS..=now + EXACTNESS).contains(&at))
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

fn model() -> ModelName {
    "org/model".parse().unwrap()
}

fn other_model() -> ModelName {
    "org/other".parse().unwrap()
}

fn claim(id: &str) -> ClaimId {
    ClaimId::new(id)
}
