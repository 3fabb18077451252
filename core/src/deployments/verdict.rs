//! What the facts say of the candidate.

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Metric, UnitCounts};
use super::record::Deployment;
use super::sequential::{ALPHA, BadUnits, evidence, evidence_of_no_worse, shortest_alarm};
use crate::prompts::Percent;

/// The candidate is no worse if it is shown to be bad less than so many times as often.
pub const MARGIN: f64 = 2.0;
/// Before the next step, so large a share of bad answers of the candidate would have raised the alarm.
const GROSS: f64 = 0.25;
/// How many standard deviations the split may be off, and of how many units.
const MOST_DEVIATIONS: f64 = 4.0;
const FEW_UNITS: u64 = 100;

/// What the facts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate is worse than the live version.
    Regressed,
    /// It is shown to be bad less than twice as often.
    NoWorse,
    /// Neither is shown.
    Inconclusive,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::NoWorse => "no_worse",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What one metric says.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricEvidence {
    pub metric: Metric,
    /// Bad units of the candidate, and of the live version.
    pub candidate: u64,
    pub live: u64,
    /// How much speaks for "worse"; the alarm is raised at [`Evidence::alarm_at`].
    pub worse: f64,
    /// How much speaks for "no worse", on the same scale.
    pub no_worse: f64,
}

/// What the facts say, and how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub verdict: Verdict,
    pub alarm_at: f64,
    pub metrics: Vec<MetricEvidence>,
    /// What is missing for the next step; none where there is enough.
    pub missing: Option<String>,
}

impl Evidence {
    /// What the facts say of a deployment.
    pub fn of(deployment: &Deployment, facts: &Facts) -> Self {
        // The chance of a false alarm is divided among the metrics.
        let alpha = ALPHA / Metric::ALL.len() as f64;
        let alarm_at = 1.0 / alpha;
        let of_metric = |(metric, counts): &(Metric, Vec<BadUnits>)| MetricEvidence {
            metric: *metric,
            candidate: counts.iter().map(|counts| counts.candidate).sum(),
            live: counts.iter().filter(|counts| counts.share > 0.0).map(|it| it.live).sum(),
            worse: evidence(counts, 1.0),
            no_worse: evidence_of_no_worse(counts, MARGIN),
        };
        let metrics: Vec<_> = facts.bad.iter().map(of_metric).collect();
        let is_worse = metrics.iter().any(|it| it.worse >= alarm_at);
        let is_no_worse = !metrics.is_empty() && metrics.iter().all(|it| it.no_worse >= alarm_at);
        let verdict = match (is_worse, is_no_worse) {
            (true, _) => Verdict::Regressed,
            (false, true) => Verdict::NoWorse,
            (false, false) => Verdict::Inconclusive,
        };
        let missing = missing(deployment, facts, alpha);
        Self { verdict, alarm_at, metrics, missing }
    }

    /// The metric that raised the alarm, in words and figures.
    pub fn alarm(&self, deployment: &Deployment) -> Option<String> {
        let it = self.metrics.iter().find(|it| it.worse >= self.alarm_at)?;
        let what = match it.metric {
            Metric::Errors => "failed requests",
            Metric::Latency => "slow answers",
        };
        let all = it.candidate + it.live;
        let (candidate, share) = (it.candidate, deployment.share());
        let (version, evidence, alarm) = (deployment.to_version, it.worse, self.alarm_at);
        Some(format!(
            "v{version} has {candidate} of the {all} units with {what} at a share of {share}: evidence {evidence:.1}, the alarm is at {alarm:.0}"
        ))
    }
}

/// How many units the candidate needs before the next step: so many that one bad answer in four would
/// have raised the alarm in all likelihood.
pub fn units_needed(share: Percent, alpha: f64) -> u64 {
    let alarm = shortest_alarm(share.fraction(), alpha) as f64;
    let units = (alarm + 1.3 * alarm.sqrt()) / GROSS;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number far below 2^53"
    )]
    let units = units.ceil() as u64;
    units
}

fn missing(deployment: &Deployment, facts: &Facts, alpha: f64) -> Option<String> {
    let share = deployment.share();
    if share == Percent::ZERO || share == Percent::ALL {
        return None;
    }
    let units = facts.units_at(deployment.epoch());
    let UnitCounts { candidate, live } = units;
    if is_off(units, share) {
        return Some(format!(
            "{candidate} of {} units are on the candidate's side where {share} were expected, so that the two sides cannot be compared; see whether clients change their `user` from request to request",
            candidate + live
        ));
    }
    if live == 0 {
        return Some(format!(
            "no requests for v{} since this share began",
            deployment.from_version
        ));
    }
    let needed = units_needed(share, alpha);
    if candidate >= needed {
        return None;
    }
    let of = format!("{candidate} of {needed} units for v{}", deployment.to_version);
    let few = (candidate == 0 && live <= 5 && facts.live.requests > 20).then_some(
        "; so few users make the requests that none may be on the candidate's side: give it a larger share, or send a `user`",
    );
    Some(of + few.unwrap_or_default())
}

/// Whether the split is not what was decided.
fn is_off(units: UnitCounts, share: Percent) -> bool {
    let all = units.candidate + units.live;
    if all < FEW_UNITS {
        return false;
    }
    let (all, share) = (all as f64, share.fraction());
    let deviation = (all * share * (1.0 - share)).sqrt();
    (units.candidate as f64 - all * share).abs() > MOST_DEVIATIONS * deviation
}
