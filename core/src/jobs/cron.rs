use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The longest expression in bytes.
pub const MAX_CRON: usize = 200;

/// The names that crontabs have for usual expressions (crontab(5) of cronie).
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Times that come again: a cron expression and the time zone that it is meant in.
///
/// A time that a change of clocks skips does not come on that day, and one that it repeats comes
/// twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// Minute, hour, day of month, month and day of week; or a nickname such as `@daily`.
    pub expression: String,
    /// A name of the IANA time zone database.
    pub time_zone: String,
}

impl Cron {
    /// The first of its times after `at`.
    ///
    /// # Errors
    /// The field that is at fault, and what is wrong with it.
    pub fn next_after(&self, at: Timestamp) -> Result<Timestamp, (&'static str, String)> {
        let wrong = |problem: String| ("cron", problem);
        let time_zone = TimeZone::get(&self.time_zone).ok();
        // Its own spelling: the parser of expressions knows no other.
        let Some(time_zone) = time_zone.as_ref().and_then(TimeZone::iana_name) else {
            let problem = "must be a name of the IANA time zone database, such as `Europe/Berlin`";
            return Err(("time_zone", problem.into()));
        };
        if self.expression.len() > MAX_CRON {
            return Err(wrong(format!("must have at most {MAX_CRON} bytes")));
        }
        let nickname =
            NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.expression));
        let expression = nickname.map_or(&*self.expression, |(_, expression)| *expression);
        if expression.split_whitespace().count() != 5 {
            return Err(wrong(
                "must have five fields, minute, hour, day of month, month and day of week, or be a \
                 nickname such as `@daily`"
                    .into(),
            ));
        }
        let crontab = cronexpr::parse_crontab(&format!("{} {time_zone}", expression.trim()));
        let crontab = crontab.map_err(|error| {
            // The last line points at a column of the one before it, and says why.
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            let (place, reason) = last.split_once("^ ").unwrap_or_default();
            wrong(format!("cannot be read at character {}: {reason}", place.len() + 1))
        })?;
        let never = |_| wrong("names a time that never comes".into());
        crontab.find_next(at).map(|next| next.timestamp()).map_err(never)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, time_zone: &str, at: &str) -> Result<String, (&'static str, String)> {
        let cron = Cron { expression: expression.into(), time_zone: time_zone.into() };
        Ok(cron.next_after(at.parse().unwrap())?.to_string())
    }

    #[test]
    fn times_come_in_their_time_zone() {
        for (expression, time_zone, at, wanted) in [
            ("*/15 * * * *", "UTC", "2026-11-28T10:15:00Z", "2026-11-28T10:30:00Z"),
            ("0 3 * * *", "Europe/Berlin", "2026-11-28T10:00:00Z", "2026-11-29T02:00:00Z"),
            ("0 3 * * *", "Europe/Berlin", "2026-06-28T10:00:00Z", "2026-06-29T01:00:00Z"),
            ("@daily", "America/New_York", "2026-11-28T10:00:00Z", "2026-11-29T05:00:00Z"),
            ("@Daily", "europe/BERLIN", "2026-11-28T10:00:00Z", "2026-11-28T23:00:00Z"),
            ("0 0 29 2 *", "UTC", "2026-11-28T10:00:00Z", "2028-02-29T00:00:00Z"),
            ("30 9 * * MON-FRI", "UTC", "2026-11-28T10:00:00Z", "2026-11-30T09:30:00Z"),
            // There is no 02:30 on the day when clocks go forward, and there are two when they go back.
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", "2026-03-30T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
        ] {
            assert_eq!(
                next(expression, time_zone, at).unwrap(),
                wanted,
                "{expression} {time_zone}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_its_field() {
        let long = "0,".repeat(MAX_CRON);
        for (expression, time_zone, field) in [
            ("", "UTC", "cron"),
            ("* * * *", "UTC", "cron"),
            ("* * * * * *", "UTC", "cron"),
            ("* * * * * UTC", "UTC", "cron"),
            ("@reboot", "UTC", "cron"),
            ("61 * * * *", "UTC", "cron"),
            ("0 0 30 2 *", "UTC", "cron"),
            (&long, "UTC", "cron"),
            ("* * * * *", "Europe/Nowhere", "time_zone"),
            ("* * * * *", "", "time_zone"),
        ] {
            let error = next(expression, time_zone, "2026-11-28T10:00:00Z").unwrap_err();
            assert_eq!(error.0, field, "{expression:?} {time_zone:?}: {}", error.1);
            assert!(!error.1.contains('\n'), "{}", error.1);
        }
        let error = next("0 61 * * *", "UTC", "2026-11-28T10:00:00Z").unwrap_err().1;
        assert!(
            error.starts_with("cannot be read at character 3: ") && error.contains("23"),
            "{error}"
        );
    }
}
