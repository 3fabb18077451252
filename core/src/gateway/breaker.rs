use std::time::Duration;

use crate::Timestamp;
use crate::fleet::eta::later;

/// How many failures in a row open it.
const TOLERATED: u32 = 5;
/// How long it stays open at first; doubled with each failure that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest that failures keep it open.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);
/// The longest that a target can ask to be left alone; a longer wish counts as this.
const LONGEST_WISH: Duration = Duration::from_mins(10);

/// A circuit breaker: keeps requests from a target that fails, and lets one through from time to
/// time to see whether it still does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Failures since the last success.
    failures: u32,
    opens_at: Option<Timestamp>,
    /// Whether a request sees whether it still fails.
    probing: bool,
}

impl Breaker {
    /// From when on a request may be sent; none where it may be sent now, as far as is known.
    pub fn opens_at(&self) -> Option<Timestamp> {
        self.opens_at
    }

    /// A request is about to be sent. After failures it is a probe, and keeps others away while it
    /// lasts; one that nobody waits for any longer keeps them away for no longer than a failure.
    pub fn begin(&mut self, now: Timestamp) {
        self.probing = self.failures >= TOLERATED;
        self.opens_at = self.probing.then(|| later(now, self.pause()));
    }

    /// The target has answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The target has failed, and may have said how long it wants to be left alone.
    pub fn failed(&mut self, now: Timestamp, wish: Option<Duration>) {
        // What was under way when it opened says nothing new.
        let is_known = self.failures >= TOLERATED && self.opens_at.is_some_and(|at| at > now);
        let counts = std::mem::take(&mut self.probing) || !is_known;
        if counts {
            self.failures = self.failures.saturating_add(1);
        }
        let wish = wish.map(|wish| later(now, wish.min(LONGEST_WISH)));
        let own = (counts && self.failures >= TOLERATED).then(|| later(now, self.pause()));
        // A request that was sent earlier must not shorten what a later one was told.
        self.opens_at = self.opens_at.filter(|at| *at > now).max(wish).max(own);
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(TOLERATED).min(8);
        (FIRST_PAUSE * 2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_for_ever_longer() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.begin(at(0));
            breaker.failed(at(0), None);
            assert_eq!(breaker.opens_at(), None);
        }
        for (now, until) in [(0, 5), (5, 15), (15, 35), (35, 75), (75, 155), (155, 275), (275, 395)]
        {
            breaker.failed(at(now), None);
            assert_eq!(breaker.opens_at(), Some(at(until)), "at {now}");
        }
        breaker.succeeded();
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn requests_that_were_under_way_when_it_opened_count_once() {
        let mut breaker = Breaker::default();
        for _ in 0..12 {
            breaker.failed(at(0), None);
        }
        assert_eq!(breaker.opens_at(), Some(at(5)));
        breaker.begin(at(5));
        breaker.failed(at(6), None);
        assert_eq!(breaker.opens_at(), Some(at(16)), "a probe has failed");
        breaker.failed(at(7), None);
        assert_eq!(breaker.opens_at(), Some(at(16)), "and nothing else has");
    }

    #[test]
    fn one_request_probes_at_a_time() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(at(0), None);
        }
        breaker.begin(at(6));
        assert_eq!(breaker.opens_at(), Some(at(11)));
        breaker.succeeded();
        assert_eq!(breaker.opens_at(), None);
    }

    #[test]
    fn a_wish_is_heeded_at_once_within_reason() {
        for (wish, until) in [(0, 0), (30, 30), (1_000_000_000, 600)] {
            let mut breaker = Breaker::default();
            breaker.failed(at(0), Some(Duration::from_secs(wish)));
            assert_eq!(breaker.opens_at(), Some(at(until)), "{wish}");
            // A failure of a request that was sent before.
            breaker.failed(at(0), None);
            assert_eq!(
                breaker.opens_at().filter(|at| *at > self::at(0)),
                Some(at(until)).filter(|_| wish > 0)
            );
        }
    }
}
