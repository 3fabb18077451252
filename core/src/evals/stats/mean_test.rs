use super::sums::{check_scores, covariance, mean};
use super::{Confidence, Interval, StatsError, student};

/// Student's t test of whether a mean difference is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanTest {
    pub mean: f64,
    pub standard_error: f64,
    pub degrees: u64,
}

impl MeanTest {
    /// The paired t test: s/√n, and n−1 degrees of freedom. Takes at least two differences.
    pub fn paired(differences: &[f64]) -> Result<Self, StatsError> {
        if differences.len() < 2 {
            return Err(StatsError::TooFew { needed: 2, found: differences.len() });
        }
        check_scores(differences)?;
        // Sorted, so that their order does not show in the last digit.
        let mut sorted = differences.to_vec();
        sorted.sort_by(f64::total_cmp);
        let varies = sorted.first() != sorted.last();
        let variance = if varies { covariance(&sorted, &sorted) } else { 0.0 };
        Ok(Self {
            mean: mean(&sorted),
            standard_error: (variance / sorted.len() as f64).sqrt(),
            degrees: sorted.len() as u64 - 1,
        })
    }

    pub fn interval(&self, confidence: Confidence) -> Interval {
        let t = student::quantile(1.0 - confidence.tail(), self.degrees);
        Interval::around(self.mean, t * self.standard_error)
    }

    /// One-sided: small where the mean is below 0 by more than chance explains.
    pub fn p_worse(&self) -> f64 {
        if self.standard_error > 0.0 {
            return student::cdf(self.mean / self.standard_error, self.degrees);
        }
        certain(self.mean)
    }
}

/// The one-sided p-value where nothing varies.
pub(super) fn certain(difference: f64) -> f64 {
    if difference == 0.0 { 0.5 } else { f64::from(u8::from(difference > 0.0)) }
}
