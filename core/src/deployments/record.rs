use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::strategy::Strategy;
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::jobs::Creator;
use crate::ordered_id::ordered_ids;
use crate::ports::{Direction, Key, Query, Table};
use crate::prompts::{Label, Percent, PromptId, PromptSlug};
use crate::tenancy::ProjectId;

/// How long a deployment is kept.
const DEPLOYMENT_LIFE: Duration = Duration::from_hours(400 * 24);

ordered_ids! {
    /// The id of a deployment: `deploy_` and 32 hexadecimal digits that sort by the time of its
    /// creation.
    DeploymentId, "deploy_";
}

/// A version of a prompt on its way to an environment, which is a label of the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    pub project: ProjectId,
    pub prompt: PromptId,
    pub slug: PromptSlug,
    pub environment: Label,
    /// The version that was live when it was created.
    pub from_version: u32,
    pub to_version: u32,
    pub strategy: Strategy,
    pub state: DeploymentState,
    /// The candidate's shares so far; the first is 0, during which the live version is measured.
    pub shares: Vec<Percent>,
    /// An answer that takes longer is slow: the 95th percentile of the live version, fixed once.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration::option")]
    pub slow_above: Option<Duration>,
    pub created_at: Timestamp,
    /// Who wants it; what it does by itself is done in their name.
    pub created_by: Creator,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The deployment that this one takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<DeploymentId>,
}

/// Who approved a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// How far a deployment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum DeploymentState {
    /// Somebody has to approve it.
    PendingApproval,
    /// Its quality gates are being evaluated.
    PendingGates,
    /// A required gate was not passed.
    GatesFailed(End),
    /// The candidate has a share of the requests, or is about to get all of them.
    InProgress(Rollout),
    /// The candidate is live.
    Completed(End),
    /// The traffic has returned.
    RolledBack(End),
    /// Somebody ended it; the traffic has returned if there was any.
    Cancelled(End),
    /// It could not be carried out.
    Failed(End),
}

/// A rollout that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub started_at: Timestamp,
    /// Since when the candidate has its present share.
    pub share_since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// Somebody has stopped the growth of the share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub by: String,
    pub at: Timestamp,
}

/// The end of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub at: Timestamp,
    /// When the candidate got its first share, if it got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Why, in words and figures.
    pub reason: String,
}

impl Deployment {
    fn partition(project: &ProjectId) -> String {
        format!("DEPLOYMENTS#{project}")
    }

    pub(super) fn key_of(project: &ProjectId, id: &DeploymentId) -> Key {
        Key::new(Self::partition(project), id.as_str())
    }

    /// Lists the deployments of a project, newest first.
    pub(super) fn newest_first(project: &ProjectId) -> Query {
        let mut query = Query::new(Table::Main, Self::partition(project), "");
        query.direction = Direction::Descending;
        query
    }

    /// The candidate's share at present, or at the end.
    pub fn share(&self) -> Percent {
        self.shares.last().copied().unwrap_or_default()
    }

    /// The position of that share among all.
    pub fn epoch(&self) -> u32 {
        u32::try_from(self.shares.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    pub fn status(&self) -> Status {
        self.state.status()
    }

    /// The end, once it has come.
    pub fn end(&self) -> Option<&End> {
        match &self.state {
            DeploymentState::GatesFailed(end)
            | DeploymentState::Completed(end)
            | DeploymentState::RolledBack(end)
            | DeploymentState::Cancelled(end)
            | DeploymentState::Failed(end) => Some(end),
            DeploymentState::PendingApproval
            | DeploymentState::PendingGates
            | DeploymentState::InProgress(_) => None,
        }
    }

    /// When the candidate got its first share, if it got one.
    pub fn started_at(&self) -> Option<Timestamp> {
        match &self.state {
            DeploymentState::InProgress(rollout) => Some(rollout.started_at),
            _ => self.end().and_then(|end| end.started_at),
        }
    }

    /// The prompt and the environment, as requests name them.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.slug, self.environment)
    }
}

impl Entity for Deployment {
    const KIND: &'static str = "deployment";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        // One that is under way stays until it has ended.
        Some(later(self.end()?.at, DEPLOYMENT_LIFE))
    }
}

/// That a prompt has a deployment to an environment under way: there is at most one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDeployment {
    pub project: ProjectId,
    pub prompt: PromptId,
    pub environment: Label,
    pub deployment: DeploymentId,
}

impl OpenDeployment {
    const PARTITION: &str = "DEPLOYMENTS-OPEN";

    pub(super) fn key_of(deployment: &Deployment) -> Key {
        let Deployment { project, prompt, environment, .. } = deployment;
        Key::new(Self::PARTITION, format!("{project}#{prompt}#{environment}"))
    }

    /// Lists what is under way in every project.
    pub(super) fn all() -> Query {
        Query::new(Table::Main, Self::PARTITION, "")
    }
}

impl Entity for OpenDeployment {
    const KIND: &'static str = "open deployment";

    fn key(&self) -> Key {
        let Self { project, prompt, environment, .. } = self;
        Key::new(Self::PARTITION, format!("{project}#{prompt}#{environment}"))
    }
}

/// The name of a [`DeploymentState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    PendingApproval,
    PendingGates,
    GatesFailed,
    InProgress,
    Completed,
    RolledBack,
    Cancelled,
    Failed,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::PendingApproval,
        Self::PendingGates,
        Self::GatesFailed,
        Self::InProgress,
        Self::Completed,
        Self::RolledBack,
        Self::Cancelled,
        Self::Failed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingApproval => "PENDING_APPROVAL",
            Self::PendingGates => "PENDING_GATES",
            Self::GatesFailed => "GATES_FAILED",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::RolledBack => "ROLLED_BACK",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::PendingApproval | Self::PendingGates | Self::InProgress)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(|status| format!("`{status}`")).join(", ");
            format!("`{text}` is not a status; use one of {names}")
        })
    }
}

impl DeploymentState {
    pub fn status(&self) -> Status {
        match self {
            Self::PendingApproval => Status::PendingApproval,
            Self::PendingGates => Status::PendingGates,
            Self::GatesFailed(_) => Status::GatesFailed,
            Self::InProgress(_) => Status::InProgress,
            Self::Completed(_) => Status::Completed,
            Self::RolledBack(_) => Status::RolledBack,
            Self::Cancelled(_) => Status::Cancelled,
            Self::Failed(_) => Status::Failed,
        }
    }
}
