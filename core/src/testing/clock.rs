use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;
use crate::ports::{Clock, Timer};

/// A clock that stands until a test moves it.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Shows `now` from here on; it may lie in the past, as when an operator sets the clock.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves on by `step`, at most to the last instant that a [`Timestamp`] can name.
    pub fn advance(&self, step: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(step).unwrap_or(Timestamp::MAX);
    }
}

impl Default for ManualClock {
    /// Starts on 2026-01-01 at midnight UTC.
    fn default() -> Self {
        Self::new(Timestamp::constant(1_767_225_600, 0))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timer whose time never comes.
#[derive(Clone, Copy, Debug)]
pub struct Patient;

#[async_trait]
impl Timer for Patient {
    async fn sleep(&self, _: Duration) {
        std::future::pending::<()>().await;
    }
}

/// A timer whose time has come at once: what is not done by then hangs, as the ports in memory
/// never wait.
#[derive(Clone, Copy, Debug)]
pub struct Impatient;

#[async_trait]
impl Timer for Impatient {
    async fn sleep(&self, _: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_stands_until_it_is_moved() {
        let clock = ManualClock::default();
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00Z");
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:01.5Z");
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
    }
}
