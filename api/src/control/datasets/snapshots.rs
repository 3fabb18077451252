use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::datasets::{Example, ExampleChange, compare as compared};
use diogenes_core::ports::Cursor;
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::area::{DatasetsArea, dataset_error};
use super::bodies::{SnapshotBody, SnapshotList};
use super::examples::reference;
use crate::control::extract::{Allow, OfProject, PathOf, QueryString, page_size};
use crate::error::{ApiError, ErrorBody};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct ListSnapshots {
    /// The dataset's project; the caller's own when absent.
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
pub(in crate::control) struct CompareSnapshots {
    /// The dataset's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// The one snapshot.
    from: String,
    /// The other one; `latest` when absent.
    to: Option<String>,
    /// How many differences are shown, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// What is different between two snapshots.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotComparison {
    pub from: SnapshotBody,
    pub to: SnapshotBody,
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    /// The first of them, in the order of their ids.
    pub changes: Vec<ExampleChangeBody>,
}

/// What happened to an example.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExampleChangeBody {
    pub id: String,
    /// The example as it was; null where it is new.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Example>,
    /// The example as it is; null where it was removed.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Example>,
}

impl From<ExampleChange> for ExampleChangeBody {
    fn from(change: ExampleChange) -> Self {
        let (id, before, after) = match change {
            ExampleChange::Added(after) => (after.id, None, Some(after)),
            ExampleChange::Removed(before) => (before.id, Some(before), None),
            ExampleChange::Changed { before, after } => (after.id, Some(*before), Some(*after)),
        };
        Self { id: id.to_string(), before, after }
    }
}

/// List the snapshots of a dataset, newest first.
#[utoipa::path(get, path = "/api/v1/datasets/{dataset}/snapshots", tag = "datasets",
    params(ListSnapshots, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 200, body = SnapshotList), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn list(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<ListSnapshots>,
) -> Result<Json<SnapshotList>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.datasets.snapshots(&by, &project, &name, limit, cursor).await;
    let page = page.map_err(|error| dataset_error(&error))?;
    let snapshots = page.snapshots.into_iter();
    Ok(Json(SnapshotList {
        data: snapshots.map(|snapshot| SnapshotBody::of(snapshot, None)).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Show a snapshot, and what its examples look like.
#[utoipa::path(get, path = "/api/v1/datasets/{dataset}/snapshots/{snapshot}", tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id"),
        ("snapshot" = String, Path, description = "`latest`, `v2`, or the first digits of its digest")),
    responses((status = 200, body = SnapshotBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn show(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf((name, snapshot)): PathOf<(String, String)>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<SnapshotBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let reference = reference(&name, Some(&snapshot))?;
    let snapshot = area.datasets.resolve(&by, &project, &reference).await;
    let snapshot = snapshot.map_err(|error| dataset_error(&error))?;
    let reader = area.datasets.open(&snapshot).await.map_err(|error| dataset_error(&error))?;
    Ok(Json(SnapshotBody::of(snapshot, Some(reader.schema()))))
}

/// Show what is different between two snapshots of a dataset.
#[utoipa::path(get, path = "/api/v1/datasets/{dataset}/compare", tag = "datasets",
    params(CompareSnapshots, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 200, body = SnapshotComparison), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn compare(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<CompareSnapshots>,
) -> Result<Json<SnapshotComparison>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let mut readers = Vec::with_capacity(2);
    for (field, text) in [("from", Some(query.from.as_str())), ("to", query.to.as_deref())] {
        let reference = reference(&name, text).map_err(|error| error.param(field))?;
        let snapshot = area.datasets.resolve(&by, &project, &reference).await;
        let snapshot = snapshot.map_err(|error| dataset_error(&error).param(field))?;
        let reader = area.datasets.open(&snapshot).await;
        readers.push(reader.map_err(|error| dataset_error(&error))?);
    }
    let [from, to] = &readers[..] else {
        return Err(ApiError::internal(&std::fmt::Error));
    };
    let diff = compared(from, to, limit).await.map_err(|error| dataset_error(&error))?;
    Ok(Json(SnapshotComparison {
        from: SnapshotBody::of(from.snapshot().clone(), None),
        to: SnapshotBody::of(to.snapshot().clone(), None),
        added: diff.added,
        removed: diff.removed,
        changed: diff.changed,
        changes: diff.changes.into_iter().map(ExampleChangeBody::from).collect(),
    }))
}
