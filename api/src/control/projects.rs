use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::ports::Cursor;
use diogenes_core::tenancy::{InvalidProjectId, Project, ProjectId, Projects, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, JsonBody, PathOf, QueryString, page_size};
use crate::error::{ApiError, ErrorBody, ErrorKind, project_error};

/// What the handlers of projects share.
pub struct ProjectsArea {
    entrance: Entrance,
    projects: Projects,
}

impl ProjectsArea {
    /// The area over these parts.
    pub fn new(entrance: Entrance, projects: Projects) -> Self {
        Self { entrance, projects }
    }
}

impl AsRef<Entrance> for ProjectsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A project to create.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Lower-case letters, digits and hyphens; it cannot be changed.
    #[schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub id: ProjectId,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub description: String,
}

/// A project: what keys belong to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProjectBody {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ProjectId,
    /// What it is for.
    pub description: String,
    /// `active` or `archived`.
    pub status: String,
    /// When it was created; null for `default`, which always exists.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// Since when its keys are refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub archived_at: Option<Timestamp>,
}

impl From<Project> for ProjectBody {
    fn from(project: Project) -> Self {
        let status = if project.archived_at.is_some() { "archived" } else { "active" };
        Self {
            id: project.id,
            description: project.description,
            status: status.into(),
            created_at: project.created_at,
            archived_at: project.archived_at,
        }
    }
}

/// A page of projects.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProjectPage {
    /// The projects, `default` first, the others by id.
    pub data: Vec<ProjectBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListProjects {
    /// Rows of the page, 1 to 500; 50 when absent. A page may be shorter.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Create a project.
#[utoipa::path(post, path = "/api/v1/projects", request_body = CreateProject, tag = "projects",
    responses((status = 201, body = ProjectBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    Allow(by): Allow<may::ProjectsWrite>,
    State(area): State<Arc<ProjectsArea>>,
    JsonBody(body): JsonBody<CreateProject>,
) -> Result<(StatusCode, Json<ProjectBody>), ApiError> {
    let created = area.projects.create(&by, body.id, body.description).await;
    let project = created.map_err(|error| project_error(&error))?;
    Ok((StatusCode::CREATED, Json(project.into())))
}

/// List the projects: all of them, or only the caller's own.
#[utoipa::path(get, path = "/api/v1/projects", params(ListProjects), tag = "projects",
    responses((status = 200, body = ProjectPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::ProjectsRead>,
    State(area): State<Arc<ProjectsArea>>,
    QueryString(query): QueryString<ListProjects>,
) -> Result<Json<ProjectPage>, ApiError> {
    let limit = page_size(query.limit)?;
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.projects.list(&by, limit, cursor).await;
    let page = page.map_err(|error| project_error(&error))?;
    Ok(Json(ProjectPage {
        data: page.projects.into_iter().map(ProjectBody::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Show a project.
#[utoipa::path(get, path = "/api/v1/projects/{id}", tag = "projects",
    params(("id" = String, Path, description = "the project's id")),
    responses((status = 200, body = ProjectBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    Allow(by): Allow<may::ProjectsRead>,
    State(area): State<Arc<ProjectsArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<ProjectBody>, ApiError> {
    let project = area.projects.get(&by, &parse(&id)?).await;
    Ok(Json(project.map_err(|error| project_error(&error))?.into()))
}

/// Archive a project: its keys are refused from now on, and it takes no new ones.
#[utoipa::path(post, path = "/api/v1/projects/{id}/archive", tag = "projects",
    params(("id" = String, Path, description = "the project's id")),
    responses((status = 200, body = ProjectBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn archive(
    Allow(by): Allow<may::ProjectsWrite>,
    State(area): State<Arc<ProjectsArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<ProjectBody>, ApiError> {
    let id = parse(&id)?;
    let archived = area.projects.archive(&by, &id).await;
    area.entrance.authenticator.forget_project(&id);
    Ok(Json(archived.map_err(|error| project_error(&error))?.into()))
}

/// The id in a path. Text that is not an id names no project.
fn parse(id: &str) -> Result<ProjectId, ApiError> {
    id.parse().map_err(|error: InvalidProjectId| {
        ApiError::new(ErrorKind::ProjectNotFound, error.to_string()).param("id")
    })
}
