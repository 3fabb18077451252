use serde::Serialize;

use super::examples::{Differences, Kind, PairCoverage, Pairs};
use super::verdict::{Evidence, Margin, Reason, Verdict, verdict};
use super::{
    BootstrapMethod, Clusters, Confidence, FEW_CLUSTERS, Interval, McNemar, MeanTest, PairTable,
    Resampling, StatsError, bootstrap, holm,
};

/// Below so many examples, or clusters, a verdict on scores is not given.
pub const MIN_UNITS: usize = 10;

/// Below so many scores a few odd ones decide.
pub const FEW_EXAMPLES: usize = 30;

/// How sure a verdict has to be, and what counts as a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Criteria {
    pub confidence: Confidence,
    pub margin: Margin,
    /// For scores of independent examples.
    pub resampling: Resampling,
}

/// A candidate beside a baseline, by one evaluator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The mean score, or the pass rate, of the examples that were measured on both sides.
    pub baseline: f64,
    pub candidate: f64,
    /// Candidate less baseline.
    pub difference: f64,
    pub interval: Interval,
    pub confidence: Confidence,
    /// One-sided: small where the candidate is worse by more than chance explains.
    pub p_worse: f64,
    /// How many examples were measured on both sides.
    pub examples: u64,
    pub coverage: PairCoverage,
    pub method: Method,
    pub verdict: Verdict,
    pub warnings: Vec<Warning>,
}

/// Where interval and p-value come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Independent passes and failures: Tango's interval, McNemar's mid-p.
    Tango { table: PairTable, mcnemar: McNemar },
    /// Scores of independent examples: the bootstrap's interval, or as far as that of Student's t test where it
    /// reaches further; of the two p-values the one that claims less. With few examples the bootstrap claims too
    /// much: where nothing differs, BCa alone finds a difference in 7 to 12 % of comparisons of 10 to 30 scores, and
    /// the t test in 4 to 6 %.
    Bootstrap(BootstrapMethod),
    /// Examples in clusters: cluster-robust error, Student's t.
    Clustered { clusters: usize, design_effect: Option<f64> },
}

/// What to know of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Some results are missing.
    Unmeasured,
    /// Fewer than [`FEW_EXAMPLES`] scores.
    FewExamples,
    /// Fewer than [`FEW_CLUSTERS`].
    FewClusters,
    /// All differences are equal, so the interval shows no uncertainty.
    NoVariation,
    /// BCa is not defined here; the interval is of plain percentiles.
    PlainPercentiles,
}

/// Compares by the method that suits the examples.
pub fn compare(pairs: &Pairs, criteria: &Criteria) -> Result<Comparison, StatsError> {
    let Criteria { confidence, margin, resampling } = *criteria;
    let mut warnings = Vec::new();
    let coverage = pairs.coverage;
    if coverage.baseline.unmeasured + coverage.candidate.unmeasured + coverage.pairs.unmeasured > 0
    {
        warnings.push(Warning::Unmeasured);
    }
    let found = match &pairs.differences {
        Differences::PassFail(table) => of_table(table, confidence)?,
        Differences::Scores(differences) => {
            let result = bootstrap(differences, confidence, resampling)?;
            let test = MeanTest::paired(differences)?;
            warnings.extend((differences.len() < FEW_EXAMPLES).then_some(Warning::FewExamples));
            warnings.extend(match result.method {
                BootstrapMethod::Bca => None,
                BootstrapMethod::Percentile => Some(Warning::PlainPercentiles),
                BootstrapMethod::NoVariation => Some(Warning::NoVariation),
            });
            Found {
                difference: result.mean,
                interval: result.interval.hull(test.interval(confidence)),
                p_worse: more_doubtful(result.p_worse, test.p_worse()),
                method: Method::Bootstrap(result.method),
                enough: differences.len() >= MIN_UNITS,
            }
        }
        Differences::Clustered { clusters, kind } => {
            warnings.extend((clusters.count() < FEW_CLUSTERS).then_some(Warning::FewClusters));
            let found = of_clusters(clusters, *kind, confidence)?;
            let varies = clusters.mean().robust_error > 0.0;
            warnings.extend((!varies).then_some(Warning::NoVariation));
            found
        }
    };
    let evidence = Evidence {
        difference: found.difference,
        interval: found.interval,
        confidence,
        p_worse: found.p_worse,
        examples: pairs.count(),
        complete: coverage.suffices(),
        enough: found.enough,
    };
    Ok(Comparison {
        baseline: pairs.baseline_mean,
        candidate: pairs.candidate_mean,
        difference: found.difference,
        interval: found.interval,
        confidence,
        p_worse: found.p_worse,
        examples: pairs.count(),
        coverage,
        method: found.method,
        verdict: verdict(&evidence, margin),
        warnings,
    })
}

/// Holds back regressions that may be chance because so many comparisons were made: of several evaluators, or
/// of several tags of one dataset.
///
/// Corrected, by Holm's method, is the one question that many comparisons spoil: "did anything get worse?", with
/// `p_worse` of all of `family`. A regression that does not stand becomes inconclusive. Not corrected are
/// improvements, "no worse" and the intervals, each of which speaks for itself alone.
///
/// Returns the corrected p-values.
pub fn hold_back_regressions(family: &mut [Comparison]) -> Result<Vec<f64>, StatsError> {
    let p_values: Vec<f64> = family.iter().map(|comparison| comparison.p_worse).collect();
    let corrected = holm(&p_values)?;
    for (comparison, p_worse) in family.iter_mut().zip(&corrected) {
        if comparison.verdict == Verdict::Regressed && *p_worse >= comparison.confidence.tail() {
            comparison.verdict = Verdict::Inconclusive(Reason::OneOfMany);
        }
    }
    Ok(corrected)
}

struct Found {
    difference: f64,
    interval: Interval,
    p_worse: f64,
    method: Method,
    enough: bool,
}

/// Of two one-sided p-values that which is nearer to a half.
fn more_doubtful(one: f64, other: f64) -> f64 {
    if (one - 0.5).abs() < (other - 0.5).abs() { one } else { other }
}

fn of_table(table: &PairTable, confidence: Confidence) -> Result<Found, StatsError> {
    let mcnemar = table.mcnemar();
    Ok(Found {
        difference: table.difference()?,
        interval: table.interval(confidence)?,
        p_worse: mcnemar.worse,
        method: Method::Tango { table: *table, mcnemar },
        enough: true,
    })
}

fn of_clusters(
    clusters: &Clusters,
    kind: Kind,
    confidence: Confidence,
) -> Result<Found, StatsError> {
    let mean = clusters.mean();
    let count = clusters.count();
    let interval = match kind {
        // Passes and failures that do not vary are taken for so many independent examples as there are clusters.
        Kind::PassFail if mean.robust_error == 0.0 => {
            let all = count as u64;
            let (better, worse) = if mean.mean > 0.0 { (all, 0) } else { (0, all) };
            let unequal = mean.mean != 0.0;
            let table = PairTable {
                only_candidate: if unequal { better } else { 0 },
                only_baseline: if unequal { worse } else { 0 },
                both_pass: if unequal { 0 } else { all },
                both_fail: 0,
            };
            table.interval(confidence)?
        }
        Kind::PassFail | Kind::Score => mean.test().interval(confidence),
    };
    Ok(Found {
        difference: mean.mean,
        interval,
        p_worse: mean.test().p_worse(),
        method: Method::Clustered { clusters: count, design_effect: mean.design_effect() },
        enough: count >= MIN_UNITS,
    })
}
