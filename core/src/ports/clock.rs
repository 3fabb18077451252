use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;

/// The wall clock of the control plane.
pub trait Clock: Send + Sync {
    /// The time now. It may jump (an operator sets the clock), so a difference that comes out
    /// negative counts as zero.
    fn now(&self) -> Timestamp;
}

/// Waits. It is apart from [`Clock`], since how long something takes must not depend on an
/// operator who sets the clock.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Returns once `duration` has passed.
    async fn sleep(&self, duration: Duration);
}

/// The result of `work`, or `None` when it takes longer than `limit`; then it is dropped where it
/// stands.
pub(crate) async fn within<T>(
    timer: &dyn Timer,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut over = timer.sleep(limit);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => over.as_mut().poll(context).map(|()| None),
    })
    .await
}
