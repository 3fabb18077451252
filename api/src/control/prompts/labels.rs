use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::prompts::LabelMove;
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::area::{PromptsArea, prompt_error};
use super::bodies::PromptBody;
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, parse};
use crate::error::{ApiError, ErrorBody};

/// Where a label is to stand.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutLabel {
    /// The version that gets it: `v2`, `latest` or another label.
    pub version: String,
    /// Where the caller believes it to be, 0 for nowhere: if it stands elsewhere, it stays there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
    /// Why, for the audit log and those who look at the prompt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct RemoveLabel {
    /// The prompt's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// Let a label stand at a version. Requests follow within five seconds.
#[utoipa::path(put, path = "/api/v1/prompts/{prompt}/labels/{label}", request_body = PutLabel, tag = "prompts",
    params(OfProject, ("prompt" = String, Path, description = "the prompt's slug or id"),
        ("label" = String, Path, description = "the label")),
    responses((status = 200, body = PromptBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn put_label(
    Allow(by): Allow<may::PromptsWrite>,
    State(area): State<Arc<PromptsArea>>,
    PathOf((name, label)): PathOf<(String, String)>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<PutLabel>,
) -> Result<Json<PromptBody>, ApiError> {
    let wanted = LabelMove {
        label: parse("label", &label)?,
        to: Some(parse("version", &body.version)?),
        from: body.from,
        reason: body.reason,
    };
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let prompt = area.prompts.move_label(&by, &project, &name, &wanted).await;
    let prompt = prompt.map_err(|error| prompt_error(&error))?;
    area.changed(&prompt);
    Ok(Json(prompt.into()))
}

/// Take a label away.
#[utoipa::path(delete, path = "/api/v1/prompts/{prompt}/labels/{label}", tag = "prompts",
    params(RemoveLabel, ("prompt" = String, Path, description = "the prompt's slug or id"),
        ("label" = String, Path, description = "the label")),
    responses((status = 200, body = PromptBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn remove_label(
    Allow(by): Allow<may::PromptsWrite>,
    State(area): State<Arc<PromptsArea>>,
    PathOf((name, label)): PathOf<(String, String)>,
    QueryString(query): QueryString<RemoveLabel>,
) -> Result<Json<PromptBody>, ApiError> {
    let wanted = LabelMove {
        label: parse("label", &label)?,
        to: None,
        from: None,
        reason: query.reason.unwrap_or_default(),
    };
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let prompt = area.prompts.move_label(&by, &project, &name, &wanted).await;
    let prompt = prompt.map_err(|error| prompt_error(&error))?;
    area.changed(&prompt);
    Ok(Json(prompt.into()))
}
