//! `/api/v1/deployments`: how a new version of a prompt reaches its users.

mod area;
mod bodies;
pub(super) mod handlers;
pub(super) mod orders;
mod status;
mod strategy;

pub use area::{DeploymentsArea, DeploymentsParts};
pub use bodies::{
    CreateDeployment, DeploymentBody, DeploymentList, DetectionBody, RolledBackDeployment,
    RolloutBody,
};
pub use orders::{ApproveDeployment, ReasonBody};
pub use status::{DeploymentStatusBody, EvidenceBody, MetricEvidenceBody, MetricsBody};
pub use strategy::{DeploymentType, StrategyBody};
