use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::evals::NewEval;
use diogenes_core::evals::evaluators::EvaluatorType;
use diogenes_core::ports::Cursor;
use diogenes_core::tenancy::{ProjectId, may};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::area::{EvalsArea, eval_error};
use super::bodies::{EvalBody, EvalList, EvalResultBody, EvalResultPage, EvaluatorList};
use super::create::CreateEval;
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, page_size};
use crate::error::{ApiError, ErrorBody};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListEvals {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListResults {
    /// The run's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Only those that did not pass.
    failed_only: Option<bool>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Create a run in the caller's project, and begin with it.
#[utoipa::path(post, path = "/api/v1/evals", request_body = CreateEval, tag = "evals",
    responses((status = 201, body = EvalBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn create(
    Allow(by): Allow<may::EvalsWrite>,
    State(area): State<Arc<EvalsArea>>,
    JsonBody(body): JsonBody<CreateEval>,
) -> Result<(StatusCode, Json<EvalBody>), ApiError> {
    let new = NewEval::try_from(body)?;
    let name = new.name.clone();
    let draft = area.draft(&by, new).await?;
    let run = area.evals.create(&by, name, draft).await;
    let run = run.map_err(|error| eval_error(&error))?;
    Ok((StatusCode::CREATED, Json(run.into())))
}

/// List the runs of a project, newest first.
#[utoipa::path(get, path = "/api/v1/evals", params(ListEvals), tag = "evals",
    responses((status = 200, body = EvalList), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn list(
    Allow(by): Allow<may::EvalsRead>,
    State(area): State<Arc<EvalsArea>>,
    QueryString(query): QueryString<ListEvals>,
) -> Result<Json<EvalList>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.evals.list(&by, &project, limit, cursor).await;
    let page = page.map_err(|error| eval_error(&error))?;
    Ok(Json(EvalList {
        data: page.runs.into_iter().map(EvalBody::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Show a run: how far it is, and what its results say so far.
#[utoipa::path(get, path = "/api/v1/evals/{id}", tag = "evals",
    params(OfProject, ("id" = String, Path, description = "the run's id")),
    responses((status = 200, body = EvalBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn show(
    Allow(by): Allow<may::EvalsRead>,
    State(area): State<Arc<EvalsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<EvalBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let run = area.evals.get(&by, &project, &id).await;
    Ok(Json(run.map_err(|error| eval_error(&error))?.into()))
}

/// Ask for the end of a run. What was answered is kept.
#[utoipa::path(post, path = "/api/v1/evals/{id}/cancel", tag = "evals",
    params(OfProject, ("id" = String, Path, description = "the run's id")),
    responses((status = 200, body = EvalBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn cancel(
    Allow(by): Allow<may::EvalsWrite>,
    State(area): State<Arc<EvalsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<EvalBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let run = area.evals.cancel(&by, &project, &id).await;
    Ok(Json(run.map_err(|error| eval_error(&error))?.into()))
}

/// List the results of a run in the order of its examples, also while it is under way.
#[utoipa::path(get, path = "/api/v1/evals/{id}/results", tag = "evals",
    params(ListResults, ("id" = String, Path, description = "the run's id")),
    responses((status = 200, body = EvalResultPage), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn results(
    Allow(by): Allow<may::EvalsRead>,
    State(area): State<Arc<EvalsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<ListResults>,
) -> Result<Json<EvalResultPage>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let cursor = query.cursor.map(Cursor::from_caller);
    let failed_only = query.failed_only.unwrap_or_default();
    let page = area.evals.results(&by, &project, &id, failed_only, limit, cursor).await;
    let page = page.map_err(|error| eval_error(&error))?;
    let results = page.results.into_iter();
    Ok(Json(EvalResultPage {
        data: results.map(|result| EvalResultBody::of(&page.run, result)).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// List the types of evaluators, and what they take.
#[utoipa::path(get, path = "/api/v1/evals/evaluators", tag = "evals",
    responses((status = 200, body = EvaluatorList), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn evaluators(
    _: Allow<may::EvalsRead>,
    State(_): State<Arc<EvalsArea>>,
) -> Json<EvaluatorList> {
    Json(EvaluatorList { data: EvaluatorType::ALL.map(EvaluatorType::info).into() })
}
