//! The state machine: what an event makes of a deployment, and what that means for the requests.

use std::time::Duration;

use super::error::DeploymentError;
use super::record::{Approval, Deployment, DeploymentState, End, Pause, Rollout, Status};
use super::strategy::StrategyKind;
use crate::Timestamp;
use crate::prompts::{Label, LabelState, Percent, Prompt, Split};

/// Something that happens to a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Approved(Approval),
    GatesFailed {
        reason: String,
    },
    /// Its gates are passed, and the candidate gets its first share.
    Started,
    /// It is known from when on an answer is slow.
    SlowKnown {
        above: Duration,
    },
    Widened {
        to: Percent,
    },
    Paused(Pause),
    Resumed,
    /// The candidate becomes live.
    Completed {
        reason: String,
    },
    RolledBack {
        reason: String,
    },
    Cancelled {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

impl Event {
    /// What is done to a deployment, as a message says that it cannot be.
    fn what(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::GatesFailed { .. } => "refused by its gates",
            Self::Started => "started",
            Self::SlowKnown { .. } => "measured",
            Self::Widened { .. } => "given a larger share",
            Self::Paused(_) => "paused",
            Self::Resumed => "resumed",
            Self::Completed { .. } => "promoted",
            Self::RolledBack { .. } => "rolled back",
            Self::Cancelled { .. } => "cancelled",
            Self::Failed { .. } => "given up",
        }
    }
}

impl Deployment {
    /// The deployment after an event: the only place where its state changes.
    pub fn after(&self, event: &Event, now: Timestamp) -> Result<Self, DeploymentError> {
        use DeploymentState::{
            Cancelled, Completed, Failed, GatesFailed, InProgress, PendingApproval, PendingGates,
            RolledBack,
        };
        let end = |reason: &String| End {
            at: now,
            started_at: self.started_at(),
            reason: reason.clone(),
        };
        let mut next = self.clone();
        next.state = match (&self.state, event) {
            (PendingApproval, Event::Approved(approval)) => {
                next.approval = Some(approval.clone());
                PendingGates
            }
            (PendingGates, Event::GatesFailed { reason }) => GatesFailed(end(reason)),
            (PendingGates, Event::Started) => {
                next.shares.push(self.strategy.kind.initial());
                InProgress(Rollout { started_at: now, share_since: now, paused: None })
            }
            (state @ (PendingGates | InProgress(_)), Event::SlowKnown { above }) => {
                next.slow_above = Some(*above);
                state.clone()
            }
            (InProgress(rollout), Event::Widened { to }) => {
                next.shares.push(*to);
                InProgress(Rollout { share_since: now, ..rollout.clone() })
            }
            (InProgress(rollout), Event::Paused(pause)) => {
                InProgress(Rollout { paused: Some(pause.clone()), ..rollout.clone() })
            }
            // The share stands for a whole interval from now on.
            (InProgress(rollout), Event::Resumed) => {
                InProgress(Rollout { share_since: now, paused: None, ..rollout.clone() })
            }
            (InProgress(_), Event::Completed { reason }) => Completed(end(reason)),
            (InProgress(_) | Completed(_), Event::RolledBack { reason }) => RolledBack(end(reason)),
            (PendingApproval | PendingGates | InProgress(_), Event::Cancelled { reason }) => {
                Cancelled(end(reason))
            }
            (PendingApproval | PendingGates | InProgress(_), Event::Failed { reason }) => {
                Failed(end(reason))
            }
            (
                PendingApproval | PendingGates | GatesFailed(_) | InProgress(_) | Completed(_)
                | RolledBack(_) | Cancelled(_) | Failed(_),
                event,
            ) => {
                return Err(DeploymentError::WrongStatus {
                    id: self.id.to_string(),
                    status: self.status(),
                    what: event.what(),
                });
            }
        };
        Ok(next)
    }

    /// Makes of the prompt what this deployment decides: where its label stands, and which share of
    /// the requests the candidate has. Whoever writes the one writes the other in the same commit.
    pub(super) fn direct(&self, prompt: &mut Prompt, by: &str, now: Timestamp) {
        match &self.state {
            DeploymentState::PendingApproval
            | DeploymentState::PendingGates
            | DeploymentState::InProgress(_) => {
                let split = Split {
                    deployment: self.id.clone(),
                    candidate: self.to_version,
                    share: self.share(),
                    epoch: self.epoch(),
                    slow_above: self.slow_above,
                };
                prompt.splits.insert(self.environment.clone(), split);
                if let (Status::InProgress, StrategyKind::BlueGreen { .. }) =
                    (self.status(), self.strategy.kind)
                {
                    self.place(prompt, "blue", self.from_version, by, now);
                    self.place(prompt, "green", self.to_version, by, now);
                }
            }
            DeploymentState::Completed(_) => {
                prompt.splits.remove(&self.environment);
                self.place(prompt, self.environment.as_str(), self.to_version, by, now);
            }
            DeploymentState::GatesFailed(_)
            | DeploymentState::RolledBack(_)
            | DeploymentState::Cancelled(_)
            | DeploymentState::Failed(_) => {
                prompt.splits.remove(&self.environment);
            }
        }
        prompt.updated_at = now;
        by.clone_into(&mut prompt.updated_by);
    }

    fn place(&self, prompt: &mut Prompt, label: &str, version: u32, by: &str, now: Timestamp) {
        let Ok(label) = label.parse::<Label>() else { return };
        if prompt.labels.get(&label).is_some_and(|state| state.version == version) {
            return;
        }
        let reason = format!("deployment {}", self.id);
        prompt.labels.insert(label, LabelState { version, at: now, by: by.to_owned(), reason });
    }
}
