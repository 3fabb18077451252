use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;

use crate::fleet::InstanceId;
use crate::ports::{
    Bound, ComputeBackend, ComputeError, Instance, Item, Key, LaunchError, LaunchRequest, Page,
    Query, StateStore, StoreError, Version, Write,
};
use crate::testing::SeededEntropy;

/// Gives the scheduler the choice to go on elsewhere, or never to come back: a crash.
pub(super) async fn pause() {
    struct Once(bool);
    impl Future for Once {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
        }
    }
    Once(false).await;
}

/// Whether calls may fail now, and the dice.
#[derive(Clone)]
pub(super) struct Dice {
    pub(super) entropy: Arc<SeededEntropy>,
    pub(super) armed: Arc<AtomicBool>,
}

impl Dice {
    /// True once in `sides` throws, while armed.
    fn bad_luck(&self, sides: u64) -> bool {
        self.armed.load(Ordering::Relaxed) && self.entropy.next_u64().is_multiple_of(sides)
    }
}

/// A port whose calls pause before and after, fail, and lose answers.
pub(super) struct Faulty<T: ?Sized> {
    pub(super) inner: Arc<T>,
    pub(super) dice: Dice,
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { reason: "simulated".into(), source: None }
}

fn lost() -> StoreError {
    StoreError::Unknown { reason: "simulated".into(), source: None }
}

#[async_trait]
impl<S: StateStore + ?Sized> StateStore for Faulty<S> {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        pause().await;
        if self.dice.bad_luck(200) {
            return Err(unavailable());
        }
        self.inner.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        pause().await;
        if self.dice.bad_luck(200) {
            return Err(unavailable());
        }
        self.inner.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        pause().await;
        if self.dice.bad_luck(60) {
            return Err(unavailable());
        }
        let result = self.inner.commit(writes).await;
        pause().await;
        if result.is_ok() && self.dice.bad_luck(60) {
            return Err(lost());
        }
        result
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<crate::Timestamp>,
    ) -> Result<i64, StoreError> {
        pause().await;
        self.inner.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        pause().await;
        self.inner.count(key).await
    }
}

#[async_trait]
impl<C: ComputeBackend + ?Sized> ComputeBackend for Faulty<C> {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        let transient = || LaunchError::Transient { reason: "simulated".into(), source: None };
        pause().await;
        if self.dice.bad_luck(20) {
            return Err(transient());
        }
        let result = self.inner.launch(request).await;
        pause().await;
        if self.dice.bad_luck(20) {
            return Err(transient());
        }
        result
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        pause().await;
        if self.dice.bad_luck(50) {
            return Err(ComputeError::Transient { reason: "simulated".into(), source: None });
        }
        let result = self.inner.describe().await;
        // The listing is old by the time that anybody acts on it.
        pause().await;
        result
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        pause().await;
        if self.dice.bad_luck(20) {
            return Err(ComputeError::Transient { reason: "simulated".into(), source: None });
        }
        let result = self.inner.terminate(id).await;
        pause().await;
        result
    }

    fn settle_time(&self) -> Duration {
        self.inner.settle_time()
    }
}
