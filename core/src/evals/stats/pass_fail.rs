use serde::Serialize;

use super::binomial;
use super::{Confidence, Interval, StatsError};

/// How the same examples came out under a baseline and a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PairTable {
    pub both_pass: u64,
    /// The baseline passed and the candidate failed.
    pub only_baseline: u64,
    /// The candidate passed and the baseline failed.
    pub only_candidate: u64,
    pub both_fail: u64,
}

impl PairTable {
    /// Counts `(baseline, candidate)`, where `true` is a pass.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut table = Self::default();
        for pair in pairs {
            match pair {
                (true, true) => table.both_pass += 1,
                (true, false) => table.only_baseline += 1,
                (false, true) => table.only_candidate += 1,
                (false, false) => table.both_fail += 1,
            }
        }
        table
    }

    pub fn pairs(&self) -> u64 {
        self.both_pass + self.only_baseline + self.only_candidate + self.both_fail
    }

    /// Pairs of which one passed and one failed. Only they tell the two apart.
    pub fn discordant(&self) -> u64 {
        self.only_baseline + self.only_candidate
    }

    /// The candidate's pass rate less the baseline's, from −1 to 1.
    pub fn difference(&self) -> Result<f64, StatsError> {
        match self.pairs() {
            0 => Err(StatsError::TooFew { needed: 1, found: 0 }),
            pairs => Ok((self.only_candidate as f64 - self.only_baseline as f64) / pairs as f64),
        }
    }

    /// McNemar's test: if there is no difference, a discordant pair is as likely one way as the other.
    pub fn mcnemar(&self) -> McNemar {
        let fewer = self.only_baseline.min(self.only_candidate);
        let heads = binomial::fair(fewer, self.discordant());
        let fewer_mid_p = heads.at_most - heads.exactly / 2.0;
        McNemar {
            exact: (2.0 * heads.at_most).min(1.0),
            mid_p: (2.0 * fewer_mid_p).min(1.0),
            worse: if self.only_candidate <= self.only_baseline {
                fewer_mid_p
            } else {
                1.0 - fewer_mid_p
            },
        }
    }

    /// The interval of the difference of pass rates: Tango's score interval (Statistics in Medicine 17,
    /// 1998, 891–908), the values that a score test does not reject. Fagerland, Lydersen and Laake
    /// (Statistics in Medicine 33, 2014, 2850–2875) recommend it at all sizes. It has a width also where
    /// every pair agrees.
    pub fn interval(&self, confidence: Confidence) -> Result<Interval, StatsError> {
        let difference = self.difference()?;
        let score = Score {
            pairs: self.pairs() as f64,
            only_candidate: self.only_candidate as f64,
            only_baseline: self.only_baseline as f64,
        };
        let z = confidence.z();
        // The score falls as the assumed difference grows.
        let lower = crossing(-1.0, difference, |assumed| score.at(assumed) > z);
        let upper = crossing(difference, 1.0, |assumed| score.at(assumed) >= -z);
        Ok(Interval::between(lower, upper))
    }
}

/// p-values of McNemar's test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// Two-sided, from the binomial distribution. Never too small, often too large.
    pub exact: f64,
    /// Two-sided, with only half of what was observed counted: closer to what it says than the exact
    /// one (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013).
    pub mid_p: f64,
    /// The mid-p on one side: small where the candidate is worse, close to 1 where it is better.
    pub worse: f64,
}

struct Score {
    pairs: f64,
    only_candidate: f64,
    only_baseline: f64,
}

impl Score {
    /// How many standard deviations the observed difference is above `assumed`.
    fn at(&self, assumed: f64) -> f64 {
        let distance = self.only_candidate - self.only_baseline - self.pairs * assumed;
        let variance = self.pairs * (2.0 * self.loss_rate(assumed) + assumed * (1.0 - assumed));
        if distance == 0.0 {
            return 0.0;
        }
        distance / variance.max(f64::MIN_POSITIVE).sqrt()
    }

    /// The likeliest rate of "only the baseline passes" if the difference is `assumed`: the larger root of
    /// a quadratic equation.
    fn loss_rate(&self, assumed: f64) -> f64 {
        let a = 2.0 * self.pairs;
        let b = (a - self.only_candidate + self.only_baseline) * assumed
            - self.only_candidate
            - self.only_baseline;
        let c = -self.only_baseline * assumed * (1.0 - assumed);
        let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
        // Of the two forms that which subtracts nothing alike.
        let rate = if b > 0.0 { -2.0 * c / (b + root) } else { (root - b) / (2.0 * a) };
        rate.max(0.0).max(-assumed)
    }
}

/// Where `below` stops being true between `low` and `high`, to the last digit but a few.
fn crossing(low: f64, high: f64, below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (low, high);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}
