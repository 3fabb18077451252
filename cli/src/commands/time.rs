//! Times and durations, as people write and read them.

use std::time::Duration;

use diogenes_core::Timestamp;

const DAY: u64 = 24 * 3600;

/// Parses `30d`, `2w`, `1d 12h`, `720h`, or a number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mut total = Duration::ZERO;
    let mut rest = String::new();
    for word in text.split_whitespace() {
        let unit = [("w", 7 * DAY), ("d", DAY)].into_iter().find_map(|(unit, seconds)| {
            let count: u64 = word.strip_suffix(unit)?.parse().ok()?;
            count.checked_mul(seconds)
        });
        if let Some(seconds) = unit {
            total = total.saturating_add(Duration::from_secs(seconds));
        } else {
            rest.push_str(word);
            rest.push(' ');
        }
    }
    if rest.is_empty() && !total.is_zero() {
        return Ok(total);
    }
    let rest = diogenes_core::duration::parse(rest.trim())
        .map_err(|_| format!("`{text}` is no duration; write `30s`, `10m`, `1h 30m` or `30d`"))?;
    total.checked_add(rest).ok_or_else(|| format!("`{text}` is too long"))
}

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
    fn days_and_weeks_are_durations_too() {
        for (text, hours) in
            [("30d", 720), ("2w", 336), ("1d 12h", 36), ("720h", 720), ("1w 1d", 192), ("3600", 1)]
        {
            assert_eq!(duration(text), Ok(Duration::from_hours(hours)), "{text}");
        }
        for text in ["", "soon", "-1d", "d", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

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
