use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::deployments::{DeploymentFilter, NewDeployment, Status};
use diogenes_core::ports::Cursor;
use diogenes_core::prompts::Label;
use diogenes_core::tenancy::{ProjectId, may};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::area::{DeploymentsArea, deployment_error};
use super::bodies::{CreateDeployment, DeploymentBody, DeploymentList};
use super::status::DeploymentStatusBody;
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, page_size};
use crate::error::{ApiError, ErrorBody};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListDeployments {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Only those of this prompt: its slug or id.
    prompt_id: Option<String>,
    /// Only those to this label.
    #[param(value_type = Option<String>)]
    environment: Option<Label>,
    /// Only those of this status.
    status: Option<Status>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Create a deployment. It waits for its approval, unless that is to be skipped.
#[utoipa::path(post, path = "/api/v1/deployments", request_body = CreateDeployment,
    tag = "deployments", params(OfProject),
    responses((status = 201, body = DeploymentBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn create(
    Allow(by): Allow<may::DeploymentsWrite>,
    State(area): State<Arc<DeploymentsArea>>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<CreateDeployment>,
) -> Result<(StatusCode, Json<DeploymentBody>), ApiError> {
    let new = NewDeployment::try_from(body)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let created = area.deployments.create(&by, &project, new).await;
    let created = created.map_err(|error| deployment_error(&error))?;
    area.changed(&created);
    Ok((StatusCode::CREATED, Json(created.into())))
}

/// List the deployments of a project, newest first.
#[utoipa::path(get, path = "/api/v1/deployments", params(ListDeployments), tag = "deployments",
    responses((status = 200, body = DeploymentList), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn list(
    Allow(by): Allow<may::DeploymentsRead>,
    State(area): State<Arc<DeploymentsArea>>,
    QueryString(query): QueryString<ListDeployments>,
) -> Result<Json<DeploymentList>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let cursor = query.cursor.map(Cursor::from_caller);
    let filter = DeploymentFilter {
        prompt: query.prompt_id,
        environment: query.environment,
        status: query.status,
    };
    let page = area.deployments.list(&by, &project, &filter, limit, cursor).await;
    let page = page.map_err(|error| deployment_error(&error))?;
    Ok(Json(DeploymentList {
        data: page.deployments.into_iter().map(DeploymentBody::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Show a deployment.
#[utoipa::path(get, path = "/api/v1/deployments/{id}", tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = DeploymentBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn show(
    Allow(by): Allow<may::DeploymentsRead>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<DeploymentBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let deployment = area.deployments.get(&by, &project, &id).await;
    Ok(Json(deployment.map_err(|error| deployment_error(&error))?.into()))
}

/// Show how a deployment stands: what was measured, what that says, and what it waits for.
#[utoipa::path(get, path = "/api/v1/deployments/{id}/status", tag = "deployments",
    params(OfProject, ("id" = String, Path, description = "the deployment's id")),
    responses((status = 200, body = DeploymentStatusBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn status(
    Allow(by): Allow<may::DeploymentsRead>,
    State(area): State<Arc<DeploymentsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<DeploymentStatusBody>, ApiError> {
    area.measured().await?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let standing = area.deployments.standing(&by, &project, &id, area.gatekeeper()).await;
    Ok(Json(standing.map_err(|error| deployment_error(&error))?.into()))
}
