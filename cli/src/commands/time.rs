//! Times and durations, as people write and read them.

use std::time::Duration;

use diogenes_core::Timestamp;

/// The days that a report is about.
#[derive(Debug, clap::Args)]
pub(super) struct Days {
    /// The first day, as a date or an age such as `7d` [default: the first of the month of --to]
    #[arg(long, value_name = "DATE", value_parser = parse)]
    from: Option<Timestamp>,
    /// The last day, in the same form [default: today]
    #[arg(long, value_name = "DATE", value_parser = parse)]
    to: Option<Timestamp>,
}

impl Days {
    /// As the API takes them.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
        let days = [("from", self.from), ("to", self.to)];
        days.into_iter().filter_map(|(name, at)| Some((name, day(at?)))).collect()
    }
}

/// Parses a time as people write it: a time, a day, which begins at midnight UTC, or how long ago.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    of_text(text.trim(), Timestamp::now()).ok_or_else(|| {
        "is not a time; use `2026-11-27`, `2026-11-27T08:00:00Z`, or how long ago, such as `2h` or \
         `7d`"
            .to_owned()
    })
}

fn of_text(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    if text.len() == "2026-11-27".len()
        && let Ok(midnight) = format!("{text}T00:00:00Z").parse()
    {
        return Some(midnight);
    }
    // A bare number could be anything.
    let ago = diogenes_core::duration::parse(text).ok().filter(|_| text.parse::<f64>().is_err())?;
    now.checked_sub(ago).ok()
}

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
    fn a_time_is_a_time_a_day_or_how_long_ago() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().expect("a time");
        for (text, at) in [
            ("2026-11-27T08:30:00Z", "2026-11-27T08:30:00Z"),
            ("2026-11-27T08:30:00+02:00", "2026-11-27T06:30:00Z"),
            ("2026-11-27", "2026-11-27T00:00:00Z"),
            ("2h", "2026-11-27T10:00:00Z"),
            ("7d", "2026-11-20T12:00:00Z"),
            ("1h 30m", "2026-11-27T10:30:00Z"),
        ] {
            assert_eq!(of_text(text, now), Some(at.parse().expect("a time")), "{text}");
        }
        for text in ["", "yesterday", "2026", "2026-13-01", "-2h", "99999999w"] {
            assert_eq!(of_text(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_ahead_makes_no_negative_age() {
        let then: Timestamp = "2026-01-01T00:00:10.5Z".parse().expect("a time");
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        assert_eq!(since(then, now), Duration::ZERO);
        assert_eq!(stamp(then), "2026-01-01T00:00:10Z");
    }
}
