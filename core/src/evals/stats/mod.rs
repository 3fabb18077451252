//! The statistics of evals: from the results of two runs to a verdict.
//!
//! Everything here is a function of its arguments; resampling takes its seed. A difference is always candidate less
//! baseline, of the same examples, and more is better. Fractions are from 0 to 1, never per cent.
//!
//! - [`Pairs`]: results of the same examples, [`compare`] and its [`Verdict`]; [`hold_back_regressions`] where
//!   many comparisons are made.
//! - What it stands on: [`PairTable`] for passes and failures, [`bootstrap()`] for scores, [`Clusters`] for
//!   examples that are alike.
//! - [`power`]: how many examples it takes.
//! - [`ConfusionMatrix`] and [`corrected_score`]: how good a judge is, and what humans would have said.
//!
//! Every formula names its source, and is held against SciPy and statsmodels (`tests/oracle`).

mod agreement;
mod bca;
mod binomial;
mod bootstrap;
mod clusters;
mod compare;
mod confidence;
mod correction;
mod error;
mod examples;
mod holm;
mod mean_test;
pub mod normal;
mod pass_fail;
pub mod power;
pub mod student;
mod sums;
mod verdict;

#[cfg(test)]
mod tests;

pub use agreement::{Agreement, ConfusionMatrix};
pub use bca::BootstrapMethod;
pub use bootstrap::{Bootstrap, Resampling, bootstrap, cluster_bootstrap};
pub use clusters::{ClusteredMean, Clusters, FEW_CLUSTERS};
pub use compare::{
    Comparison, Criteria, FEW_EXAMPLES, MIN_UNITS, Method, Warning, compare, hold_back_regressions,
};
pub use confidence::{Confidence, Interval};
pub use correction::{CorrectedScore, CorrectionMethod, corrected_score};
pub use error::StatsError;
pub use examples::{Coverage, Example, MAX_UNMEASURED, Outcome, PairCoverage, Pairs};
pub use holm::holm;
pub use mean_test::MeanTest;
pub use pass_fail::{McNemar, PairTable};
pub use sums::MAX_SCORE;
pub use verdict::{Evidence, Margin, Reason, Verdict, verdict};
