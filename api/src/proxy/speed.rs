use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use diogenes_core::Timestamp;

/// How long a measurement counts. After that, one request is sent to see.
const FRESH: i64 = 60_000;

/// How fast a target is: a moving average of the times from sending a request to the first token
/// of its streamed answer.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    /// Microseconds; 0 for never.
    average: AtomicU64,
    /// When it was last measured, and when somebody was last sent to measure; milliseconds since
    /// the epoch.
    measured: AtomicI64,
    tried: AtomicI64,
}

impl Speed {
    pub(crate) fn note(&self, took: Duration, now: Timestamp) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 8).max(1);
        let is_fresh = Self::is_fresh(&self.measured, now);
        // Of two at the same time one may be lost, which an average can bear.
        let average = match self.average.load(Ordering::Relaxed) {
            old if is_fresh && old > 0 => (old.saturating_mul(7) / 8).saturating_add(micros / 8),
            _ => micros,
        };
        self.average.store(average, Ordering::Relaxed);
        self.measured.store(now.as_millisecond(), Ordering::Relaxed);
    }

    /// The average, if it was ever measured.
    pub(crate) fn average(&self) -> Option<Duration> {
        let micros = self.average.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Whether a request should be sent just to see: to one caller in a while, where the
    /// measurement is old.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let last = self.tried.load(Ordering::Relaxed);
        let is_due = !Self::is_fresh(&self.measured, now) && !Self::is_fresh(&self.tried, now);
        let now = now.as_millisecond();
        is_due
            && self.tried.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn is_fresh(at: &AtomicI64, now: Timestamp) -> bool {
        // A clock that was set back must not make it fresh for ever.
        (0..FRESH).contains(&now.as_millisecond().saturating_sub(at.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn it_is_an_average_that_moves_and_grows_old() {
        let speed = Speed::default();
        let millis = |millis| Some(Duration::from_millis(millis));
        // One request is sent to see.
        assert_eq!((speed.is_due(at(0)), speed.is_due(at(0))), (true, false));
        assert_eq!(speed.average(), None);
        speed.note(Duration::from_millis(800), at(1));
        assert_eq!((speed.is_due(at(2)), speed.average()), (false, millis(800)));
        speed.note(Duration::from_millis(1600), at(2));
        assert_eq!(speed.average(), millis(900));
        assert_eq!((speed.is_due(at(70)), speed.is_due(at(70))), (true, false));
        // What is old counts no longer.
        speed.note(Duration::from_millis(100), at(71));
        assert_eq!((speed.is_due(at(71)), speed.average()), (false, millis(100)));
        // Nor is anything of the future fresh.
        assert!(speed.is_due(at(-500)));
    }
}
