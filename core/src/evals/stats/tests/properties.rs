//! What holds for whatever is measured.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::evals::stats::power::{Design, detectable_difference, pairs_needed};
use crate::evals::stats::{
    Clusters, Comparison, Confidence, ConfusionMatrix, Criteria, Evidence, Example, Interval,
    Margin, Outcome, PairTable, Pairs, Resampling, Verdict, bootstrap, cluster_bootstrap, compare,
    corrected_score, holm, verdict,
};

fn criteria(loss: f64) -> Criteria {
    let resampling = Resampling::new(1_000, 7).unwrap();
    Criteria { confidence: Confidence::USUAL, margin: Margin::new(loss).unwrap(), resampling }
}

fn compared(examples: &[Example], loss: f64) -> Option<Comparison> {
    compare(&Pairs::new(examples).ok()?, &criteria(loss)).ok()
}

fn swapped(examples: &[Example]) -> Vec<Example> {
    let swap = |example: &Example| Example {
        baseline: example.candidate.clone(),
        candidate: example.baseline.clone(),
        cluster: example.cluster,
    };
    examples.iter().map(swap).collect()
}

fn pass_or_fail() -> impl Strategy<Value = Outcome> {
    prop_oneof![6 => Just(Outcome::Pass), 4 => Just(Outcome::Fail), 1 => Just(Outcome::Unmeasured)]
}

/// Many of them alike, some huge, some next to nothing.
fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_u8..=4).prop_map(f64::from),
        4 => -1.0..1.0,
        1 => prop::num::f64::NORMAL.prop_map(|value| value % 1e99),
        1 => prop::num::f64::SUBNORMAL,
        1 => Just(-0.0),
    ]
}

fn examples() -> impl Strategy<Value = Vec<Example>> {
    let outcome = prop_oneof![
        pass_or_fail().boxed().prop_map(|outcome| vec![outcome]).boxed(),
        vec(pass_or_fail(), 1..4).boxed()
    ];
    let passes = vec((outcome.clone(), outcome, any::<bool>()), 1..60).boxed();
    let measured =
        prop_oneof![9 => score().prop_map(Outcome::Score), 1 => Just(Outcome::Unmeasured)];
    let side = vec(measured, 1..3).boxed();
    let scores = vec((side.clone(), side, any::<bool>()), 1..60).boxed();
    (prop_oneof![passes, scores], any::<bool>(), 1_u64..20).prop_map(
        |(rows, clustered, clusters)| {
            let example =
                |(place, (baseline, candidate, _)): (usize, (Vec<Outcome>, Vec<Outcome>, bool))| {
                    Example {
                        baseline,
                        candidate,
                        cluster: clustered.then_some(place as u64 % clusters),
                    }
                };
            rows.into_iter().enumerate().map(example).collect()
        },
    )
}

fn is_sound(comparison: &Comparison) -> bool {
    let Comparison { baseline, candidate, difference, interval, p_worse, .. } = comparison;
    [*baseline, *candidate, *difference, interval.lower(), interval.upper()]
        .into_iter()
        .all(f64::is_finite)
        && (0.0..=1.0).contains(p_worse)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_comparison_is_without_numbers(examples in examples(), loss in 0.0..0.2) {
        if let Some(found) = compared(&examples, loss) {
            prop_assert!(is_sound(&found), "{found:?}");
            prop_assert!(!found.verdict.passes() || found.coverage.suffices());
        }
    }

    #[test]
    fn exchanging_the_sides_turns_the_verdict(examples in examples()) {
        let Some(found) = compared(&examples, 0.0) else { return Ok(()) };
        let Some(other) = compared(&swapped(&examples), 0.0) else { return Ok(()) };
        let close = |one: f64, other: f64| {
            let scale = found.interval.upper() - found.interval.lower();
            (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(scale)
        };
        prop_assert!(close(found.difference, -other.difference), "{found:?} {other:?}");
        prop_assert!((found.p_worse - (1.0 - other.p_worse)).abs() < 0.1, "{found:?} {other:?}");
        if found.verdict == Verdict::Regressed && other.coverage.suffices() {
            prop_assert_eq!(other.verdict, Verdict::Improved);
        }
        if found.verdict == Verdict::Improved {
            prop_assert_eq!(other.verdict, Verdict::Regressed);
        }
    }

    #[test]
    fn the_order_of_examples_does_not_matter(examples in examples(), turn in any::<prop::sample::Index>()) {
        let mut turned = examples.clone();
        turned.rotate_left(turn.index(examples.len()));
        turned.reverse();
        let (found, other) = (compared(&examples, 0.01), compared(&turned, 0.01));
        prop_assert_eq!(found.is_some(), other.is_some());
        let Some((found, other)) = found.zip(other) else { return Ok(()) };
        prop_assert_eq!(found.interval, other.interval);
        prop_assert_eq!(found.verdict, other.verdict);
        prop_assert!((found.p_worse - other.p_worse).abs() < 1e-12);
    }

    #[test]
    fn exchanging_the_sides_mirrors_a_bootstrap(differences in vec(score(), 2..40)) {
        let resampling = Resampling::new(1_000, 3).unwrap();
        let found = bootstrap(&differences, Confidence::USUAL, resampling).unwrap();
        let turned: Vec<f64> = differences.iter().map(|difference| -difference).collect();
        let other = bootstrap(&turned, Confidence::USUAL, resampling).unwrap();
        let sorted = |values: &[f64]| {
            let mut sorted: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
            sorted.sort_by(f64::total_cmp);
            sorted
        };
        let symmetric = sorted(&differences) == sorted(&turned);
        prop_assert!(symmetric || found.interval == other.interval.mirrored(), "{:?} {:?}", found, other);
    }

    #[test]
    fn clusters_do_not_depend_on_their_names(rows in vec((score(), 0_u64..8), 2..40)) {
        let (differences, labels): (Vec<f64>, Vec<u64>) = rows.into_iter().unzip();
        let Ok(clusters) = Clusters::new(&differences, &labels) else { return Ok(()) };
        let renamed: Vec<String> = labels.iter().map(|label| format!("{}", 7 - label)).collect();
        prop_assert_eq!(&clusters, &Clusters::new(&differences, &renamed).unwrap());
        let resampling = Resampling::new(1_000, 3).unwrap();
        let found = cluster_bootstrap(&clusters, Confidence::USUAL, resampling);
        prop_assert!(found.interval.lower().is_finite() && found.standard_error.is_finite());
        prop_assert!((0.0..=1.0).contains(&found.p_worse));
    }

    #[test]
    fn a_table_is_sound_and_monotonic(baseline in 0_u64..300, candidate in 0_u64..300, same in 1_u64..2000) {
        let table = PairTable { only_baseline: baseline, only_candidate: candidate, both_pass: same, both_fail: 0 };
        let difference = table.difference().unwrap();
        let interval = table.interval(Confidence::USUAL).unwrap();
        prop_assert!(-1.0 <= interval.lower() && interval.upper() <= 1.0);
        prop_assert!(interval.lower() < difference && difference < interval.upper());
        // A surer interval is wider.
        let surer = table.interval(Confidence::new(0.99).unwrap()).unwrap();
        prop_assert!(surer.lower() < interval.lower() && interval.upper() < surer.upper());
        // One more loss in place of an agreement makes it worse, in every respect.
        let worse = PairTable { only_baseline: baseline + 1, both_pass: same - 1, ..table };
        let lowered = worse.interval(Confidence::USUAL).unwrap();
        prop_assert!(lowered.lower() < interval.lower() && lowered.upper() < interval.upper());
        prop_assert!(worse.mcnemar().worse <= table.mcnemar().worse);
        let tests = table.mcnemar();
        prop_assert!(0.0 < tests.mid_p && tests.mid_p <= tests.exact && tests.exact <= 1.0);
    }

    #[test]
    fn a_better_interval_makes_no_worse_verdict(
        lower in -1.0..1.0,
        width in 0.0..1.0,
        shift in 0.0..1.0,
        loss in 0.0..0.5,
    ) {
        let rank = |lower: f64| {
            let interval = Interval::new(lower, lower + width).unwrap();
            let evidence = Evidence {
                difference: lower + width / 2.0,
                interval,
                confidence: Confidence::USUAL,
                p_worse: if interval.upper() < 0.0 { 0.0 } else if lower > 0.0 { 1.0 } else { 0.5 },
                examples: 50,
                complete: true,
                enough: true,
            };
            match verdict(&evidence, Margin::new(loss).unwrap()) {
                Verdict::Regressed => 0,
                Verdict::Inconclusive(_) => 1,
                Verdict::NoWorse => 2,
                Verdict::Improved => 3,
            }
        };
        prop_assert!(rank(lower) <= rank(lower + shift));
    }

    #[test]
    fn smaller_differences_need_more_pairs(
        discordant in 0.01..1.0_f64,
        share in 0.01..0.9_f64,
        power in 0.5..0.99_f64,
    ) {
        let design = Design::new(Confidence::USUAL, power).unwrap();
        let difference = discordant * share;
        let pairs = pairs_needed(discordant, difference, design).unwrap();
        prop_assert!(pairs_needed(discordant, difference / 2.0, design).unwrap() > pairs);
        prop_assert_eq!(pairs_needed(discordant, -difference, design).unwrap(), pairs);
        let detectable = detectable_difference(discordant, pairs, design).unwrap().unwrap();
        prop_assert!(detectable <= difference * (1.0 + 1e-9));
    }

    #[test]
    fn holm_lowers_no_p_value_and_keeps_their_order(p_values in vec(0.0..=1.0_f64, 1..30)) {
        let corrected = holm(&p_values).unwrap();
        for (place, (before, after)) in p_values.iter().zip(&corrected).enumerate() {
            prop_assert!(before <= after && *after <= 1.0);
            for (other, other_after) in p_values.iter().zip(&corrected).skip(place) {
                prop_assert!(before.total_cmp(other).is_gt() || after <= other_after);
            }
        }
    }

    #[test]
    fn what_is_said_of_judges_is_sound(
        labels in vec((0_usize..3, 0_usize..3), 1..50),
        scores in vec((score(), score()), 3..50),
        others in vec(score(), 0..50),
    ) {
        let (human, judge): (Vec<usize>, Vec<usize>) = labels.into_iter().unzip();
        let matrix = ConfusionMatrix::new(&human, &judge, 3).unwrap();
        let found = matrix.agreement();
        prop_assert!(found.kappa.is_none_or(|kappa| (-1.0..=1.0 + 1e-12).contains(&kappa)));
        prop_assert_eq!(found.kappa.is_some(), matrix.kappa_interval(Confidence::USUAL).is_some());
        prop_assert!(found.base_rate >= 1.0 / 3.0 - 1e-12 && found.observed <= 1.0 + 1e-12);
        let (human, judged): (Vec<f64>, Vec<f64>) = scores.into_iter().unzip();
        let found = corrected_score(&human, &judged, &others, Confidence::USUAL).unwrap();
        prop_assert!(found.mean.is_finite() && found.standard_error.is_finite(), "{:?}", found);
        prop_assert!(found.interval.lower() <= found.mean && found.mean <= found.interval.upper());
    }
}
