//! What to do next with a deployment. Pure.

use std::time::Duration;

use super::event::Event;
use super::facts::Facts;
use super::record::{Deployment, DeploymentState, Rollout};
use super::strategy::{InconclusiveAction, StrategyKind};
use super::verdict::{Evidence, Verdict};
use crate::Timestamp;
use crate::fleet::eta::{later, since};
use crate::prompts::{Percent, Prompt, PromptStatus, Selector};

/// How many answers of the live version tell how long its answers take.
const LATENCY_SAMPLES: u64 = 50;
/// What takes no longer than this is not slow, whatever else takes how long: nobody notices.
const NEVER_SLOW: Duration = Duration::from_millis(100);
/// So many requests of so few units are no traffic to divide.
const REQUESTS_OF_FEW: u64 = 20;
const FEW_UNITS: u64 = 5;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Do(Event),
    Wait {
        /// When to decide anew at the latest; none where only somebody's order or a request can
        /// change something.
        until: Option<Timestamp>,
        /// For what, in words and figures.
        what: String,
    },
}

impl Decision {
    fn wait(until: Option<Timestamp>, what: impl Into<String>) -> Self {
        Self::Wait { until, what: what.into() }
    }
}

/// Whether something stands in the way of a deployment that is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gates {
    Passed,
    /// Their results are awaited.
    Pending {
        what: String,
    },
    Failed {
        reason: String,
    },
}

/// What to do next with a deployment, whose prompt is this one if it is still there.
pub fn decide(
    deployment: &Deployment,
    prompt: Option<&Prompt>,
    gates: &Gates,
    facts: &Facts,
    now: Timestamp,
) -> Decision {
    let rollout = match &deployment.state {
        DeploymentState::GatesFailed(end)
        | DeploymentState::Completed(end)
        | DeploymentState::RolledBack(end)
        | DeploymentState::Cancelled(end)
        | DeploymentState::Failed(end) => return Decision::wait(None, end.reason.clone()),
        DeploymentState::PendingApproval => None,
        DeploymentState::PendingGates | DeploymentState::InProgress(_) => {
            if let Some(above) = slow_above(deployment, facts) {
                return Decision::Do(Event::SlowKnown { above });
            }
            match &deployment.state {
                DeploymentState::InProgress(rollout) => Some(rollout),
                _ => None,
            }
        }
    };
    if let Err(reason) = standing(deployment, prompt) {
        return Decision::Do(Event::Failed { reason });
    }
    match (rollout, &deployment.state) {
        (Some(rollout), _) => of_rollout(deployment, rollout, facts, now),
        (None, DeploymentState::PendingApproval) => Decision::wait(None, "its approval"),
        (None, _) => of_gates(deployment, gates, facts),
    }
}

/// Why a deployment cannot go on, if it cannot.
fn standing(deployment: &Deployment, prompt: Option<&Prompt>) -> Result<(), String> {
    let Deployment { slug, environment, from_version, .. } = deployment;
    let Some(prompt) = prompt.filter(|prompt| prompt.id == deployment.prompt) else {
        return Err(format!("the prompt `{slug}` was deleted"));
    };
    if prompt.status == PromptStatus::Archived {
        return Err(format!("the prompt `{slug}` was archived"));
    }
    match prompt.number_of(&Selector::Label(environment.clone())) {
        Some(number) if number == *from_version => Ok(()),
        Some(number) => Err(format!("`{slug}:{environment}` was moved to v{number}")),
        None => Err(format!("the label `{environment}` of `{slug}` was removed")),
    }
}

/// From when on an answer is slow, if that has become known.
fn slow_above(deployment: &Deployment, facts: &Facts) -> Option<Duration> {
    let latency = &facts.live.latency;
    if deployment.slow_above.is_some() || latency.count() < LATENCY_SAMPLES {
        return None;
    }
    latency.quantile(0.95).map(|slow| slow.max(NEVER_SLOW))
}

fn of_gates(deployment: &Deployment, gates: &Gates, facts: &Facts) -> Decision {
    match gates {
        Gates::Failed { reason } => Decision::Do(Event::GatesFailed { reason: reason.clone() }),
        Gates::Pending { what } => Decision::wait(None, what.clone()),
        Gates::Passed => match nobody_to_divide(deployment, facts) {
            Some(reason) => Decision::Do(Event::Failed { reason }),
            None => Decision::Do(Event::Started),
        },
    }
}

/// Why the traffic cannot be divided: all of it is that of a handful of units.
fn nobody_to_divide(deployment: &Deployment, facts: &Facts) -> Option<String> {
    let share = deployment.strategy.kind.initial();
    let units = facts.units_at(0).live;
    let is_divided = share > Percent::ZERO && share < Percent::ALL;
    let are_few = facts.live.requests >= REQUESTS_OF_FEW && units <= FEW_UNITS;
    let units_at_power = i32::try_from(units).unwrap_or(i32::MAX);
    let none = (1.0 - share.fraction()).powi(units_at_power);
    (is_divided && are_few && none > 0.2).then(|| {
        format!(
            "{} requests came from {units} users or conversations: with a probability of {none:.2} a share of {share} has none of them; use the strategy immediate or blue-green",
            facts.live.requests
        )
    })
}

fn of_rollout(
    deployment: &Deployment,
    rollout: &Rollout,
    facts: &Facts,
    now: Timestamp,
) -> Decision {
    let evidence = Evidence::of(deployment, facts);
    if let Some(reason) = evidence.alarm(deployment) {
        return if deployment.strategy.auto_rollback {
            Decision::Do(Event::RolledBack { reason })
        } else {
            Decision::wait(None, format!("{reason}; roll it back or promote it"))
        };
    }
    if let Some(pause) = &rollout.paused {
        return Decision::wait(None, format!("somebody to resume it: paused by {}", pause.by));
    }
    match deployment.strategy.kind {
        StrategyKind::Immediate => complete("all requests at once"),
        StrategyKind::Gradual { interval, .. } => {
            let due = later(rollout.share_since, interval);
            if now < due {
                return Decision::wait(Some(due), "the end of the interval");
            }
            match &evidence.missing {
                None => widen(deployment, &evidence),
                Some(missing) => inconclusive(deployment, rollout, missing, interval, now),
            }
        }
        StrategyKind::Canary { .. } if evidence.verdict == Verdict::NoWorse => {
            complete("it is shown to be no worse")
        }
        StrategyKind::Canary { longest, .. } => {
            let longest = longest.unwrap_or(Duration::MAX);
            let is_over = since(rollout.share_since, now) >= longest;
            match &evidence.missing {
                None if is_over => complete("its time is over, and it is not worse"),
                None => Decision::wait(
                    Some(later(rollout.share_since, longest)),
                    "evidence that it is no worse",
                ),
                Some(missing) => inconclusive(deployment, rollout, missing, longest, now),
            }
        }
        StrategyKind::BlueGreen { switch_after } => {
            let due = switch_after.map(|after| later(rollout.share_since, after));
            if due.is_some_and(|due| now >= due) {
                return complete("the time of its switch has come");
            }
            let slug = &deployment.slug;
            Decision::wait(due, format!("the switch; try it as `{slug}:green`, then promote it"))
        }
    }
}

fn complete(reason: &str) -> Decision {
    Decision::Do(Event::Completed { reason: reason.into() })
}

fn widen(deployment: &Deployment, evidence: &Evidence) -> Decision {
    let to = deployment.strategy.kind.next(deployment.share());
    if to < Percent::ALL {
        return Decision::Do(Event::Widened { to });
    }
    let verdict = match evidence.verdict {
        Verdict::NoWorse => "it is shown to be no worse",
        Verdict::Regressed | Verdict::Inconclusive => "nothing speaks against it",
    };
    complete(&format!("{verdict} at {}", deployment.share()))
}

/// The share has stood for `interval` or longer and the evidence does not suffice.
fn inconclusive(
    deployment: &Deployment,
    rollout: &Rollout,
    missing: &str,
    interval: Duration,
    now: Timestamp,
) -> Decision {
    let rule = deployment.strategy.on_inconclusive;
    // Nobody decides for want of evidence before there could be any.
    let after = if interval == Duration::MAX { rule.after } else { rule.after.max(interval) };
    let due = later(rollout.share_since, after);
    let at = deployment.share();
    match rule.action {
        InconclusiveAction::Hold => Decision::wait(None, format!("evidence at {at}: {missing}")),
        _ if now < due => Decision::wait(Some(due), format!("evidence at {at}: {missing}")),
        InconclusiveAction::Promote => match deployment.strategy.kind.next(at) {
            Percent::ALL => complete(&format!("for want of evidence at {at}: {missing}")),
            to => Decision::Do(Event::Widened { to }),
        },
        InconclusiveAction::Rollback => Decision::Do(Event::RolledBack {
            reason: format!("for want of evidence at {at}: {missing}"),
        }),
    }
}
