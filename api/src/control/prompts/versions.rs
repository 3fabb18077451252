use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::ports::Cursor;
use diogenes_core::prompts::{self, PromptError, PromptMessage};
use diogenes_core::tenancy::{ProjectId, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::area::{PromptsArea, prompt_error};
use super::bodies::{PromptVersionBody, PushPrompt, PushedPrompt};
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, page_size, parse};
use crate::error::{ApiError, ErrorBody, ErrorKind};

/// The versions of a prompt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PromptHistory {
    /// Newest first.
    pub data: Vec<PromptVersionBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

/// The values that a version is to be rendered with.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderPrompt {
    #[serde(default)]
    #[schema(value_type = Object)]
    pub variables: Map<String, Value>,
}

/// What a version says with these values.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RenderedPrompt {
    pub slug: String,
    pub version: u32,
    pub messages: Vec<PromptMessage>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListVersions {
    /// The prompt's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Push a version of a prompt; the first one creates it. What the newest version says already makes no
/// new one.
#[utoipa::path(post, path = "/api/v1/prompts/{prompt}/versions", request_body = PushPrompt, tag = "prompts",
    params(OfProject, ("prompt" = String, Path, description = "the prompt's slug or id")),
    responses((status = 201, body = PushedPrompt), (status = 200, description = "no new version", body = PushedPrompt),
        (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn push(
    Allow(by): Allow<may::PromptsWrite>,
    State(area): State<Arc<PromptsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<PushPrompt>,
) -> Result<(StatusCode, Json<PushedPrompt>), ApiError> {
    let schema = body.default_config.output_schema.as_ref();
    if let Some(schema) = schema.filter(|schema| schema.is_object()) {
        check_schema(schema)?;
    }
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let pushed = area.prompts.push(&by, &project, &name, body.into()).await;
    let pushed = pushed.map_err(|error| prompt_error(&error))?;
    area.changed(&pushed.prompt);
    let status = if pushed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let (diffs, similarity) = match pushed.comparison {
        Some(comparison) => (comparison.differences, Some(comparison.similarity)),
        None => (Vec::new(), None),
    };
    let body = PushedPrompt {
        version: PromptVersionBody::of(&pushed.prompt, pushed.version),
        prompt: pushed.prompt.into(),
        is_new: pushed.is_new,
        diffs,
        semantic_similarity: similarity,
    };
    Ok((status, Json(body)))
}

fn check_schema(schema: &Value) -> Result<(), ApiError> {
    let refused = |problem: String| {
        ApiError::new(
            ErrorKind::InvalidRequest,
            format!("`default_config.output_schema` is not a JSON Schema: {problem}"),
        )
        .param("default_config.output_schema")
    };
    jsonschema::meta::validate(schema).map_err(|error| refused(error.to_string()))
}

/// List the versions of a prompt, newest first.
#[utoipa::path(get, path = "/api/v1/prompts/{prompt}/versions", tag = "prompts",
    params(ListVersions, ("prompt" = String, Path, description = "the prompt's slug or id")),
    responses((status = 200, body = PromptHistory), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn history(
    Allow(by): Allow<may::PromptsRead>,
    State(area): State<Arc<PromptsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<ListVersions>,
) -> Result<Json<PromptHistory>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.prompts.history(&by, &project, &name, limit, cursor).await;
    let page = page.map_err(|error| prompt_error(&error))?;
    let versions = page.versions.into_iter();
    Ok(Json(PromptHistory {
        data: versions.map(|version| PromptVersionBody::of(&page.prompt, version)).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Show one version of a prompt.
#[utoipa::path(get, path = "/api/v1/prompts/{prompt}/versions/{version}", tag = "prompts",
    params(OfProject, ("prompt" = String, Path, description = "the prompt's slug or id"),
        ("version" = String, Path, description = "`v2`, `latest` or a label")),
    responses((status = 200, body = PromptVersionBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn show_version(
    Allow(by): Allow<may::PromptsRead>,
    State(area): State<Arc<PromptsArea>>,
    PathOf((name, version)): PathOf<(String, String)>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<PromptVersionBody>, ApiError> {
    let version = parse("version", &version)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let found = area.prompts.version(&by, &project, &name, &version).await;
    let (prompt, version) = found.map_err(|error| prompt_error(&error))?;
    Ok(Json(PromptVersionBody::of(&prompt, version)))
}

/// Show what a version says with these values. No model is asked.
#[utoipa::path(post, path = "/api/v1/prompts/{prompt}/versions/{version}/render",
    request_body = RenderPrompt, tag = "prompts",
    params(OfProject, ("prompt" = String, Path, description = "the prompt's slug or id"),
        ("version" = String, Path, description = "`v2`, `latest` or a label")),
    responses((status = 200, body = RenderedPrompt), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn render(
    Allow(by): Allow<may::PromptsRead>,
    State(area): State<Arc<PromptsArea>>,
    PathOf((name, version)): PathOf<(String, String)>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<RenderPrompt>,
) -> Result<Json<RenderedPrompt>, ApiError> {
    let version = parse("version", &version)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let found = area.prompts.version(&by, &project, &name, &version).await;
    let (prompt, version) = found.map_err(|error| prompt_error(&error))?;
    let messages = prompts::render(&version.content, &body.variables).map_err(|problem| {
        let reference = format!("{}:v{}", prompt.slug, version.number);
        prompt_error(&PromptError::Render { reference, problem })
    })?;
    let (slug, version) = (prompt.slug.to_string(), version.number);
    Ok(Json(RenderedPrompt { slug, version, messages }))
}
