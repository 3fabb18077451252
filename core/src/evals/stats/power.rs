//! How many examples a comparison needs, before any is run.

use super::sums::ceiling;
use super::{Confidence, StatsError, normal};

/// What a comparison is to achieve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Design {
    confidence: Confidence,
    power: f64,
}

impl Design {
    /// 95 % confidence, 80 % power.
    pub const USUAL: Self = Self { confidence: Confidence::USUAL, power: 0.8 };

    /// `power` is how likely a difference of the wanted size is to be found if there is one: from 0.5 to below 1.
    pub fn new(confidence: Confidence, power: f64) -> Result<Self, StatsError> {
        if (0.5..1.0).contains(&power) {
            return Ok(Self { confidence, power });
        }
        Err(StatsError::OutOfRange { name: "power", range: "from 0.5 to below 1", value: power })
    }

    pub fn confidence(self) -> Confidence {
        self.confidence
    }

    pub fn power(self) -> f64 {
        self.power
    }

    /// z_{α/2} and z_β.
    fn z(self) -> (f64, f64) {
        (self.confidence.z(), normal::quantile(self.power))
    }

    /// ((z_{α/2} + z_β) / z_{α/2})²: with how many times the examples an interval that just reaches somewhere
    /// will fall short of it as likely as the power says.
    pub(super) fn factor(self) -> f64 {
        let (alpha, beta) = self.z();
        ((alpha + beta) / alpha).powi(2)
    }
}

/// How many pairs of pass or fail show a difference of pass rates: n = (z_{α/2}√p_d + z_β√(p_d−δ²))²/δ²
/// (Connor, "Sample size for testing differences in proportions for the paired-sample design", Biometrics
/// 43, 1987).
///
/// `discordant` is p_d, the share of examples on which candidate and baseline differ; `difference` is δ, of
/// either sign, as a fraction (0.05 is five points). |δ| cannot be above p_d.
pub fn pairs_needed(discordant: f64, difference: f64, design: Design) -> Result<u64, StatsError> {
    check_discordant(discordant)?;
    let difference = difference.abs();
    if !(difference > 0.0 && difference <= discordant) {
        let range = "other than 0 and not above `discordant`";
        return Err(StatsError::OutOfRange { name: "difference", range, value: difference });
    }
    Ok(ceiling(pairs(discordant, difference, design)))
}

/// The smallest difference of pass rates that `count` pairs show. `None` where they show none, not even if
/// every discordant pair went the same way.
pub fn detectable_difference(
    discordant: f64,
    count: u64,
    design: Design,
) -> Result<Option<f64>, StatsError> {
    check_discordant(discordant)?;
    let count = count as f64;
    if pairs(discordant, discordant, design) > count {
        return Ok(None);
    }
    // The smaller the difference, the more pairs.
    let (mut low, mut high) = (0.0, discordant);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if pairs(discordant, middle, design) > count {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Some(high))
}

/// How many examples show a difference of mean scores: n = ((z_{α/2} + z_β) σ/δ)². `deviation` is σ, the
/// standard deviation of the differences between candidate and baseline.
pub fn examples_needed(deviation: f64, difference: f64, design: Design) -> Result<u64, StatsError> {
    check_deviation(deviation)?;
    let difference = difference.abs();
    if !(difference > 0.0 && difference.is_finite()) {
        let range = "a number other than 0";
        return Err(StatsError::OutOfRange { name: "difference", range, value: difference });
    }
    let (alpha, beta) = design.z();
    // A standard deviation takes two examples.
    Ok(ceiling(((alpha + beta) * (deviation / difference)).powi(2)).max(2))
}

/// The smallest difference of mean scores that `count` examples show: (z_{α/2} + z_β) σ/√n.
pub fn detectable_score_difference(
    deviation: f64,
    count: u64,
    design: Design,
) -> Result<f64, StatsError> {
    check_deviation(deviation)?;
    if count < 2 {
        return Err(StatsError::TooFew {
            needed: 2,
            found: usize::try_from(count).unwrap_or_default(),
        });
    }
    let (alpha, beta) = design.z();
    Ok((alpha + beta) * deviation / (count as f64).sqrt())
}

fn pairs(discordant: f64, difference: f64, design: Design) -> f64 {
    let (alpha, beta) = design.z();
    let deviation = (discordant - difference * difference).max(0.0).sqrt();
    ((alpha * discordant.sqrt() + beta * deviation) / difference).powi(2)
}

fn check_discordant(discordant: f64) -> Result<(), StatsError> {
    if discordant > 0.0 && discordant <= 1.0 {
        return Ok(());
    }
    Err(StatsError::OutOfRange {
        name: "discordant",
        range: "above 0 and at most 1",
        value: discordant,
    })
}

fn check_deviation(deviation: f64) -> Result<(), StatsError> {
    if (0.0..=super::MAX_SCORE).contains(&deviation) {
        return Ok(());
    }
    Err(StatsError::OutOfRange {
        name: "deviation",
        range: "a number that is not negative",
        value: deviation,
    })
}
