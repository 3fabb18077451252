use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::datasets::{
    DatasetRef, Example, ExampleContent, ExampleFilter, ExampleId, NewExamples, Sample,
};
use diogenes_core::tenancy::{ProjectId, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::area::{DatasetsArea, dataset_error};
use super::bodies::DatasetBody;
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, page_size, parse};
use crate::error::{ApiError, ErrorBody, ErrorKind};

/// A page of examples.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExampleList {
    /// In the order in which they were added, unless they were shuffled.
    #[schema(value_type = Vec<Object>)]
    pub data: Vec<Example>,
    /// The snapshot that they are of.
    pub version: u32,
    pub digest: String,
    /// Where the next page starts; null on the last page. A page may be short, even empty, where many
    /// examples do not pass the filters.
    pub next_cursor: Option<String>,
}

/// Examples that are to be added.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddExamples {
    pub examples: Vec<ExampleContent>,
    /// Leave out those whose input and expected answer are there already.
    #[serde(default)]
    pub skip_duplicates: bool,
    /// The number of the newest snapshot that the caller knows of: if there is a newer one, nothing is
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
}

/// What came of an addition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AddedExamples {
    pub dataset: DatasetBody,
    /// Those that were added, in the order of the request.
    #[schema(value_type = Vec<String>)]
    pub ids: Vec<ExampleId>,
    /// How many were left out, as they are there already.
    pub duplicates: usize,
}

/// Examples that are to be removed: all of them or, where one does not exist, none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveExamples {
    pub ids: Vec<String>,
    /// The number of the newest snapshot that the caller knows of: if there is a newer one, nothing is
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListExamples {
    /// The dataset's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// `latest`, a number such as `v2`, or the first digits of a digest; `latest` when absent.
    snapshot: Option<String>,
    /// Only those with all of these tags, which commas separate.
    tags: Option<String>,
    /// Only those of this split.
    split: Option<String>,
    /// Only those with this text in input, expected answer or metadata, in whatever case.
    search: Option<String>,
    /// So many of those that pass, drawn at random; they are all on one page.
    #[param(minimum = 1, maximum = 500)]
    sample: Option<usize>,
    /// All of them in random order.
    shuffle: Option<bool>,
    /// The same seed draws and shuffles the same; 0 when absent.
    seed: Option<u64>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page, whose filters and seed must be the same.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ShowExample {
    /// The dataset's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// `latest`, a number such as `v2`, or the first digits of a digest; `latest` when absent.
    snapshot: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ChangeExample {
    /// The dataset's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// The number of the newest snapshot that the caller knows of: if there is a newer one, nothing is
    /// written.
    after: Option<u32>,
}

/// The snapshot that a path and a query name.
pub(super) fn reference(dataset: &str, snapshot: Option<&str>) -> Result<DatasetRef, ApiError> {
    let named: DatasetRef = parse("dataset", dataset)?;
    let snapshot = snapshot.map(|text| parse("snapshot", text)).transpose()?;
    Ok(DatasetRef { dataset: dataset.to_owned(), snapshot: snapshot.unwrap_or(named.snapshot) })
}

/// List the examples of a dataset, or some of them.
#[utoipa::path(get, path = "/api/v1/datasets/{dataset}/examples", tag = "datasets",
    params(ListExamples, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 200, body = ExampleList), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn list(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<ListExamples>,
) -> Result<Json<ExampleList>, ApiError> {
    let limit = page_size(query.limit)?;
    let invalid = |field: &str, problem: &str| {
        Err(ApiError::new(ErrorKind::InvalidRequest, format!("`{field}` {problem}")).param(field))
    };
    let seed = query.seed.unwrap_or_default();
    let sample = match (query.sample, query.shuffle.unwrap_or(false)) {
        (Some(_), _) if query.cursor.is_some() => {
            return invalid("cursor", "does not go with `sample`, which is one page");
        }
        (Some(count @ 1..=500), _) => Sample::Some { count, seed },
        (Some(_), _) => return invalid("sample", "must be 1 to 500"),
        (None, true) => Sample::Shuffled { seed },
        (None, false) => Sample::All,
    };
    let tags = query.tags.unwrap_or_default();
    let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let filter = ExampleFilter {
        tags: tags.map(str::to_owned).collect(),
        split: query.split,
        search: query.search,
    };
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let reference = reference(&name, query.snapshot.as_deref())?;
    let snapshot = area.datasets.resolve(&by, &project, &reference).await;
    let snapshot = snapshot.map_err(|error| dataset_error(&error))?;
    let reader = area.datasets.open(&snapshot).await.map_err(|error| dataset_error(&error))?;
    let page = reader.page(&filter, sample, limit, query.cursor.as_deref()).await;
    let page = page.map_err(|error| dataset_error(&error))?;
    Ok(Json(ExampleList {
        data: page.examples,
        version: snapshot.number,
        digest: snapshot.digest.to_string(),
        next_cursor: page.next,
    }))
}

/// Add examples to a dataset.
#[utoipa::path(post, path = "/api/v1/datasets/{dataset}/examples", request_body = AddExamples, tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 201, body = AddedExamples), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn add(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<AddExamples>,
) -> Result<(StatusCode, Json<AddedExamples>), ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let AddExamples { examples, skip_duplicates, after } = body;
    let new = NewExamples { examples, skip_duplicates, after };
    let added = area.datasets.add(&by, &project, &name, new).await;
    let added = added.map_err(|error| dataset_error(&error))?;
    let body = AddedExamples {
        dataset: added.dataset.into(),
        ids: added.ids,
        duplicates: added.duplicates,
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Remove examples from a dataset: all of them or, where one does not exist, none.
#[utoipa::path(post, path = "/api/v1/datasets/{dataset}/examples/remove", request_body = RemoveExamples, tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 200, body = DatasetBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn remove(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<RemoveExamples>,
) -> Result<Json<DatasetBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let ids = body.ids.iter().enumerate();
    let ids = ids.map(|(index, id)| parse::<ExampleId>(&format!("ids[{index}]"), id));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let dataset = area.datasets.remove(&by, &project, &name, &ids, body.after).await;
    Ok(Json(dataset.map_err(|error| dataset_error(&error))?.into()))
}

/// Show an example.
#[utoipa::path(get, path = "/api/v1/datasets/{dataset}/examples/{example}", tag = "datasets",
    params(ShowExample, ("dataset" = String, Path, description = "the dataset's name or id"),
        ("example" = String, Path, description = "the example's id")),
    responses((status = 200, body = Object), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn show(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf((name, id)): PathOf<(String, String)>,
    QueryString(query): QueryString<ShowExample>,
) -> Result<Json<Example>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let reference = reference(&name, query.snapshot.as_deref())?;
    let example = area.datasets.example(&by, &project, &reference, parse("example", &id)?).await;
    Ok(Json(example.map_err(|error| dataset_error(&error))?))
}

/// Give an example another content. It keeps its id and its place.
#[utoipa::path(put, path = "/api/v1/datasets/{dataset}/examples/{example}", request_body = ExampleContent, tag = "datasets",
    params(ChangeExample, ("dataset" = String, Path, description = "the dataset's name or id"),
        ("example" = String, Path, description = "the example's id")),
    responses((status = 200, body = DatasetBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn replace(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf((name, id)): PathOf<(String, String)>,
    QueryString(query): QueryString<ChangeExample>,
    JsonBody(body): JsonBody<ExampleContent>,
) -> Result<Json<DatasetBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let id = parse("example", &id)?;
    let dataset = area.datasets.replace(&by, &project, &name, id, body, query.after).await;
    Ok(Json(dataset.map_err(|error| dataset_error(&error))?.into()))
}
