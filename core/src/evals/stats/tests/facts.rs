//! Values from books and papers.

use super::assert_close;
use crate::evals::stats::power::{Design, pairs_needed};
use crate::evals::stats::{Confidence, PairTable};

fn table(only_baseline: u64, only_candidate: u64, pairs: u64) -> PairTable {
    PairTable {
        only_baseline,
        only_candidate,
        both_pass: pairs - only_baseline - only_candidate,
        both_fail: 0,
    }
}

#[test]
fn mcnemar_gives_the_published_values() {
    let cases = [
        ((1, 7), 0.070_312_5, 0.039_062_5),
        ((5, 15), 0.041_389_5, 0.026_603_7),
        ((2, 12), 0.012_939_5, 0.007_385_3),
        ((0, 0), 1.0, 1.0),
        ((4, 4), 1.0, 1.0),
    ];
    for ((one, other), exact, mid_p) in cases {
        for (baseline, candidate) in [(one, other), (other, one)] {
            let found = table(baseline, candidate, 100).mcnemar();
            assert_close(found.exact, exact, 5e-8);
            assert_close(found.mid_p, mid_p, 5e-8);
        }
    }
}

/// Airway reactivity of children before and after a transplant (Fagerland, Lydersen and Laake, 2014); the other is of
/// the R package PropCIs.
#[test]
fn tangos_interval_gives_the_published_values() {
    let airways = table(7, 1, 21).interval(Confidence::USUAL).unwrap();
    assert_close(airways.lower(), -0.517, 5e-4);
    assert_close(airways.upper(), -0.026, 5e-4);
    let other = table(25, 28, 618).interval(Confidence::new(0.9).unwrap()).unwrap();
    assert_close(other.lower(), -0.0148, 5e-5);
    assert_close(other.upper(), 0.0247, 5e-5);
}

/// At 20 % discordant pairs, 95 % confidence and 80 % power.
#[test]
fn sizes_are_as_published() {
    for (difference, pairs) in [(0.1, 155), (0.05, 626), (0.03, 1742)] {
        assert_eq!(pairs_needed(0.2, difference, Design::USUAL), Ok(pairs));
    }
}
