use std::collections::BTreeSet;

use serde::Serialize;

use super::sums::{MAX_SCORE, check_scores, mean};
use super::{Clusters, PairTable, StatsError};

/// The share of unmeasured results above which nothing can be concluded in a candidate's favour.
pub const MAX_UNMEASURED: f64 = 0.02;

/// What an evaluator said about one answer. More is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Pass,
    Fail,
    Score(f64),
    /// The model or the judge failed. This never becomes a number.
    Unmeasured,
}

/// One example of a dataset, with its results under baseline and candidate: one each, or more if it was run
/// repeatedly.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub baseline: Vec<Outcome>,
    pub candidate: Vec<Outcome>,
    /// Which others it is alike; see [`Clusters`]. All examples have one, or none has.
    pub cluster: Option<u64>,
}

/// How many results were asked for, and how many of them there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    pub submitted: u64,
    pub unmeasured: u64,
}

impl Coverage {
    pub fn of(outcomes: &[Outcome]) -> Self {
        let unmeasured = outcomes.iter().filter(|outcome| **outcome == Outcome::Unmeasured).count();
        Self { submitted: outcomes.len() as u64, unmeasured: unmeasured as u64 }
    }

    fn and(self, other: Self) -> Self {
        Self {
            submitted: self.submitted + other.submitted,
            unmeasured: self.unmeasured + other.unmeasured,
        }
    }

    /// From 0 to 1; 1 where nothing was submitted.
    pub fn unmeasured_share(self) -> f64 {
        if self.submitted == 0 { 1.0 } else { self.unmeasured as f64 / self.submitted as f64 }
    }

    /// Whether a run with it can pass at all: at most [`MAX_UNMEASURED`].
    pub fn suffices(self) -> bool {
        self.unmeasured_share() <= MAX_UNMEASURED
    }
}

/// Examples that were measured on both sides, and how many were not.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    /// Candidate less baseline, as the method that suits them takes them.
    pub(super) differences: Differences,
    pub(super) baseline_mean: f64,
    pub(super) candidate_mean: f64,
    pub(super) coverage: PairCoverage,
}

/// What is missing, on either side and of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PairCoverage {
    /// In results: repeats count each.
    pub baseline: Coverage,
    pub candidate: Coverage,
    /// In examples: one is unmeasured if either side has no result of it.
    pub pairs: Coverage,
}

impl PairCoverage {
    pub fn suffices(self) -> bool {
        [self.baseline, self.candidate, self.pairs].into_iter().all(Coverage::suffices)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Differences {
    PassFail(PairTable),
    Scores(Vec<f64>),
    Clustered { clusters: Clusters, kind: Kind },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    PassFail,
    Score,
}

impl Pairs {
    /// Repeats of an example are averaged first, over those that were measured; averaged passes and failures count as
    /// scores. An example without a measured result on one of the sides is left out, and counted.
    pub fn new(examples: &[Example]) -> Result<Self, StatsError> {
        let mut baseline_coverage = Coverage::default();
        let mut candidate_coverage = Coverage::default();
        let mut kind = None;
        let mut repeated = false;
        let mut measured = Vec::new();
        for example in examples {
            baseline_coverage = baseline_coverage.and(Coverage::of(&example.baseline));
            candidate_coverage = candidate_coverage.and(Coverage::of(&example.candidate));
            let baseline = average(&example.baseline, &mut kind)?;
            let candidate = average(&example.candidate, &mut kind)?;
            if let Some((baseline, candidate)) = baseline.zip(candidate) {
                repeated |= example.baseline.len() > 1 || example.candidate.len() > 1;
                measured.push((baseline, candidate, example.cluster));
            }
        }
        if measured.is_empty() {
            return Err(StatsError::TooFew { needed: 1, found: 0 });
        }
        let pairs = Coverage {
            submitted: examples.len() as u64,
            unmeasured: (examples.len() - measured.len()) as u64,
        };
        let differences: Vec<f64> =
            measured.iter().map(|(baseline, candidate, _)| candidate - baseline).collect();
        check_scores(&differences)?;
        let clusters: Vec<u64> = measured.iter().filter_map(|(_, _, cluster)| *cluster).collect();
        let kind = if repeated { Kind::Score } else { kind.unwrap_or(Kind::Score) };
        if !clusters.is_empty() && clusters.len() < differences.len() {
            return Err(StatsError::ClusterMissing);
        }
        // Where no two examples are alike, clusters say nothing.
        let independent = clusters.iter().collect::<BTreeSet<_>>().len() == clusters.len();
        let differences = match kind {
            _ if !independent => {
                Differences::Clustered { clusters: Clusters::new(&differences, &clusters)?, kind }
            }
            Kind::PassFail => Differences::PassFail(PairTable::of(
                measured.iter().map(|(baseline, candidate, _)| (*baseline > 0.5, *candidate > 0.5)),
            )),
            Kind::Score => Differences::Scores(differences),
        };
        let (baseline, candidate): (Vec<f64>, Vec<f64>) =
            measured.iter().map(|(baseline, candidate, _)| (*baseline, *candidate)).unzip();
        Ok(Self {
            differences,
            baseline_mean: mean(&baseline),
            candidate_mean: mean(&candidate),
            coverage: PairCoverage {
                baseline: baseline_coverage,
                candidate: candidate_coverage,
                pairs,
            },
        })
    }

    /// How many examples were measured on both sides.
    pub fn count(&self) -> u64 {
        self.coverage.pairs.submitted - self.coverage.pairs.unmeasured
    }
}

/// The mean of what was measured; `None` where nothing was. All that was measured must be of one `kind`.
fn average(outcomes: &[Outcome], kind: &mut Option<Kind>) -> Result<Option<f64>, StatsError> {
    let mut measured = Vec::new();
    for outcome in outcomes {
        let (value, its_kind) = match outcome {
            Outcome::Pass => (1.0, Kind::PassFail),
            Outcome::Fail => (0.0, Kind::PassFail),
            Outcome::Score(score) => (*score, Kind::Score),
            Outcome::Unmeasured => continue,
        };
        if value.is_nan() || value.abs() > MAX_SCORE {
            return Err(StatsError::NotAScore);
        }
        if *kind.get_or_insert(its_kind) != its_kind {
            return Err(StatsError::Mixed);
        }
        measured.push(value);
    }
    Ok((!measured.is_empty()).then(|| mean(&measured)))
}
