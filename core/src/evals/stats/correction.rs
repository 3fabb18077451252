use serde::Serialize;

use super::sums::{check_scores, covariance, mean};
use super::{Confidence, Interval, StatsError, student};

/// A mean score in a human's terms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CorrectedScore {
    pub mean: f64,
    pub standard_error: f64,
    /// Student's t with n−1 degrees of freedom at n human labels: with few of them the normal distribution
    /// promises too much.
    pub interval: Interval,
    /// Between human and judge, where both labelled; `None` where one of the two always said the same.
    pub correlation: Option<f64>,
    pub method: CorrectionMethod,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionMethod {
    /// The judge's scores count with this weight.
    PredictionPowered { weight: f64 },
    /// The judge agrees too little with the human to help, or has judged nothing else.
    HumanLabelsAlone,
}

/// The mean score that humans would have given, from a judge's scores of many examples and a human's of a few:
/// PPI++ (Angelopoulos, Duchi and Zrnic, arXiv 2311.01453).
///
/// With `human` Y and `judged` f of the same n examples, and `unlabelled` f_U, the judge's scores of N others:
/// θ = λ·mean(f_U) + mean(Y − λf), λ = Cov(Y, f)/((1 + n/N) Var f),
/// SE² = Var(Y − λf)/n + λ² Var(f_U)/N. Var f in λ is that of all the judge's scores.
///
/// Only if |correlation| > 1/√(n−2): below it the estimate of λ costs more than the judge's scores bring.
/// At least three human labels are needed, of examples drawn at random.
pub fn corrected_score(
    human: &[f64],
    judged: &[f64],
    unlabelled: &[f64],
    confidence: Confidence,
) -> Result<CorrectedScore, StatsError> {
    if human.len() != judged.len() {
        return Err(StatsError::Lengths { left: human.len(), right: judged.len() });
    }
    if human.len() < 3 {
        return Err(StatsError::TooFew { needed: 3, found: human.len() });
    }
    for scores in [human, judged, unlabelled] {
        check_scores(scores)?;
    }
    let labels = human.len() as f64;
    let others = unlabelled.len() as f64;
    let correlation = correlation(human, judged);
    let helps =
        correlation.is_some_and(|correlation| correlation.abs() > 1.0 / (labels - 2.0).sqrt());
    let all = [judged, unlabelled].concat();
    let weight = if helps && !unlabelled.is_empty() {
        covariance(human, judged) / ((1.0 + labels / others) * covariance(&all, &all))
    } else {
        0.0
    };
    let residuals: Vec<f64> =
        human.iter().zip(judged).map(|(label, score)| label - weight * score).collect();
    let of_residuals = covariance(&residuals, &residuals) / labels;
    let of_others = weight * weight * covariance(unlabelled, unlabelled) / others.max(1.0);
    let standard_error = (of_residuals + of_others).sqrt();
    let mean = weight * mean(unlabelled) + mean(&residuals);
    let t = student::quantile(1.0 - confidence.tail(), human.len() as u64 - 1);
    Ok(CorrectedScore {
        mean,
        standard_error,
        interval: Interval::around(mean, t * standard_error),
        correlation,
        method: if weight == 0.0 {
            CorrectionMethod::HumanLabelsAlone
        } else {
            CorrectionMethod::PredictionPowered { weight }
        },
    })
}

/// Pearson's.
fn correlation(left: &[f64], right: &[f64]) -> Option<f64> {
    let deviations = covariance(left, left).sqrt() * covariance(right, right).sqrt();
    (deviations > 0.0).then(|| (covariance(left, right) / deviations).clamp(-1.0, 1.0))
}
