//! Held against SciPy and statsmodels, whose answers `tests/oracle/run.sh --write` puts into `oracle.json`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::assert_close;
use crate::evals::stats::bca::Distribution;
use crate::evals::stats::bootstrap::Units;
use crate::evals::stats::power::{Design, detectable_difference, pairs_needed};
use crate::evals::stats::sums::mean;
use crate::evals::stats::{
    BootstrapMethod, Clusters, Confidence, ConfusionMatrix, CorrectionMethod, Interval, MeanTest,
    PairTable, Resampling, bootstrap, cluster_bootstrap, corrected_score, holm, normal, student,
};

#[derive(Deserialize)]
struct Oracle {
    normal: Normal,
    student: Student,
    mcnemar: Vec<(u64, u64, f64, f64)>,
    tango: Vec<(u64, u64, u64, f64, f64, f64)>,
    bca: Vec<Bca>,
    bootstrap: Vec<Whole>,
    clusters: Vec<Clustered>,
    power: Vec<(f64, f64, f64, f64, u64, f64)>,
    kappa: Vec<Kappa>,
    correction: Vec<Correction>,
    holm: Vec<(Vec<f64>, Vec<f64>)>,
}

#[derive(Deserialize)]
struct Normal {
    cdf: Vec<(f64, f64)>,
    quantile: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Student {
    cdf: Vec<(f64, u64, f64)>,
    quantile: Vec<(f64, u64, f64)>,
}

#[derive(Deserialize)]
struct Bca {
    differences: Vec<f64>,
    distribution: Vec<f64>,
    confidence: f64,
    interval: (f64, f64),
}

#[derive(Deserialize)]
struct Whole {
    differences: Vec<f64>,
    interval: (f64, f64),
    standard_error: f64,
    t_interval: (f64, f64),
    t_worse: f64,
}

#[derive(Deserialize)]
struct Clustered {
    differences: Vec<f64>,
    labels: Vec<u64>,
    mean: f64,
    independent_error: f64,
    standard_error: f64,
    robust_error: f64,
    interval: (f64, f64),
    degrees: u64,
    statsmodels: Option<(f64, f64)>,
    worse: f64,
    bootstrap: (f64, f64),
    bootstrap_error: f64,
}

#[derive(Deserialize)]
struct Kappa {
    table: Vec<Vec<usize>>,
    #[serde(rename = "kappa")]
    value: f64,
    interval: (f64, f64),
}

#[derive(Deserialize)]
struct Correction {
    human: Vec<f64>,
    judged: Vec<f64>,
    unlabelled: Vec<f64>,
    weight: f64,
    mean: f64,
    standard_error: f64,
    interval: (f64, f64),
}

static ORACLE: LazyLock<Oracle> =
    LazyLock::new(|| serde_json::from_str(include_str!("oracle.json")).unwrap());

const EXACT: f64 = 1e-9;

#[track_caller]
fn assert_ends(found: Interval, expected: (f64, f64), tolerance: f64) {
    assert_close(found.lower(), expected.0, tolerance);
    assert_close(found.upper(), expected.1, tolerance);
}

/// To nine digits, however small.
#[track_caller]
fn assert_digits(found: f64, expected: f64) {
    assert!((found - expected).abs() <= EXACT * expected.abs(), "{found:e} is not {expected:e}");
}

fn resampling() -> Resampling {
    Resampling::new(100_000, 1).unwrap()
}

#[test]
fn the_normal_distribution_is_scipys() {
    for (x, share) in &ORACLE.normal.cdf {
        assert_digits(normal::cdf(*x), *share);
    }
    for (share, x) in &ORACLE.normal.quantile {
        assert_close(normal::quantile(*share), *x, 1e-12);
    }
}

#[test]
fn students_distribution_is_scipys() {
    for (t, degrees, share) in &ORACLE.student.cdf {
        assert_close(student::cdf(*t, *degrees), *share, 1e-12);
    }
    for (share, degrees, t) in &ORACLE.student.quantile {
        assert_close(student::quantile(*share, *degrees), *t, EXACT);
    }
}

#[test]
fn mcnemars_test_is_that_of_statsmodels() {
    for (only_baseline, only_candidate, exact, mid_p) in ORACLE.mcnemar.iter().copied() {
        let found = PairTable { only_baseline, only_candidate, ..PairTable::default() }.mcnemar();
        assert_digits(found.exact, exact);
        assert_digits(found.mid_p, mid_p);
    }
}

#[test]
fn tangos_interval_is_that_of_a_maximised_likelihood() {
    for (only_baseline, only_candidate, pairs, confidence, lower, upper) in
        ORACLE.tango.iter().copied()
    {
        let both_pass = pairs - only_baseline - only_candidate;
        let table = PairTable { only_baseline, only_candidate, both_pass, both_fail: 0 };
        assert_ends(
            table.interval(Confidence::new(confidence).unwrap()).unwrap(),
            (lower, upper),
            EXACT,
        );
    }
}

#[test]
fn the_bca_interval_of_a_distribution_is_scipys() {
    for case in &ORACLE.bca {
        let estimate = mean(&case.differences);
        let units =
            Units::new(case.differences.iter().map(|difference| (difference - estimate, 1)), true);
        let distribution = Distribution {
            means: case.distribution.clone(),
            estimate,
            acceleration: units.acceleration(),
        };
        let (interval, method) = distribution.interval(Confidence::new(case.confidence).unwrap());
        assert_eq!(method, BootstrapMethod::Bca);
        assert_ends(interval, case.interval, EXACT);
    }
}

#[test]
fn whole_bootstraps_are_scipys_but_for_chance() {
    for case in &ORACLE.bootstrap {
        let found = bootstrap(&case.differences, Confidence::USUAL, resampling()).unwrap();
        assert_eq!(found.method, BootstrapMethod::Bca);
        assert_ends(found.interval, case.interval, 0.06 * case.standard_error);
        assert_close(found.standard_error / case.standard_error, 1.0, 0.02);
    }
}

#[test]
fn the_paired_t_test_is_scipys() {
    for case in &ORACLE.bootstrap {
        let found = MeanTest::paired(&case.differences).unwrap();
        assert_ends(found.interval(Confidence::USUAL), case.t_interval, EXACT);
        assert_close(found.p_worse(), case.t_worse, EXACT);
    }
}

#[test]
fn clustered_errors_are_those_of_statsmodels_and_millers() {
    for case in &ORACLE.clusters {
        let clusters = Clusters::new(&case.differences, &case.labels).unwrap();
        let found = clusters.mean();
        assert_close(found.mean, case.mean, EXACT);
        assert_close(found.independent_error, case.independent_error, EXACT);
        assert_close(found.standard_error, case.standard_error, EXACT);
        assert_close(found.robust_error, case.robust_error, EXACT);
        assert_ends(found.test().interval(Confidence::USUAL), case.interval, EXACT);
        assert_eq!(found.degrees, case.degrees);
        assert_close(found.test().p_worse(), case.worse, EXACT);
        if let Some(interval) = case.statsmodels {
            assert_ends(found.test().interval(Confidence::USUAL), interval, EXACT);
        }
        // The means of two clusters take three values only, among which a last digit decides.
        if clusters.count() > 2 {
            let found = cluster_bootstrap(&clusters, Confidence::USUAL, resampling());
            assert_ends(found.interval, case.bootstrap, 0.07 * case.bootstrap_error);
            assert_close(found.standard_error / case.bootstrap_error, 1.0, 0.02);
        }
    }
}

#[test]
fn sizes_are_the_solutions_of_the_equation() {
    for (discordant, difference, confidence, power, pairs, detectable) in
        ORACLE.power.iter().copied()
    {
        let design = Design::new(Confidence::new(confidence).unwrap(), power).unwrap();
        assert_eq!(pairs_needed(discordant, difference, design), Ok(pairs));
        let found = detectable_difference(discordant, 2 * pairs, design).unwrap().unwrap();
        assert_close(found, detectable, EXACT);
    }
}

#[test]
fn kappa_is_that_of_statsmodels() {
    for case in &ORACLE.kappa {
        let mut human = Vec::new();
        let mut judge = Vec::new();
        for (row, counts) in case.table.iter().enumerate() {
            for (column, count) in counts.iter().enumerate() {
                human.extend(std::iter::repeat_n(row, *count));
                judge.extend(std::iter::repeat_n(column, *count));
            }
        }
        let matrix = ConfusionMatrix::new(&human, &judge, case.table.len()).unwrap();
        assert_close(matrix.agreement().kappa.unwrap(), case.value, EXACT);
        assert_ends(matrix.kappa_interval(Confidence::USUAL).unwrap(), case.interval, EXACT);
    }
}

#[test]
fn corrected_scores_are_those_of_the_formula() {
    for case in &ORACLE.correction {
        let found = corrected_score(&case.human, &case.judged, &case.unlabelled, Confidence::USUAL)
            .unwrap();
        assert_close(found.mean, case.mean, EXACT);
        assert_close(found.standard_error, case.standard_error, EXACT);
        assert_ends(found.interval, case.interval, EXACT);
        match found.method {
            CorrectionMethod::PredictionPowered { weight } => {
                assert_close(weight, case.weight, EXACT);
            }
            CorrectionMethod::HumanLabelsAlone => assert_close(case.weight, 0.0, 0.0),
        }
    }
}

#[test]
fn holms_correction_is_that_of_statsmodels() {
    for (given, expected) in &ORACLE.holm {
        for (found, expected) in holm(given).unwrap().iter().zip(expected) {
            assert_close(*found, *expected, 1e-12);
        }
    }
}
