//! A test of two versions that may be looked at as often as one likes.
//!
//! Given that a unit is bad, and that the versions do not differ, it is the candidate's with the
//! candidate's share, however many units are bad and through outages that hit both. So counts suffice.
//! Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.

/// How often the test may raise an alarm where there is nothing, over all looks and all metrics.
pub const ALPHA: f64 = 0.05;

/// How many times as often as the null hypothesis says the candidate may be bad; each is as likely as
/// the others before anything is known.
const RATIOS: [f64; 6] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0];

/// Units that were bad while the candidate had one share, each counted once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadUnits {
    /// The candidate's share of all units, from 0 to 1.
    pub share: f64,
    /// Those on the candidate's side.
    pub candidate: u64,
    /// Those on the side of the live version.
    pub live: u64,
}

impl BadUnits {
    /// The same with the two sides exchanged.
    fn mirrored(self) -> Self {
        Self { share: 1.0 - self.share, candidate: self.live, live: self.candidate }
    }

    /// The logarithm of how much likelier these counts are at `ratio` times the odds of the null.
    fn likelihood(self, null: f64, ratio: f64) -> f64 {
        if self.share <= 0.0 || self.share >= 1.0 {
            // Only one side gets requests, which tells nothing.
            return 0.0;
        }
        let odds = |ratio: f64| {
            let candidate = ratio * self.share;
            candidate / (candidate + 1.0 - self.share)
        };
        let (p, q) = (odds(null), odds(null * ratio));
        self.candidate as f64 * (q / p).ln() + self.live as f64 * ((1.0 - q) / (1.0 - p)).ln()
    }
}

/// How much the counts speak against "the candidate is bad at most `null` times as often as the live
/// version": 1 for not at all. It passes 1/α with probability α at most if that is true.
pub fn evidence(counts: &[BadUnits], null: f64) -> f64 {
    let likelihood = |ratio: &f64| {
        counts.iter().map(|counts| counts.likelihood(null, *ratio)).sum::<f64>().exp()
    };
    let sum: f64 = RATIOS.iter().map(likelihood).sum();
    (sum / RATIOS.len() as f64).min(f64::MAX)
}

/// How much the counts speak against "the candidate is bad at least `margin` times as often as the
/// live version". Past 1/α it is no worse than that.
pub fn evidence_of_no_worse(counts: &[BadUnits], margin: f64) -> f64 {
    let mirrored: Vec<_> = counts.iter().map(|counts| counts.mirrored()).collect();
    evidence(&mirrored, 1.0 / margin)
}

/// How many bad units raise the alarm if all of them are the candidate's.
pub fn shortest_alarm(share: f64, alpha: f64) -> u64 {
    let raises = |candidate: &u64| {
        evidence(&[BadUnits { share, candidate: *candidate, live: 0 }], 1.0) >= 1.0 / alpha
    };
    (1..MOST).find(raises).unwrap_or(MOST)
}

/// More bad units than anybody waits for.
const MOST: u64 = 20_000;

/// How many bad units it takes to notice a candidate that is bad `ratio` times as often as the live
/// version: so many that half of all such candidates are noticed, and four in five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    pub half: u64,
    pub four_in_five: u64,
}

/// None where it takes more than 20,000.
pub fn needed(share: f64, ratio: f64, alpha: f64) -> Option<Needed> {
    let bad = |candidate, live| BadUnits { share, candidate, live };
    let raises = |counts| evidence(&[counts], 1.0) >= 1.0 / alpha;
    let of_candidate = ratio * share / (ratio * share + 1.0 - share);
    // How likely it is that no alarm was raised so far and that so many of the bad units are the
    // candidate's.
    let mut quiet = vec![1.0_f64];
    let (mut half, mut alarm_at) = (None, 1);
    for units in 1..=MOST {
        let mut next = vec![0.0; quiet.len() + 1];
        for (candidate, likely) in quiet.iter().enumerate() {
            for (at, part) in [(candidate, 1.0 - of_candidate), (candidate + 1, of_candidate)] {
                if let Some(place) = next.get_mut(at) {
                    *place += likely * part;
                }
            }
        }
        while !raises(bad(alarm_at, units.saturating_sub(alarm_at))) && alarm_at <= units {
            alarm_at += 1;
        }
        next.truncate(usize::try_from(alarm_at).unwrap_or(usize::MAX));
        let noticed = 1.0 - next.iter().sum::<f64>();
        if noticed >= 0.5 {
            half.get_or_insert(units);
        }
        if let (true, Some(half)) = (noticed >= 0.8, half) {
            return Some(Needed { half, four_in_five: units });
        }
        quiet = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    fn of(share: f64, candidate: u64, all: u64) -> BadUnits {
        BadUnits { share, candidate, live: all - candidate }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-5, "{found} and not {expected}");
    }

    #[test]
    fn evidence_is_as_published() {
        close(evidence(&[of(0.1, 3, 30)], 1.0), 0.3816);
        close(evidence(&[of(0.1, 9, 30)], 1.0), 34.9583);
        close(evidence(&[of(0.1, 5, 5)], 1.0), 790.9715);
    }

    #[test]
    fn shares_without_a_second_side_tell_nothing() {
        for share in [0.0, 1.0] {
            close(evidence(&[of(share, 5, 9)], 1.0), 1.0);
        }
        close(evidence(&[], 1.0), 1.0);
        assert!(evidence(&[of(0.1, 10_000, 10_000)], 1.0).is_finite());
    }

    #[test]
    fn the_alarm_comes_soon_at_small_shares_and_late_at_large_ones() {
        assert_eq!([0.05, 0.1].map(|share| shortest_alarm(share, ALPHA)), [3; 2]);
        assert_eq!(shortest_alarm(0.8, ALPHA), 21);
    }

    #[test]
    fn it_is_known_beforehand_how_many_bad_units_it_takes() {
        for (share, ratio, half, four_in_five) in
            [(0.1, 2.0, 99, 198), (0.5, 2.0, 55, 101), (0.1, 5.0, 14, 26)]
        {
            let found = needed(share, ratio, ALPHA).unwrap();
            let near = |found: u64, expected: u64| found.abs_diff(expected) * 20 <= expected;
            let is_near = near(found.half, half) && near(found.four_in_five, four_in_five);
            assert!(is_near, "{share} {ratio}: {found:?}");
        }
    }

    /// At which bad unit the alarm is raised, if it is at one of so many looks.
    fn alarm(dice: &SeededEntropy, share: f64, ratio: f64, looks: u64) -> Option<u64> {
        let of_candidate = ratio * share / (ratio * share + 1.0 - share);
        let mut counts = of(share, 0, 0);
        (1..=looks).find(|_| {
            if ((dice.next_u64() >> 11) as f64) < of_candidate * (1_u64 << 53) as f64 {
                counts.candidate += 1;
            } else {
                counts.live += 1;
            }
            evidence(&[counts], 1.0) >= 1.0 / ALPHA
        })
    }

    #[test]
    fn equal_versions_raise_no_more_alarms_than_promised() {
        const RUNS: u32 = 500;
        let dice = SeededEntropy::new(1);
        let count = (0..RUNS).filter(|_| alarm(&dice, 0.1, 1.0, 300).is_some()).count();
        let runs = f64::from(RUNS);
        let most = runs * ALPHA + 3.0 * (runs * ALPHA * (1.0 - ALPHA)).sqrt();
        assert!((count as f64) < most, "{count} of {RUNS}");
    }

    #[test]
    fn a_candidate_that_is_worse_is_noticed_as_soon_as_promised() {
        let dice = SeededEntropy::new(2);
        for (share, ratio, four_in_five) in [(0.1, 2.0, 198), (0.5, 2.0, 101), (0.1, 5.0, 26)] {
            let within = four_in_five * 5 / 4;
            let noticed = (0..400).filter(|_| alarm(&dice, share, ratio, within).is_some()).count();
            assert!(noticed >= 320, "{share} {ratio}: {noticed} of 400 within {within}");
        }
    }

    #[test]
    fn a_version_that_is_better_is_shown_to_be_no_worse() {
        let counts = [of(0.5, 10, 60)];
        assert!(evidence_of_no_worse(&counts, 2.0) > 1.0 / ALPHA);
        assert!(evidence(&counts, 1.0) < 1.0);
        assert!(evidence_of_no_worse(&[of(0.5, 50, 60)], 2.0) < 1.0);
    }
}
