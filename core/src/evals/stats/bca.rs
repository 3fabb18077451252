//! From resampled means to an interval.

use serde::Serialize;

use super::sums::ceiling;
use super::{Confidence, Interval, normal};

/// How the interval came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapMethod {
    /// Bias-corrected and accelerated (Efron, "Better Bootstrap Confidence Intervals", 1987).
    Bca,
    /// Plain percentiles, where the correction is not defined.
    Percentile,
    /// All differences are equal, so the interval is that value: resampling shows no uncertainty, which
    /// does not mean that there is none.
    NoVariation,
}

/// Resampled means, and what BCa needs beside them.
pub(super) struct Distribution {
    /// Sorted.
    pub(super) means: Vec<f64>,
    pub(super) estimate: f64,
    pub(super) acceleration: f64,
}

impl Distribution {
    pub(super) fn interval(&self, confidence: Confidence) -> (Interval, BootstrapMethod) {
        let tail = confidence.tail();
        let ends = self.corrected(tail).zip(self.corrected(1.0 - tail));
        let (method, (low, high)) = match ends {
            Some(ends) => (BootstrapMethod::Bca, ends),
            None => (BootstrapMethod::Percentile, (tail, 1.0 - tail)),
        };
        (Interval::between(self.percentile(low), self.percentile(high)), method)
    }

    /// The share of the distribution below which the end of an interval lies.
    fn corrected(&self, level: f64) -> Option<f64> {
        let bias = self.bias();
        let shifted = bias + normal::quantile(level);
        let denominator = 1.0 - self.acceleration * shifted;
        (bias.is_finite() && denominator > 0.0).then(|| normal::cdf(bias + shifted / denominator))
    }

    /// z₀: by how much the estimate is off the middle of the distribution.
    fn bias(&self) -> f64 {
        normal::quantile(self.share_below(self.estimate))
    }

    /// Of equal ones half.
    fn share_below(&self, value: f64) -> f64 {
        let below = self.means.partition_point(|mean| *mean < value);
        let up_to = self.means.partition_point(|mean| *mean <= value);
        f64::midpoint(below as f64, up_to as f64) / self.means.len() as f64
    }

    /// Solves for the level at which the upper end of the interval is 0.
    pub(super) fn p_worse(&self) -> f64 {
        // Not nearer to 0 or 1 than so many resamples can tell.
        let least = 0.5 / self.means.len() as f64;
        let share = self.share_below(0.0).clamp(least, 1.0 - least);
        let bias = self.bias();
        let beyond = normal::quantile(share) - bias;
        let denominator = 1.0 + self.acceleration * beyond;
        if !bias.is_finite() || denominator <= 0.0 {
            return 1.0 - share;
        }
        normal::cdf(bias - beyond / denominator)
    }

    /// Between the two nearest values, in proportion.
    fn percentile(&self, share: f64) -> f64 {
        let position = share * (self.means.len().saturating_sub(1)) as f64;
        let place = usize::try_from(ceiling(position)).unwrap_or(usize::MAX);
        let at = |place: usize| {
            self.means.get(place).or(self.means.last()).copied().unwrap_or(self.estimate)
        };
        let (below, above) = (at(place.saturating_sub(1)), at(place));
        above + (below - above) * (place as f64 - position)
    }
}
