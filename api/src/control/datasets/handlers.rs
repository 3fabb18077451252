use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::datasets::DatasetFilter;
use diogenes_core::ports::Cursor;
use diogenes_core::tenancy::{ProjectId, may};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::area::{DatasetsArea, dataset_error};
use super::bodies::{CreateDataset, DatasetBody, DatasetList, UpdateDataset};
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, page_size, parse};
use crate::error::{ApiError, ErrorBody};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListDatasets {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Only those with this text in name or description.
    search: Option<String>,
    /// Only those with all of these tags, which commas separate.
    tags: Option<String>,
    /// Only those that are for the prompt of this slug.
    prompt: Option<String>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// List the datasets of a project, by their names.
#[utoipa::path(get, path = "/api/v1/datasets", params(ListDatasets), tag = "datasets",
    responses((status = 200, body = DatasetList), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn list(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    QueryString(query): QueryString<ListDatasets>,
) -> Result<Json<DatasetList>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let tags = query.tags.unwrap_or_default();
    let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let tags = tags.map(str::to_owned).collect();
    let filter = DatasetFilter { search: query.search, tags, prompt: query.prompt };
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.datasets.list(&by, &project, &filter, limit, cursor).await;
    let page = page.map_err(|error| dataset_error(&error))?;
    Ok(Json(DatasetList {
        data: page.datasets.into_iter().map(DatasetBody::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Create a dataset without examples.
#[utoipa::path(post, path = "/api/v1/datasets", params(OfProject), request_body = CreateDataset, tag = "datasets",
    responses((status = 201, body = DatasetBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn create(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<CreateDataset>,
) -> Result<(StatusCode, Json<DatasetBody>), ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let name = parse("name", &body.name)?;
    let dataset = area.datasets.create(&by, &project, &name, body.wanted()).await;
    let dataset = dataset.map_err(|error| dataset_error(&error))?;
    Ok((StatusCode::CREATED, Json(dataset.into())))
}

/// Show a dataset.
#[utoipa::path(get, path = "/api/v1/datasets/{dataset}", tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 200, body = DatasetBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn show(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<DatasetBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let dataset = area.datasets.get(&by, &project, &name).await;
    Ok(Json(dataset.map_err(|error| dataset_error(&error))?.into()))
}

/// Change what stands beside the examples of a dataset.
#[utoipa::path(patch, path = "/api/v1/datasets/{dataset}", request_body = UpdateDataset, tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 200, body = DatasetBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn update(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<UpdateDataset>,
) -> Result<Json<DatasetBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let dataset = area.datasets.update(&by, &project, &name, &body.into()).await;
    Ok(Json(dataset.map_err(|error| dataset_error(&error))?.into()))
}

/// Delete a dataset with all its snapshots, for good.
#[utoipa::path(delete, path = "/api/v1/datasets/{dataset}", tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 200, body = DatasetBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn delete(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<DatasetBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let dataset = area.datasets.delete(&by, &project, &name).await;
    Ok(Json(dataset.map_err(|error| dataset_error(&error))?.into()))
}
