use std::collections::BTreeMap;

use diogenes_core::Timestamp;
use diogenes_core::deployments::{
    Deployment, DeploymentState, MARGIN, NewDeployment, Status, StrategyKind, sequential,
};
use diogenes_core::prompts::{Percent, Selector};
use diogenes_core::tenancy::ProjectId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::strategy::StrategyBody;
use crate::control::extract::parse;
use crate::error::ApiError;

/// A deployment that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    /// The prompt's slug or id.
    pub prompt_id: String,
    /// The number of the version that is to become live.
    pub to_version: u32,
    /// The label of the prompt at which it is to become live, such as `production`.
    pub environment: String,
    pub strategy: StrategyBody,
    /// Approve it with its creation, which takes the permission `deployments:approve`.
    #[serde(default)]
    pub skip_approval: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl TryFrom<CreateDeployment> for NewDeployment {
    type Error = ApiError;

    fn try_from(body: CreateDeployment) -> Result<Self, ApiError> {
        let environment = parse("environment", &body.environment)?;
        Ok(Self {
            prompt: body.prompt_id,
            to_version: Selector::Number(body.to_version),
            environment,
            strategy: body.strategy.try_into()?,
            skip_approval: body.skip_approval,
            metadata: body.metadata,
        })
    }
}

/// A deployment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeploymentBody {
    pub id: String,
    #[schema(value_type = String)]
    pub project: ProjectId,
    pub prompt_id: String,
    /// The slug of the prompt.
    pub prompt: String,
    /// The version that was live when it was created.
    pub from_version: u32,
    pub to_version: u32,
    pub environment: String,
    pub strategy: StrategyBody,
    pub status: Status,
    /// Why it has ended; empty until then.
    pub status_message: String,
    pub rollout: RolloutBody,
    /// What it takes to notice that the version is worse; null where its first share is none or all.
    pub detection: Option<DetectionBody>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    pub created_by: String,
    pub approved_by: Option<String>,
    pub approval_comment: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// The deployment that this one takes back.
    pub reverts: Option<String>,
}

/// How the requests are divided.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutBody {
    /// The share of the users or conversations that meet the new version.
    pub current_percentage: u8,
    pub target_percentage: u8,
    /// Since when it has its present share.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_increment_at: Option<Timestamp>,
    /// When the next step is due at the earliest; it takes evidence besides.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_increment_at: Option<Timestamp>,
    /// Who has paused it.
    pub paused_by: Option<String>,
}

/// How many users or conversations must have met a failure before one notices that the new version fails twice as
/// often.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DetectionBody {
    /// At this share.
    pub percentage: u8,
    /// So many in half of all cases.
    pub bad_units_p50: u64,
    /// So many in four cases out of five.
    pub bad_units_p80: u64,
}

impl DetectionBody {
    fn of(deployment: &Deployment) -> Option<Self> {
        let share = deployment.strategy.kind.initial();
        if share == Percent::ZERO || share == Percent::ALL {
            return None;
        }
        let needed = sequential::needed(share.fraction(), MARGIN, sequential::ALPHA)?;
        Some(Self {
            percentage: share.get(),
            bad_units_p50: needed.half,
            bad_units_p80: needed.four_in_five,
        })
    }
}

impl From<&Deployment> for RolloutBody {
    fn from(deployment: &Deployment) -> Self {
        let rollout = match &deployment.state {
            DeploymentState::InProgress(rollout) => Some(rollout),
            _ => None,
        };
        let interval = match deployment.strategy.kind {
            StrategyKind::Gradual { interval, .. } => Some(interval),
            StrategyKind::Canary { longest, .. } => longest,
            StrategyKind::BlueGreen { switch_after } => switch_after,
            StrategyKind::Immediate => None,
        };
        let running = rollout.filter(|rollout| rollout.paused.is_none());
        let next = running
            .zip(interval)
            .and_then(|(rollout, interval)| rollout.share_since.checked_add(interval).ok());
        Self {
            current_percentage: current(deployment).get(),
            target_percentage: 100,
            last_increment_at: rollout.map(|rollout| rollout.share_since),
            next_increment_at: next,
            paused_by: rollout.and_then(|it| Some(it.paused.as_ref()?.by.clone())),
        }
    }
}

/// The share that the new version has now.
fn current(deployment: &Deployment) -> Percent {
    match deployment.status() {
        Status::InProgress => deployment.share(),
        Status::Completed => Percent::ALL,
        Status::PendingApproval
        | Status::PendingGates
        | Status::GatesFailed
        | Status::RolledBack
        | Status::Cancelled
        | Status::Failed => Percent::ZERO,
    }
}

impl From<Deployment> for DeploymentBody {
    fn from(deployment: Deployment) -> Self {
        let (rollout, detection) = ((&deployment).into(), DetectionBody::of(&deployment));
        let end = deployment.end();
        let status_message = end.map(|end| end.reason.clone()).unwrap_or_default();
        let completed_at = end.map(|end| end.at);
        let (started_at, status) = (deployment.started_at(), deployment.status());
        let (approved_by, approval_comment) = match deployment.approval {
            Some(approval) => (Some(approval.by), Some(approval.comment)),
            None => (None, None),
        };
        Self {
            id: deployment.id.to_string(),
            project: deployment.project,
            prompt_id: deployment.prompt.to_string(),
            prompt: deployment.slug.to_string(),
            from_version: deployment.from_version,
            to_version: deployment.to_version,
            environment: deployment.environment.to_string(),
            strategy: deployment.strategy.into(),
            status,
            status_message,
            rollout,
            detection,
            created_at: deployment.created_at,
            started_at,
            completed_at,
            created_by: deployment.created_by.subject,
            approved_by,
            approval_comment,
            metadata: deployment.metadata,
            reverts: deployment.reverts.map(|id| id.to_string()),
        }
    }
}

/// A page of deployments, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeploymentList {
    pub data: Vec<DeploymentBody>,
    /// Where the next page starts; null on the last page. A page may be short, even empty.
    pub next_cursor: Option<String>,
}

/// A deployment that was rolled back, and the one that takes it back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolledBackDeployment {
    pub deployment: DeploymentBody,
    pub rollback_deployment: Option<DeploymentBody>,
}
