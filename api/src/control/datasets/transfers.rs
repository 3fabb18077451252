//! Imports and exports, which are jobs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::datasets::{Dataset, EXPORT, IMPORT, TransferError};
use diogenes_core::jobs::{Creator, NewJob};
use diogenes_core::tenancy::{ProjectId, may};
use diogenes_formats::{Encoding, Format, Mapping};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::area::{DatasetsArea, dataset_error};
use super::examples::reference;
use super::files::evals_file;
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, parse};
use crate::control::jobs::{JobBody, job_error};
use crate::datasets::{ExportArguments, ImportArguments, OnError};
use crate::error::{ApiError, ErrorBody, ErrorKind};

/// What is to be imported, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportExamples {
    /// The id of a file of the project with the purpose `evals`.
    pub file: String,
    /// `csv`, `jsonl` or `parquet`; what the name of the file tells when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Which column goes where, such as `input=question`; without any, columns are called as in
    /// examples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub map: Vec<String>,
    /// The encoding of the characters, such as `latin1` or `utf-16le`; it is told from the beginning
    /// of the file when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// What stands between the fields of CSV, one character; told from the first line when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// `fail` imports nothing if a row is not an example; `skip` leaves such rows out, and writes them
    /// to a file. `fail` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<String>,
    /// Leave out examples whose input and expected answer are there already.
    #[serde(default)]
    pub skip_duplicates: bool,
}

/// What is to be exported, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportExamples {
    /// `csv`, `jsonl` or `parquet`; `jsonl` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `latest`, a number such as `v2`, or the first digits of a digest; `latest` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

/// Import a file into a dataset: a job, whose end tells what came of it.
#[utoipa::path(post, path = "/api/v1/datasets/{dataset}/import", request_body = ImportExamples, tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 202, body = JobBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn import(
    Allow(by): Allow<may::DatasetsWrite>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<ImportExamples>,
) -> Result<(StatusCode, Json<JobBody>), ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let dataset = area.datasets.writable(&by, &project, &name).await;
    let dataset = dataset.map_err(|error| dataset_error(&error))?;
    let file = evals_file(&area, &project, &body.file).await?;
    let invalid = |field: &str, problem: String| {
        ApiError::new(ErrorKind::InvalidRequest, problem).param(field)
    };
    let format = match &body.format {
        Some(text) => parse("format", text)?,
        None => Format::of_name(&file.filename).ok_or_else(|| {
            let problem = format!(
                "the name `{}` does not tell the format; give `format`: `csv`, `jsonl` or `parquet`",
                file.filename
            );
            invalid("format", problem)
        })?,
    };
    let encoding = body.encoding.as_deref().map(|text| parse::<Encoding>("encoding", text));
    let encoding = encoding.transpose()?.map(|encoding| encoding.to_string());
    let delimiter = match body.delimiter.as_deref().map(str::as_bytes) {
        None => None,
        Some(&[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Some(byte),
        Some(_) => {
            let problem = "`delimiter` must be one ASCII character, and no quotation mark";
            return Err(invalid("delimiter", problem.into()));
        }
    };
    let map = Mapping::try_from(body.map).map_err(|error| invalid("map", error.to_string()))?;
    let on_error = match body.on_error.as_deref() {
        None | Some("fail") => OnError::Fail,
        Some("skip") => OnError::Skip,
        Some(_) => return Err(invalid("on_error", "`on_error` must be `fail` or `skip`".into())),
    };
    let arguments = ImportArguments {
        dataset: dataset.id.clone(),
        file: file.id,
        filename: file.filename,
        format,
        encoding,
        delimiter,
        map,
        on_error,
        skip_duplicates: body.skip_duplicates,
    };
    let creator = Creator::new(&by.subject, &by.key);
    let new = NewJob::new(project.clone(), IMPORT, json!(arguments), creator);
    let job = area.datasets.enqueue_import(&by, &dataset, &area.jobs, of_dataset(new, &dataset));
    let job = job.await.map_err(|error| transfer_error(&error))?;
    let now = area.datasets.now();
    Ok((StatusCode::ACCEPTED, Json(JobBody::of(job, Some(json!(arguments)), now))))
}

/// Export a snapshot of a dataset to a file: a job, whose end tells the id of the file.
#[utoipa::path(post, path = "/api/v1/datasets/{dataset}/export", request_body = ExportExamples, tag = "datasets",
    params(OfProject, ("dataset" = String, Path, description = "the dataset's name or id")),
    responses((status = 202, body = JobBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn export(
    Allow(by): Allow<may::DatasetsRead>,
    State(area): State<Arc<DatasetsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<ExportExamples>,
) -> Result<(StatusCode, Json<JobBody>), ApiError> {
    let project: ProjectId = query.project.unwrap_or_else(|| by.project.clone());
    let format = body.format.as_deref().map(|text| parse("format", text)).transpose()?;
    let reference = reference(&name, body.snapshot.as_deref())?;
    let snapshot = area.datasets.resolve(&by, &project, &reference).await;
    let snapshot = snapshot.map_err(|error| dataset_error(&error))?;
    let dataset = area.datasets.get(&by, &project, &name).await;
    let dataset = dataset.map_err(|error| dataset_error(&error))?;
    let arguments = ExportArguments { snapshot, format: format.unwrap_or(Format::Jsonl) };
    let creator = Creator::new(&by.subject, &by.key);
    let new = NewJob::new(project.clone(), EXPORT, json!(arguments), creator);
    let job = area.datasets.enqueue_export(&by, &dataset, &area.jobs, of_dataset(new, &dataset));
    let job = job.await.map_err(|error| transfer_error(&error))?;
    let now = area.datasets.now();
    Ok((StatusCode::ACCEPTED, Json(JobBody::of(job, Some(json!(arguments)), now))))
}

/// The job with a tag that tells whose it is.
fn of_dataset(mut new: NewJob, dataset: &Dataset) -> NewJob {
    new.tags.insert("dataset".into(), dataset.name.to_string());
    new
}

fn transfer_error(error: &TransferError) -> ApiError {
    match error {
        TransferError::Dataset(error) => dataset_error(error),
        TransferError::Job(error) => job_error(error),
    }
}
