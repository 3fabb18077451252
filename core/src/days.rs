//! Days of UTC, which usage and costs are kept and reported by.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Unit};

use crate::Timestamp;

/// How many days records of usage and costs are kept.
pub const RETENTION_DAYS: i32 = 400;

/// The days that a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    pub first: Date,
    /// Included.
    pub last: Date,
}

/// Days out of order, or too many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidDays {
    /// `from` or `to`.
    pub field: &'static str,
    pub problem: String,
}

impl Days {
    /// The days from the first one, the first of the month of the last one when absent, to the last
    /// one, which is today when absent.
    pub fn between(from: Option<Date>, to: Option<Date>, today: Date) -> Result<Self, InvalidDays> {
        let last = to.unwrap_or(today);
        let first = from.unwrap_or_else(|| last.first_of_month());
        if first > last {
            return Err(if to.is_some() {
                InvalidDays { field: "to", problem: format!("({last}) is before `from` ({first})") }
            } else {
                InvalidDays { field: "from", problem: format!("({first}) is in the future") }
            });
        }
        let days = first.until((Unit::Day, last)).map_or(i32::MAX, |span| span.get_days());
        if days >= RETENTION_DAYS {
            let problem = format!(
                "({first}) is too far before `to` ({last}); a report covers at most {RETENTION_DAYS} days"
            );
            return Err(InvalidDays { field: "from", problem });
        }
        Ok(Self { first, last })
    }

    /// What the keys of records begin with whose names begin with their day and a `#`. Months that
    /// lie within are one prefix each.
    pub fn prefixes(&self) -> Vec<String> {
        let mut prefixes = Vec::new();
        let mut day = self.first;
        loop {
            let last = day.last_of_month();
            let (prefix, end) = if day.day() == 1 && last <= self.last {
                (format!("{:04}-{:02}-", day.year(), day.month()), last)
            } else {
                (format!("{day}#"), day)
            };
            prefixes.push(prefix);
            match end.checked_add(1.day()) {
                Ok(next) if next <= self.last => day = next,
                _ => return prefixes,
            }
        }
    }
}

/// The day of an instant.
pub fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

/// When a day begins.
pub fn beginning_of(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |midnight| midnight.timestamp())
}

/// When the records of a day expire.
pub fn expiry_of(day: Date) -> Timestamp {
    beginning_of(day.saturating_add(RETENTION_DAYS.days()))
}
