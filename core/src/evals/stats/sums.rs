//! Sums that neither lose digits nor overflow.

use super::StatsError;

/// The largest absolute value of a score. Nobody's scores come near it, and the squares of what is below
/// do not overflow.
pub const MAX_SCORE: f64 = 1e100;

pub(super) fn check_scores(scores: &[f64]) -> Result<(), StatsError> {
    if scores.iter().all(|score| score.abs() <= MAX_SCORE) {
        return Ok(());
    }
    Err(StatsError::NotAScore)
}

/// Neumaier's compensated sum.
pub(super) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + lost
}

/// 0 where there are none.
pub(super) fn mean(values: &[f64]) -> f64 {
    sum(values.iter().copied()) / (values.len().max(1) as f64)
}

/// Σ(x−x̄)(y−ȳ)/(n−1): the sample covariance; of a list with itself, the sample variance.
pub(super) fn covariance(left: &[f64], right: &[f64]) -> f64 {
    let (left_mean, right_mean) = (mean(left), mean(right));
    let products = left.iter().zip(right).map(|(x, y)| (x - left_mean) * (y - right_mean));
    sum(products) / (left.len().saturating_sub(1).max(1) as f64)
}

/// The whole number that is not below `value`, as far as there are any.
pub(super) fn ceiling(value: f64) -> u64 {
    floor(value.ceil())
}

/// The whole number that is not above `value`, as far as there are any.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast gives the nearest number that there is, and 0 for NaN"
)]
pub(super) fn floor(value: f64) -> u64 {
    value as u64
}
