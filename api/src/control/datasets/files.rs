//! Files on their way into a dataset and out of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use diogenes_core::batches::{FilePurpose, FileRecord, MAX_FILE_NAME, NewFile};
use diogenes_core::jobs::Creator;
use diogenes_core::tenancy::{ProjectId, may};
use futures_util::StreamExt as _;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::area::{DatasetsArea, dataset_error};
use crate::batches::{FileBody, STALL, blob_error, content_of, file_error};
use crate::control::extract::{Allow, OfProject, PathOf, QueryString};
use crate::error::{ApiError, ErrorBody, ErrorKind};

/// The largest file, in bytes.
const MAX_IMPORT_BYTES: u64 = 16 << 30;
/// How long a file is kept that was sent for an import.
const LIFE: std::time::Duration = std::time::Duration::from_hours(7 * 24);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::control) struct SendFile {
    /// The dataset's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// What the file is called; its end tells its format.
    filename: String,
}

/// Send a file that is to be imported: the body is its content. It is a file of the project with the
/// purpose `evals`, and kept for a week.
#[utoipa::path(post, path = "/api/v1/datasets/{dataset}/files", tag = "datasets",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(SendFile, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 201, body = FileBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn send(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<SendFile>,
    request: Request,
) -> Result<(StatusCode, Json<FileBody>), ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let dataset = area.datasets.writable(&by, &project, &name).await;
    dataset.map_err(|error| dataset_error(&error))?;
    let length = query.filename.chars().count();
    if !(1..=MAX_FILE_NAME).contains(&length) || query.filename.chars().any(char::is_control) {
        let message = format!("`filename` must be 1 to {MAX_FILE_NAME} printable characters");
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("filename"));
    }
    let (id, key) = area.files.begin(&project).map_err(|error| ApiError::internal(&error))?;
    let room = area.files.room(&project, 1).await.map_err(|error| file_error(&error))?;
    let most = room.min(MAX_IMPORT_BYTES);
    let mut writer = area.files.blobs().writer(&key).await.map_err(|error| blob_error(&error))?;
    let mut pieces = request.into_body().into_data_stream();
    let mut size = 0;
    let received = async {
        loop {
            let incomplete = || {
                let message = "the file did not arrive whole; send it again";
                ApiError::new(ErrorKind::BodyIncomplete, message)
            };
            let piece = tokio::time::timeout(STALL, pieces.next()).await;
            let Some(piece) = piece.map_err(|_| incomplete())? else { return Ok(()) };
            let piece = piece.map_err(|_| incomplete())?;
            size += piece.len() as u64;
            if size > most {
                let message = format!("the file is larger than {most} bytes; split it");
                return Err(ApiError::new(ErrorKind::BodyTooLarge, message));
            }
            writer.write(&piece).await.map_err(|error| blob_error(&error))?;
        }
    };
    if let Err(error) = received.await {
        writer.abort().await;
        return Err(error);
    }
    let bytes = writer.finish().await.map_err(|error| blob_error(&error))?;
    let new = NewFile {
        id,
        project: project.clone(),
        purpose: FilePurpose::Evals,
        filename: query.filename,
        bytes,
        created_by: Creator::new(&by.subject, &by.key),
        life: Some(LIFE),
    };
    let file = area.datasets.uploaded(&by, &project, &name, area.files.record(new)).await;
    match file {
        Ok(file) => Ok((StatusCode::CREATED, Json(FileBody::of(file)))),
        Err(error) => {
            if !error.is_in_doubt() {
                area.files.give_up(&key).await;
            }
            Err(dataset_error(&error))
        }
    }
}

/// Get the content of a file of the project with the purpose `evals`: what an export has written, or
/// the rows that an import has rejected.
#[utoipa::path(get, path = "/api/v1/datasets/{dataset}/files/{file}", tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id"),
        ("file" = String, Path, description = "the file's id")),
    responses((status = 200, description = "the content", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn content(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf((name, file)): PathOf<(String, String)>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Response, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let dataset = area.datasets.get(&by, &project, &name).await;
    dataset.map_err(|error| dataset_error(&error))?;
    let file = evals_file(&area, &project, &file).await?;
    content_of(&area.files, file).await
}

/// A file of a project that is for datasets.
pub(super) async fn evals_file(
    area: &DatasetsArea,
    project: &ProjectId,
    id: &str,
) -> Result<FileRecord, ApiError> {
    let file = area.files.of_project(project, id).await.map_err(|error| file_error(&error))?;
    if file.purpose != FilePurpose::Evals {
        let message = format!("the file `{id}` is not for datasets: its purpose is not `evals`");
        return Err(ApiError::new(ErrorKind::FileNotFound, message).param("file"));
    }
    Ok(file)
}
