//! What follows from which interval, and what is said of bad input.

use crate::evals::stats::power::{
    Design, detectable_difference, detectable_score_difference, examples_needed, pairs_needed,
};
use crate::evals::stats::{
    BootstrapMethod, Clusters, Comparison, Confidence, ConfusionMatrix, CorrectionMethod, Coverage,
    Criteria, Evidence, Example, Interval, Margin, MeanTest, Method, Outcome, PairCoverage, Pairs,
    Reason, Resampling, StatsError, Verdict, Warning, bootstrap, compare, corrected_score,
    hold_back_regressions, holm, verdict,
};

fn evidence(lower: f64, upper: f64) -> Evidence {
    Evidence {
        difference: f64::midpoint(lower, upper),
        interval: Interval::new(lower, upper).unwrap(),
        confidence: Confidence::USUAL,
        p_worse: if upper < 0.0 {
            0.001
        } else if lower > 0.0 {
            0.999
        } else {
            0.5
        },
        examples: 100,
        complete: true,
        enough: true,
    }
}

fn margin(loss: f64) -> Margin {
    Margin::new(loss).unwrap()
}

fn too_wide(examples_needed: u64) -> Verdict {
    Verdict::Inconclusive(Reason::TooWide { examples_needed: Some(examples_needed) })
}

#[test]
fn the_verdict_follows_from_the_interval_and_the_margin() {
    let never = Verdict::Inconclusive(Reason::TooWide { examples_needed: None });
    let cases = [
        ((0.01, 0.05), 0.0, Verdict::Improved),
        ((0.01, 0.05), 0.02, Verdict::Improved),
        ((0.0, 0.05), 0.0, Verdict::NoWorse),
        ((0.0, 0.0), 0.0, Verdict::NoWorse),
        ((-0.01, 0.05), 0.02, Verdict::NoWorse),
        ((-0.02, 0.05), 0.02, Verdict::NoWorse),
        // Certainly worse, but by less than matters.
        ((-0.019, -0.001), 0.02, Verdict::NoWorse),
        ((-0.05, -0.01), 0.0, Verdict::Regressed),
        ((-0.05, -0.01), 0.02, Verdict::Regressed),
        ((-0.05, 0.0), 0.0, too_wide(210)),
        ((-0.1, 0.1), 0.0, never),
        // 2.04 times the examples for 80 % power, and 25 times for a fifth of the width.
        ((-0.1, 0.1), 0.02, too_wide(5_200)),
    ];
    for ((lower, upper), loss, expected) in cases {
        let found = verdict(&evidence(lower, upper), margin(loss));
        assert_eq!(found, expected, "[{lower}, {upper}], margin {loss}");
        assert_eq!(found.passes(), matches!(expected, Verdict::Improved | Verdict::NoWorse));
    }
}

#[test]
fn what_the_test_does_not_find_the_interval_does_not_decide() {
    let improved = Evidence { p_worse: 0.97, ..evidence(0.001, 0.09) };
    assert_eq!(verdict(&improved, margin(0.0)), Verdict::NoWorse);
    let at_zero = Evidence { p_worse: 0.999, ..evidence(0.0, 0.09) };
    assert_eq!(verdict(&at_zero, margin(0.0)), Verdict::NoWorse);
    let regressed = Evidence { p_worse: 0.03, ..evidence(-0.09, -0.001) };
    assert_eq!(verdict(&regressed, margin(0.0)), too_wide(200));
}

#[test]
fn too_much_unmeasured_lets_nothing_pass_and_hides_no_regression() {
    let incomplete = |lower, upper| Evidence { complete: false, ..evidence(lower, upper) };
    let unmeasured = Verdict::Inconclusive(Reason::Unmeasured);
    assert_eq!(verdict(&incomplete(0.01, 0.05), margin(0.0)), unmeasured);
    assert_eq!(verdict(&incomplete(-0.01, 0.05), margin(0.02)), unmeasured);
    assert_eq!(verdict(&incomplete(-0.05, -0.01), margin(0.0)), Verdict::Regressed);
    assert!(!unmeasured.passes());
}

#[test]
fn two_per_cent_may_be_unmeasured() {
    assert!(Coverage { submitted: 100, unmeasured: 2 }.suffices());
    assert!(!Coverage { submitted: 100, unmeasured: 3 }.suffices());
    assert!(!Coverage::default().suffices());
    let all = Coverage { submitted: 100, unmeasured: 0 };
    let some = Coverage { submitted: 100, unmeasured: 3 };
    let suffices =
        |baseline, candidate, pairs| PairCoverage { baseline, candidate, pairs }.suffices();
    assert!(suffices(all, all, all));
    assert!(!suffices(some, all, all) && !suffices(all, some, all) && !suffices(all, all, some));
}

fn example(baseline: Outcome, candidate: Outcome) -> Example {
    Example { baseline: vec![baseline], candidate: vec![candidate], cluster: None }
}

/// `only_baseline` and `only_candidate` of 200 examples, all others pass on both sides.
fn passes(only_baseline: usize, only_candidate: usize) -> Vec<Example> {
    let mut examples = vec![example(Outcome::Pass, Outcome::Fail); only_baseline];
    examples.resize(only_baseline + only_candidate, example(Outcome::Fail, Outcome::Pass));
    examples.resize(200, example(Outcome::Pass, Outcome::Pass));
    examples
}

fn criteria(loss: f64) -> Criteria {
    Criteria {
        confidence: Confidence::USUAL,
        margin: margin(loss),
        resampling: Resampling::usual(1),
    }
}

fn compared(examples: &[Example], loss: f64) -> Comparison {
    compare(&Pairs::new(examples).unwrap(), &criteria(loss)).unwrap()
}

#[test]
fn passes_and_failures_are_compared() {
    let found = compared(&passes(30, 5), 0.0);
    assert_eq!(found.verdict, Verdict::Regressed);
    assert!((found.difference + 0.125).abs() < 1e-12);
    assert!((found.baseline - 0.975).abs() < 1e-12 && (found.candidate - 0.85).abs() < 1e-12);
    assert_eq!((found.examples, found.warnings.as_slice()), (200, [].as_slice()));
    assert_eq!(compared(&passes(5, 30), 0.0).verdict, Verdict::Improved);
    assert_eq!(compared(&passes(0, 0), 0.02).verdict, Verdict::NoWorse);
    assert!(!compared(&passes(0, 0), 0.01).verdict.passes());
    // Four against none: the interval alone would say worse, with an exact p of 0.125.
    let few = compared(&passes(4, 0), 0.0);
    assert!(few.interval.upper() < 0.0);
    assert!(matches!(few.verdict, Verdict::Inconclusive(Reason::TooWide { .. })));
}

#[test]
fn unmeasured_results_are_left_out_and_counted() {
    let mut examples = passes(5, 30);
    for example in examples.iter_mut().rev().take(4) {
        example.candidate = vec![Outcome::Unmeasured];
    }
    let found = compared(&examples, 0.0);
    assert_eq!((found.examples, found.verdict), (196, Verdict::Improved));
    assert_eq!(found.warnings, [Warning::Unmeasured]);
    assert_eq!(found.coverage.candidate, Coverage { submitted: 200, unmeasured: 4 });
    examples[0].candidate = vec![Outcome::Unmeasured];
    assert_eq!(compared(&examples, 0.0).verdict, Verdict::Inconclusive(Reason::Unmeasured));
    let none = [example(Outcome::Pass, Outcome::Unmeasured)];
    assert_eq!(Pairs::new(&none), Err(StatsError::TooFew { needed: 1, found: 0 }));
}

#[test]
fn repeats_are_averaged_and_count_as_scores() {
    let repeated = |passes: usize| {
        let mut outcomes = vec![Outcome::Pass; passes];
        outcomes.resize(4, Outcome::Fail);
        outcomes
    };
    let examples: Vec<Example> = (0..60)
        .map(|place| Example {
            baseline: repeated(3 - place % 2),
            candidate: repeated(place % 4),
            cluster: None,
        })
        .collect();
    let found = compared(&examples, 0.0);
    assert_eq!(found.method, Method::Bootstrap(BootstrapMethod::Bca));
    assert!((found.difference - (0.375 - 0.625)).abs() < 1e-12);
    assert_eq!(found.verdict, Verdict::Regressed);
}

fn scores(differences: &[f64]) -> Vec<Example> {
    differences
        .iter()
        .map(|difference| example(Outcome::Score(0.5), Outcome::Score(0.5 + difference)))
        .collect()
}

#[test]
fn scores_that_do_not_vary_are_said_not_to() {
    let found = compared(&scores(&[0.25; 40]), 0.0);
    assert_eq!(found.method, Method::Bootstrap(BootstrapMethod::NoVariation));
    assert_eq!(found.warnings, [Warning::NoVariation]);
    assert_eq!((found.interval.lower(), found.interval.upper()), (0.25, 0.25));
    assert_eq!(found.verdict, Verdict::Improved);
    assert_eq!(compared(&scores(&[0.0; 40]), 0.0).verdict, Verdict::NoWorse);
    assert_eq!(compared(&scores(&[-0.25; 40]), 0.0).verdict, Verdict::Regressed);
}

#[test]
fn the_p_value_of_a_bootstrap_is_that_of_its_interval() {
    // Skewed, and below 0 by about one and a half standard errors.
    let differences: Vec<f64> =
        (1..=25).map(|place| f64::from(place * place) / 100.0 - 2.9).collect();
    let resampling = Resampling::new(100_000, 5).unwrap();
    let found = bootstrap(&differences, Confidence::USUAL, resampling).unwrap();
    assert!(found.p_worse > 0.01 && found.p_worse < 0.25, "{found:?}");
    let level = Confidence::new(1.0 - 2.0 * found.p_worse).unwrap();
    let at_its_end = bootstrap(&differences, level, resampling).unwrap().interval;
    assert!(at_its_end.upper().abs() < 0.005 * found.standard_error, "{at_its_end:?}");
    // Of that and the t test's the more doubtful counts.
    let comparison = compared(&scores(&differences), 0.0);
    let test = MeanTest::paired(&differences).unwrap();
    assert!(
        (comparison.p_worse - test.p_worse()).abs() < 1e-9 || comparison.p_worse > test.p_worse()
    );
}

#[test]
fn as_many_are_drawn_as_there_are() {
    let found = bootstrap(&[0.0, 1.0, 5.0], Confidence::USUAL, Resampling::usual(1)).unwrap();
    // The root of 14/3, which is their variance, over 3.
    assert!((found.standard_error / (14.0_f64 / 9.0).sqrt() - 1.0).abs() < 0.03);
}

#[test]
fn a_few_scores_decide_nothing() {
    let found = compared(&scores(&[0.5, 0.4, 0.6, 0.5, 0.5]), 0.0);
    assert_eq!(found.verdict, Verdict::Inconclusive(Reason::TooFew));
    assert_eq!(found.warnings, [Warning::FewExamples]);
}

#[test]
fn clusters_make_an_interval_wider() {
    let labelled = |only_baseline, only_candidate| {
        let mut examples = passes(only_baseline, only_candidate);
        for (place, example) in examples.iter_mut().enumerate() {
            example.cluster = Some(place as u64 / 10);
        }
        examples
    };
    let alone = compared(&passes(30, 5), 0.0);
    let found = compared(&labelled(30, 5), 0.0);
    assert!(matches!(found.method, Method::Clustered { clusters: 20, .. }));
    assert_eq!(found.warnings, [Warning::FewClusters]);
    let width = |comparison: &Comparison| comparison.interval.upper() - comparison.interval.lower();
    assert!(width(&found) > 1.5 * width(&alone));
    // Where all pass, twenty clusters promise no more than twenty examples.
    let found = compared(&labelled(0, 0), 0.1);
    assert!(found.interval.lower() < -0.1 && found.warnings.contains(&Warning::NoVariation));
    // Five of them decide nothing.
    let mut five = passes(0, 60);
    for (place, example) in five.iter_mut().enumerate() {
        example.cluster = Some(place as u64 % 5);
    }
    assert_eq!(compared(&five, 0.0).verdict, Verdict::Inconclusive(Reason::TooFew));
    // A cluster for each example is none.
    let mut single = passes(30, 5);
    for (place, example) in single.iter_mut().enumerate() {
        example.cluster = Some(place as u64);
    }
    assert_eq!(Pairs::new(&single), Pairs::new(&passes(30, 5)));
    let mut partly = labelled(30, 5);
    partly[7].cluster = None;
    assert_eq!(Pairs::new(&partly), Err(StatsError::ClusterMissing));
    let mut one = labelled(30, 5);
    for example in &mut one {
        example.cluster = Some(1);
    }
    assert_eq!(Pairs::new(&one), Err(StatsError::OneCluster));
}

#[test]
fn one_regression_of_many_comparisons_may_be_chance() {
    let weak = compared(&passes(14, 4), 0.0);
    assert_eq!(weak.verdict, Verdict::Regressed);
    let strong = compared(&passes(40, 4), 0.0);
    let better = compared(&passes(4, 14), 0.0);
    assert_eq!(better.verdict, Verdict::Improved);
    let mut alone = [weak.clone()];
    hold_back_regressions(&mut alone).unwrap();
    assert_eq!(alone[0], weak);
    // Not at α either: it is one-sided.
    let even = compared(&passes(5, 5), 0.0);
    let mut four = [weak.clone(), strong.clone(), even.clone(), even];
    let p_values = hold_back_regressions(&mut four).unwrap();
    assert!(p_values[0] > 0.025 && p_values[0] < 0.05);
    assert!(!four[0].verdict.passes() && four[0].verdict != Verdict::Regressed);
    let mut family = vec![weak.clone(), strong.clone(), better.clone()];
    family.resize(10, compared(&passes(5, 5), 0.0));
    let p_values = hold_back_regressions(&mut family).unwrap();
    assert_eq!(family[0].verdict, Verdict::Inconclusive(Reason::OneOfMany));
    assert_eq!(family[1..3], [strong, better]);
    assert!(p_values[0] >= 0.025 && p_values[1] < 0.025);
}

#[test]
fn a_judge_is_held_against_one_who_always_says_the_same() {
    // 95 of 100 pass; the judge passes everything.
    let human: Vec<bool> = (0..100).map(|place| place < 95).collect();
    let matrix = ConfusionMatrix::of_passes(&human, &[true; 100]).unwrap();
    let found = matrix.agreement();
    assert_eq!(matrix.rows(), [[0, 5], [0, 95]]);
    assert_eq!((found.commonest, found.examples), (1, 100));
    assert!((found.observed - 0.95).abs() < 1e-12 && (found.base_rate - 0.95).abs() < 1e-12);
    assert!(found.kappa.unwrap().abs() < 1e-12);
    let all = ConfusionMatrix::of_passes(&[true; 9], &[true; 9]).unwrap();
    assert_eq!((all.agreement().kappa, all.kappa_interval(Confidence::USUAL)), (None, None));
}

#[test]
fn a_judge_that_does_not_agree_is_left_aside() {
    let human: Vec<f64> = (0..40).map(|place| f64::from(place % 2)).collect();
    let other: Vec<f64> = (0..40).map(|place| f64::from(place / 2 % 2)).collect();
    let many: Vec<f64> = other.repeat(10);
    let found = corrected_score(&human, &other, &many, Confidence::USUAL).unwrap();
    assert_eq!(found.method, CorrectionMethod::HumanLabelsAlone);
    let same = corrected_score(&human, &human, &human.repeat(10), Confidence::USUAL).unwrap();
    assert!(matches!(same.method, CorrectionMethod::PredictionPowered { .. }));
    assert!(same.standard_error < found.standard_error / 2.0);
    // Nor does it matter which way round it judges.
    let contrary: Vec<f64> = human.iter().map(|label| 1.0 - label).collect();
    let found =
        corrected_score(&human, &contrary, &contrary.repeat(10), Confidence::USUAL).unwrap();
    assert!(matches!(found.method, CorrectionMethod::PredictionPowered { weight } if weight < 0.0));
    let constant = corrected_score(&human, &[1.0; 40], &many, Confidence::USUAL).unwrap();
    assert_eq!((constant.method, constant.correlation), (CorrectionMethod::HumanLabelsAlone, None));
}

#[test]
fn bad_input_is_refused() {
    let resampling = Resampling::usual(1);
    let usual = Confidence::USUAL;
    for bad in [f64::NAN, f64::INFINITY, 2e100] {
        assert_eq!(bootstrap(&[1.0, bad], usual, resampling), Err(StatsError::NotAScore));
        assert_eq!(Clusters::new(&[1.0, bad], &[1, 2]), Err(StatsError::NotAScore));
        assert_eq!(
            corrected_score(&[0.0, 1.0, bad], &[0.0; 3], &[], usual),
            Err(StatsError::NotAScore)
        );
        assert_eq!(Pairs::new(&scores(&[0.0, bad])), Err(StatsError::NotAScore));
        assert!(Margin::new(bad).is_err() && Confidence::new(bad).is_err());
        assert!(holm(&[0.5, bad]).is_err());
        assert!(
            pairs_needed(bad, 0.1, Design::USUAL).is_err()
                && pairs_needed(0.2, bad, Design::USUAL).is_err()
        );
    }
    assert_eq!(
        bootstrap(&[1.0], usual, resampling),
        Err(StatsError::TooFew { needed: 2, found: 1 })
    );
    assert_eq!(Clusters::new(&[1.0], &[1, 2]), Err(StatsError::Lengths { left: 1, right: 2 }));
    assert_eq!(Clusters::new(&[1.0, 2.0], &[1, 1]), Err(StatsError::OneCluster));
    assert!(Clusters::new::<u64>(&[], &[]).is_err());
    assert_eq!(Pairs::new(&[]), Err(StatsError::TooFew { needed: 1, found: 0 }));
    let mixed = [example(Outcome::Pass, Outcome::Score(1.0))];
    assert_eq!(Pairs::new(&mixed), Err(StatsError::Mixed));
    assert_eq!(
        ConfusionMatrix::new(&[0, 2], &[0, 1], 2),
        Err(StatsError::UnknownLabel { label: 2, labels: 2 })
    );
    assert_eq!(
        ConfusionMatrix::new(&[0, 1], &[0, 5], 2),
        Err(StatsError::UnknownLabel { label: 5, labels: 2 })
    );
    assert!(
        ConfusionMatrix::new(&[], &[], 2).is_err() && ConfusionMatrix::new(&[0], &[], 2).is_err()
    );
    assert!(corrected_score(&[1.0; 2], &[1.0; 2], &[], usual).is_err());
    assert!(Interval::new(0.0, f64::NAN).is_err() && Interval::new(1.0, 0.0).is_err());
    assert!(Resampling::new(10, 1).is_err() && Design::new(usual, 1.0).is_err());
    let text = Confidence::new(95.0).unwrap_err().to_string();
    assert_eq!(text, "`confidence` must be above 0.5 and below 1, not 95");
}

#[test]
fn a_hundred_examples_find_big_differences_only() {
    let found = detectable_difference(0.2, 100, Design::USUAL).unwrap().unwrap();
    assert!(found > 0.12 && found < 0.13, "{found}");
    // Five discordant pairs decide nothing, whichever way they go.
    assert_eq!(detectable_difference(0.05, 100, Design::USUAL), Ok(None));
    let needed = examples_needed(0.4, 0.05, Design::USUAL).unwrap();
    let shown = detectable_score_difference(0.4, needed, Design::USUAL).unwrap();
    assert!(shown <= 0.05 && shown > 0.0499);
}
