use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::ports::{Clock, Timer};
use tokio::time::Instant;

use crate::journal::Journal;

/// What simulated time advances by at most while bytes may be on their way: it goes on as soon as
/// no task is ready, and would otherwise run to the next deadline before a socket is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Tokio's clock, which is paused, as a wall clock.
pub(crate) struct SimulatedClock {
    began: Instant,
}

impl SimulatedClock {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let began = Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        began.checked_add(self.began.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

#[async_trait]
impl Timer for SimulatedClock {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Keeps time from leaping while there are requests.
pub(crate) async fn tick(journal: Arc<Journal>) {
    loop {
        journal.any_outstanding().await;
        tokio::time::sleep(TICK).await;
    }
}
