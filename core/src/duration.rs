//! Durations as people write them: `"90s"`, `"10m"`, `"1h 30m"`, or a number of seconds.
//!
//! For `#[serde(with = "diogenes_core::duration")]`; [`option`] does the same for `Option`.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

/// The longest duration that a definition may name: a year.
pub const LONGEST: Duration = Duration::from_hours(24 * 366);

/// Parses what people write.
pub fn parse(text: &str) -> Result<Duration, String> {
    parse_words(text)
        .ok_or_else(|| format!("`{text}` is not a duration; use `30s`, `10m`, `1h 30m` or `7d`"))
}

fn parse_words(text: &str) -> Option<Duration> {
    const DAY: u64 = 24 * 3600;
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    // The library below knows no days: theirs may have 23 hours.
    let mut whole = Duration::ZERO;
    let mut rest = String::new();
    for word in text.split_whitespace() {
        let days = [("w", 7 * DAY), ("d", DAY)].into_iter().find_map(|(unit, seconds)| {
            word.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(seconds)
        });
        match days {
            Some(seconds) => whole = whole.checked_add(Duration::from_secs(seconds))?,
            None => rest = format!("{rest} {word}"),
        }
    }
    if rest.is_empty() {
        return (!text.is_empty()).then_some(whole);
    }
    let rest = rest.trim().parse::<jiff::SignedDuration>().ok()?;
    whole.checked_add(Duration::try_from(rest).ok()?)
}

/// Writes it in the shortest such form: `10m`, `1h 30m`, `250ms`.
pub fn format(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{}s", duration.as_secs()), |signed| format!("{signed:#}"))
}

/// Writes the short form.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Reads the short form or a number of seconds.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"30s\", \"10m\" or \"1h 30m\", or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds)
            .map(Duration::from_secs)
            .map_err(|_| E::invalid_value(Unexpected::Signed(seconds), &self))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| E::invalid_value(Unexpected::Float(seconds), &self))
    }
}

/// The same for an optional duration.
pub mod option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Wrapped(#[serde(with = "super")] Duration);

    /// Writes the short form, or null.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the short form, a number of seconds, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_in_many_ways() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("10m", 600.0),
            ("1h 30m", 5400.0),
            ("1h30m", 5400.0),
            ("45", 45.0),
            ("0.5", 0.5),
            ("250ms", 0.25),
            ("1d", 86_400.0),
            ("2w 1d 12h", 1_339_200.0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "soon", "-5s", "10 parsecs"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for millis in [0, 250, 1000, 90_000, 600_000, 5_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
        assert_eq!(format(Duration::from_mins(10)), "10m");
    }
}
