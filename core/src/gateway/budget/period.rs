use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How often a budget starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// At midnight UTC.
    Day,
    /// At midnight UTC of the first of each month.
    Month,
    /// Never.
    Total,
}

/// Text that is not a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a period; use `day`, `month` or `total`")]
pub struct InvalidPeriod(pub(super) String);

impl Period {
    const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    /// The name in ids and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// As it stands behind an amount: `per day`.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Day => "per day",
            Self::Month => "per month",
            Self::Total => "in total",
        }
    }

    /// When the window ends that `now` lies in, and the next one begins; none for
    /// [`Period::Total`].
    ///
    /// It depends on nothing but `now`. A caller whose clock may go back passes the
    /// [latest time](LatestTime) that it has seen.
    pub fn ends_at(self, now: Timestamp) -> Option<Timestamp> {
        let date = now.to_zoned(TimeZone::UTC).date();
        let next = match self {
            Self::Day => date.checked_add(1.day()),
            Self::Month => date.first_of_month().checked_add(1.month()),
            Self::Total => return None,
        };
        let start = next.and_then(|date| date.to_zoned(TimeZone::UTC));
        Some(start.map_or(Timestamp::MAX, |start| start.timestamp()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let period = Self::ALL.into_iter().find(|period| period.as_str() == text);
        period.ok_or_else(|| InvalidPeriod(text.chars().take(40).collect()))
    }
}

/// Time that never goes back, for windows: whoever sets the clock back opens no window again that
/// has ended, whose account the ledger may have forgotten.
///
/// Where the clock was ahead by mistake, the windows stay ahead until the time comes or the process
/// ends: less may be used than meant, never more.
#[derive(Debug, Default)]
pub struct LatestTime(Mutex<Timestamp>);

impl LatestTime {
    /// `now`, or the latest time that was passed before.
    pub fn at(&self, now: Timestamp) -> Timestamp {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = now.max(*latest);
        *latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_are_days_and_months_of_utc() {
        for (now, day, month) in [
            ("2026-11-27T09:00:00Z", "2026-11-28T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-28T12:00:00Z", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-26T00:00:00Z", "2026-11-01T00:00:00Z"),
        ] {
            assert_eq!(Period::Day.ends_at(at(now)), Some(at(day)));
            assert_eq!(Period::Month.ends_at(at(now)), Some(at(month)));
            assert_eq!(Period::Total.ends_at(at(now)), None);
        }
        assert_eq!(Period::Day.ends_at(Timestamp::MAX), Some(Timestamp::MAX));
    }

    #[test]
    fn clock_that_goes_back_opens_no_window_again() {
        let latest = LatestTime::default();
        let new_day = latest.at(at("2026-12-01T00:00:05Z"));
        let set_back = latest.at(at("2026-11-30T23:59:55Z"));
        assert_eq!(Period::Month.ends_at(set_back), Period::Month.ends_at(new_day));
        assert_eq!(latest.at(at("2026-12-02T00:00:00Z")), at("2026-12-02T00:00:00Z"));
    }

    #[test]
    fn periods_are_read_back() {
        for period in Period::ALL {
            assert_eq!(period.to_string().parse(), Ok(period));
            assert_eq!(serde_json::to_value(period).unwrap(), period.as_str());
        }
        assert!("week".parse::<Period>().unwrap_err().to_string().contains("use `day`"));
    }
}
