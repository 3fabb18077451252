//! What can be done with a deployment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::deployments::{Deployment, DeploymentError};
use diogenes_core::tenancy::may;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::area::{DeploymentsArea, deployment_error};
use super::bodies::{DeploymentBody, RolledBackDeployment};
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString};
use crate::error::{ApiError, ErrorBody};

/// An approval.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveDeployment {
    /// Kept with the deployment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// Why something is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// For the audit log and those who look at the deployment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl DeploymentsArea {
    /// Answers an order that was carried out, or not.
    fn done(
        &self,
        done: Result<Deployment, DeploymentError>,
    ) -> Result<Json<DeploymentBody>, ApiError> {
        let deployment = done.map_err(|error| deployment_error(&error))?;
        self.changed(&deployment);
        Ok(Json(deployment.into()))
    }
}

/// Approve a deployment. It starts as soon as its gates are passed.
#[utoipa::path(post, path = "/api/v1/deployments/{id}/approve", request_body = ApproveDeployment,
    tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = DeploymentBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn approve(
    Allow(by): Allow<may::DeploymentsApprove>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<ApproveDeployment>,
) -> Result<Json<DeploymentBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    area.done(area.deployments.approve(&by, &project, &id, &body.comment).await)
}

/// Give the new version all requests at once.
#[utoipa::path(post, path = "/api/v1/deployments/{id}/promote", tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = DeploymentBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn promote(
    Allow(by): Allow<may::DeploymentsApprove>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<DeploymentBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    area.done(area.deployments.promote(&by, &project, &id).await)
}

/// Stop the growth of the share. A version that is found to be worse is rolled back all the same.
#[utoipa::path(post, path = "/api/v1/deployments/{id}/pause", tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = DeploymentBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn pause(
    Allow(by): Allow<may::DeploymentsWrite>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<DeploymentBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    area.done(area.deployments.pause(&by, &project, &id).await)
}

/// Let the share grow again, after a whole interval.
#[utoipa::path(post, path = "/api/v1/deployments/{id}/resume", tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = DeploymentBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn resume(
    Allow(by): Allow<may::DeploymentsWrite>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<DeploymentBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    area.done(area.deployments.resume(&by, &project, &id).await)
}

/// End a deployment that is not completed. All requests meet the version before it.
#[utoipa::path(post, path = "/api/v1/deployments/{id}/cancel", request_body = ReasonBody,
    tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = DeploymentBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn cancel(
    Allow(by): Allow<may::DeploymentsWrite>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<ReasonBody>,
) -> Result<Json<DeploymentBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    area.done(area.deployments.cancel(&by, &project, &id, &body.reason).await)
}

/// Return all requests to the version before, also after the deployment was completed.
#[utoipa::path(post, path = "/api/v1/deployments/{id}/rollback", request_body = ReasonBody,
    tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = RolledBackDeployment), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn roll_back(
    Allow(by): Allow<may::DeploymentsWrite>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<ReasonBody>,
) -> Result<Json<RolledBackDeployment>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let done = area.deployments.roll_back(&by, &project, &id, &body.reason).await;
    let (deployment, reverse) = done.map_err(|error| deployment_error(&error))?;
    area.changed(&deployment);
    let rollback_deployment = reverse.map(DeploymentBody::from);
    Ok(Json(RolledBackDeployment { deployment: deployment.into(), rollback_deployment }))
}
