//! Times and durations, as people write and read them.

use std::time::Duration;

use diogenes_core::Timestamp;

const DAY: u64 = 24 * 3600;

/// The time from `then` to `now`, none if a clock is ahead.
pub(super) fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// A duration in its largest unit: `45s`, `12m`, `3h`, `2d`.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / DAY),
    }
}

/// A duration in whole seconds: `1m 35s`.
pub(super) fn exact(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0).round()).unwrap_or(Duration::MAX);
    diogenes_core::duration::format(whole)
}

/// A time without fractions of seconds.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_rough_and_waits_exact() {
        for (seconds, text) in
            [(0, "0s"), (119, "119s"), (125, "2m"), (7300, "2h"), (200_000, "2d")]
        {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
        assert_eq!(exact(94.6), "1m 35s");
        assert_eq!(exact(-1.0), "0s");
        assert_eq!(exact(f64::INFINITY), exact(Duration::MAX.as_secs_f64()));
    }

    #[test]
    fn a_clock_that_is_ahead_makes_no_negative_age() {
        let then: Timestamp = "2026-01-01T00:00:10.5Z".parse().expect("a time");
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        assert_eq!(since(then, now), Duration::ZERO);
        assert_eq!(stamp(then), "2026-01-01T00:00:10Z");
    }
}
