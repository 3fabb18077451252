use serde::Serialize;

use super::power::Design;
use super::sums::ceiling;
use super::{Confidence, Interval, StatsError};

/// A loss that does not matter, in the units of the score (0.02 is two points of pass rate); at least 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize)]
pub struct Margin(f64);

impl Margin {
    pub fn new(loss: f64) -> Result<Self, StatsError> {
        if (0.0..=super::MAX_SCORE).contains(&loss) {
            // Zero is added so that it is not -0.
            return Ok(Self(loss + 0.0));
        }
        Err(StatsError::OutOfRange {
            name: "margin",
            range: "a number that is not negative",
            value: loss,
        })
    }

    pub fn loss(self) -> f64 {
        self.0
    }
}

/// What is known of a difference between candidate and baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Candidate less baseline; more is better.
    pub difference: f64,
    pub interval: Interval,
    pub confidence: Confidence,
    /// One-sided: small where the candidate is worse by more than chance explains, close to 1 where it is better.
    pub p_worse: f64,
    /// Examples behind it.
    pub examples: u64,
    /// Whether enough of what was submitted was measured.
    pub complete: bool,
    /// Whether there are enough examples, or clusters, for the method.
    pub enough: bool,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate is better.
    Improved,
    /// Whatever loss there may be is within the margin. It may be a loss that is certain.
    NoWorse,
    /// The candidate is worse, and possibly by more than the margin.
    Regressed,
    Inconclusive(Reason),
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The interval has room for both. About so many examples in all would decide with 80 % power, if the
    /// difference is what it seems to be: an estimate as rough as the difference itself. `None` where no number
    /// would, as there seems to be no difference and no margin is given.
    TooWide { examples_needed: Option<u64> },
    /// More than 2 % of the results are unmeasured.
    Unmeasured,
    /// The method needs more examples or clusters to be relied on.
    TooFew,
    /// A regression that may be chance, as one of many comparisons.
    OneOfMany,
}

impl Verdict {
    /// Whether it lets a candidate through.
    pub fn passes(self) -> bool {
        matches!(self, Self::Improved | Self::NoWorse)
    }
}

/// The verdict, in this order:
///
/// | | interval | and |
/// | --- | --- | --- |
/// | inconclusive | | too few examples for the method |
/// | improved | wholly above 0 | 1 − p below α/2 |
/// | no worse | not below −margin | |
/// | regressed | wholly below 0 | p below α/2 |
/// | inconclusive | otherwise | |
///
/// An improvement, or no worse, with too much unmeasured is inconclusive; a regression remains one.
pub fn verdict(evidence: &Evidence, margin: Margin) -> Verdict {
    if !evidence.enough {
        return Verdict::Inconclusive(Reason::TooFew);
    }
    let interval = evidence.interval;
    let tail = evidence.confidence.tail();
    let favourable = if interval.lower() > 0.0 && 1.0 - evidence.p_worse < tail {
        Some(Verdict::Improved)
    } else if interval.lower() >= -margin.loss() {
        Some(Verdict::NoWorse)
    } else {
        None
    };
    match favourable {
        Some(_) if !evidence.complete => Verdict::Inconclusive(Reason::Unmeasured),
        Some(favourable) => favourable,
        None if interval.upper() < 0.0 && evidence.p_worse < tail => Verdict::Regressed,
        None => Verdict::Inconclusive(Reason::TooWide {
            examples_needed: examples_needed(evidence, margin),
        }),
    }
}

/// The width of an interval falls as 1/√n. How many times the examples make it stay clear of the nearer of the two
/// bounds: of −margin, if it is no worse, or of 0, if it is worse.
fn examples_needed(evidence: &Evidence, margin: Margin) -> Option<u64> {
    let Evidence { difference, interval, .. } = evidence;
    let design = Design::new(evidence.confidence, Design::USUAL.power()).unwrap_or(Design::USUAL);
    let times = |width: f64, distance: f64| {
        (distance > 0.0).then(|| design.factor() * (width.max(0.0) / distance).powi(2))
    };
    let no_worse = times(difference - interval.lower(), difference + margin.loss());
    let worse = times(interval.upper() - difference, -difference);
    let fewest = [no_worse, worse].into_iter().flatten().min_by(f64::total_cmp)?;
    // Rounded up to two digits, as it is rough, and never fewer than there were.
    let needed = fewest * evidence.examples as f64;
    let unit = 10_f64.powf((needed.log10().floor() - 1.0).max(0.0));
    Some(ceiling((needed / unit).ceil() * unit).max(evidence.examples.saturating_add(1)))
}
