//! What the handlers of datasets share.

use diogenes_core::batches::Files;
use diogenes_core::datasets::{DatasetError, Datasets};
use diogenes_core::jobs::Jobs;
use diogenes_core::ports::BlobError;

use crate::batches::blob_error;
use crate::control::extract::Entrance;
use crate::error::{ApiError, ErrorKind, project_error, store_error};

/// What the handlers of datasets share.
pub struct DatasetsArea {
    entrance: Entrance,
    pub(super) datasets: Datasets,
    pub(super) files: Files,
    pub(super) jobs: Jobs,
}

impl DatasetsArea {
    /// The area over these services.
    pub fn new(entrance: Entrance, datasets: Datasets, files: Files, jobs: Jobs) -> Self {
        Self { entrance, datasets, files, jobs }
    }
}

impl AsRef<Entrance> for DatasetsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A failed call about datasets, as callers see it.
pub(in crate::control) fn dataset_error(error: &DatasetError) -> ApiError {
    let told = |kind| ApiError::new(kind, error.to_string());
    match error {
        DatasetError::NotFound(_) => told(ErrorKind::DatasetNotFound).param("dataset"),
        DatasetError::NoSnapshot { .. } => told(ErrorKind::SnapshotNotFound).param("snapshot"),
        DatasetError::NoExample { .. } => told(ErrorKind::ExampleNotFound).param("id"),
        DatasetError::Ambiguous { .. } => told(ErrorKind::InvalidRequest).param("snapshot"),
        DatasetError::Exists(_) => told(ErrorKind::Conflict).param("name"),
        DatasetError::Changed { .. } => told(ErrorKind::Conflict).param("after"),
        DatasetError::Full { .. } => told(ErrorKind::Conflict).param("examples"),
        DatasetError::Invalid(problem) => {
            told(ErrorKind::InvalidRequest).param(problem.field.clone())
        }
        DatasetError::Damaged { .. }
        | DatasetError::Blob(BlobError::NotFound { .. } | BlobError::Exists { .. }) => {
            ApiError::internal(error)
        }
        DatasetError::Blob(error) => blob_error(error),
        DatasetError::Project(error) => project_error(error).param("project"),
        DatasetError::Store(error) => store_error(error),
    }
}
