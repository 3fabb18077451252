use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::ports::Cursor;
use diogenes_core::prompts::{OrderBy, PromptFilter, PromptStatus};
use diogenes_core::tenancy::{ProjectId, may};
use serde::Deserialize;
use utoipa::IntoParams;

use super::area::{PromptsArea, prompt_error};
use super::bodies::{PromptBody, PromptList, UpdatePrompt};
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, page_size, parse};
use crate::error::{ApiError, ErrorBody};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListPrompts {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Only those with this text in slug, name or description.
    search: Option<String>,
    /// Only those with all of these tags, which commas separate.
    tags: Option<String>,
    /// Only those with this status; all but the archived when absent.
    #[param(value_type = Option<String>, pattern = "^(draft|active|deprecated|archived)$")]
    status: Option<PromptStatus>,
    /// `slug`, `name`, `created_at` or `updated_at`; `slug` when absent.
    #[param(pattern = "^(slug|name|created_at|updated_at)$")]
    order_by: Option<String>,
    /// The last of the order first.
    descending: Option<bool>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page, which must be of the same order.
    cursor: Option<String>,
}

/// List the prompts of a project.
#[utoipa::path(get, path = "/api/v1/prompts", params(ListPrompts), tag = "prompts",
    responses((status = 200, body = PromptList), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn list(
    Allow(by): Allow<may::PromptsRead>,
    State(area): State<Arc<PromptsArea>>,
    QueryString(query): QueryString<ListPrompts>,
) -> Result<Json<PromptList>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let order_by = match query.order_by {
        None => OrderBy::default(),
        Some(text) => parse("order_by", &text)?,
    };
    let tags = query.tags.unwrap_or_default();
    let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let filter = PromptFilter {
        search: query.search,
        tags: tags.map(str::to_owned).collect(),
        status: query.status,
        order_by,
        descending: query.descending.unwrap_or(false),
    };
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.prompts.list(&by, &project, &filter, limit, cursor).await;
    let page = page.map_err(|error| prompt_error(&error))?;
    Ok(Json(PromptList {
        data: page.prompts.into_iter().map(PromptBody::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Show a prompt.
#[utoipa::path(get, path = "/api/v1/prompts/{prompt}", tag = "prompts",
    params(OfProject, ("prompt" = String, Path, description = "the prompt's slug or id")),
    responses((status = 200, body = PromptBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn show(
    Allow(by): Allow<may::PromptsRead>,
    State(area): State<Arc<PromptsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<PromptBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let prompt = area.prompts.get(&by, &project, &name).await;
    Ok(Json(prompt.map_err(|error| prompt_error(&error))?.into()))
}

/// Change what stands beside the versions of a prompt; archive or restore it.
#[utoipa::path(patch, path = "/api/v1/prompts/{prompt}", request_body = UpdatePrompt, tag = "prompts",
    params(OfProject, ("prompt" = String, Path, description = "the prompt's slug or id")),
    responses((status = 200, body = PromptBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn update(
    Allow(by): Allow<may::PromptsWrite>,
    State(area): State<Arc<PromptsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<UpdatePrompt>,
) -> Result<Json<PromptBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let prompt = area.prompts.update(&by, &project, &name, &body.into()).await;
    let prompt = prompt.map_err(|error| prompt_error(&error))?;
    area.changed(&prompt);
    Ok(Json(prompt.into()))
}

/// Delete an archived prompt with all its versions, for good.
#[utoipa::path(delete, path = "/api/v1/prompts/{prompt}", tag = "prompts",
    params(OfProject, ("prompt" = String, Path, description = "the prompt's slug or id")),
    responses((status = 200, body = PromptBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn delete(
    Allow(by): Allow<may::PromptsWrite>,
    State(area): State<Arc<PromptsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<PromptBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let prompt = area.prompts.delete(&by, &project, &name).await;
    let prompt = prompt.map_err(|error| prompt_error(&error))?;
    area.changed(&prompt);
    Ok(Json(prompt.into()))
}
