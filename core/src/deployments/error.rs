use super::record::Status;
use crate::ports::StoreError;
use crate::prompts::{Label, PromptError, PromptSlug};
use crate::tenancy::{Denied, ProjectError};

/// Why a deployment was not read, created or changed.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    #[error("deployment `{0}` does not exist; list them with `diogenes deploy list`")]
    NotFound(String),
    #[error("`{field}` {problem}")]
    Invalid { field: String, problem: String },
    #[error(
        "`{slug}` has another deployment to `{environment}` under way, `{standing}`; wait for its end, or cancel it with `diogenes deploy cancel {standing}`"
    )]
    Open { slug: PromptSlug, environment: Label, standing: String },
    #[error(
        "deployment `{id}` is {status} and cannot be {what}; {}", possible(*status)
    )]
    WrongStatus { id: String, status: Status, what: &'static str },
    #[error(
        "`{slug}:{environment}` is not at v{expected} any more, so that there is nothing to roll back"
    )]
    Moved { slug: PromptSlug, environment: Label, expected: u32 },
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("the deployments could not be read or written")]
    Store(#[from] StoreError),
}

impl DeploymentError {
    pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }
}

/// What can be done with a deployment of this status.
fn possible(status: Status) -> &'static str {
    match status {
        Status::PendingApproval => "approve or cancel it",
        Status::PendingGates => "wait for its gates, or cancel it",
        Status::InProgress => "pause, resume, promote, cancel it or roll it back",
        Status::Completed => "it can only be rolled back",
        Status::GatesFailed | Status::RolledBack | Status::Cancelled | Status::Failed => {
            "it has ended; create another one"
        }
    }
}
