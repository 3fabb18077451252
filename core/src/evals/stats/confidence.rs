use serde::Serialize;

use super::StatsError;
use super::normal;

/// How sure an interval is, such as 0.95. What lies outside happens by chance with probability
/// α = 1 − confidence, half of it on each side.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
pub struct Confidence(f64);

impl Confidence {
    /// 95 %.
    pub const USUAL: Self = Self(0.95);

    /// From a fraction between 0.5 and 1, both excluded.
    pub fn new(level: f64) -> Result<Self, StatsError> {
        if level > 0.5 && level < 1.0 {
            return Ok(Self(level));
        }
        Err(StatsError::OutOfRange {
            name: "confidence",
            range: "above 0.5 and below 1",
            value: level,
        })
    }

    pub fn level(self) -> f64 {
        self.0
    }

    /// α/2: what a one-sided p-value has to be below.
    pub fn tail(self) -> f64 {
        (1.0 - self.0) / 2.0
    }

    /// z_{α/2}, such as 1.96.
    pub fn z(self) -> f64 {
        -normal::quantile(self.tail())
    }
}

/// A confidence interval, its ends included. Both are finite, and `lower` is not above `upper`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    lower: f64,
    upper: f64,
}

impl Interval {
    pub fn new(lower: f64, upper: f64) -> Result<Self, StatsError> {
        if lower.is_finite() && upper.is_finite() && lower <= upper {
            return Ok(Self { lower, upper });
        }
        Err(StatsError::OutOfRange {
            name: "lower",
            range: "finite and not above `upper`",
            value: lower,
        })
    }

    pub fn lower(self) -> f64 {
        self.lower
    }

    pub fn upper(self) -> f64 {
        self.upper
    }

    /// That of the same difference with its two sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        // Zero is added so that no end is -0.
        Self { lower: 0.0 - self.upper, upper: 0.0 - self.lower }
    }

    /// The smallest that has both in it.
    pub(super) fn hull(self, other: Self) -> Self {
        Self { lower: self.lower.min(other.lower), upper: self.upper.max(other.upper) }
    }

    /// `radius` to each side of `centre`; as far as numbers go.
    pub(super) fn around(centre: f64, radius: f64) -> Self {
        let radius = radius.abs().min(f64::MAX / 4.0);
        Self { lower: centre - radius, upper: centre + radius }
    }

    /// Of two numbers in either order.
    pub(super) fn between(one: f64, other: f64) -> Self {
        Self { lower: one.min(other), upper: one.max(other) }
    }
}
