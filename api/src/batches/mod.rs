//! `/v1/files`, `/v1/uploads` and `/v1/batches`: OpenAI's, on models of the fleet and of providers.

mod files;
mod handlers;
mod lines;
mod load;
mod outputs;
mod paging;
mod progress;
mod runner;
mod uploads;
mod validation;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use diogenes_core::batches::{Batches, Uploads};

use crate::control::Entrance;
use crate::jobs::HttpJobs;

pub use files::{FileBody, FileDeleted, FileList};
pub(crate) use files::{STALL, blob_error, content_of, file_error};
pub use handlers::{BatchBody, BatchList, BatchUsage};
pub use runner::BatchRunner;
pub use uploads::{PartBody, UploadBody};

/// What the handlers of files and batches share.
pub struct BatchesArea {
    entrance: Entrance,
    batches: Batches,
    uploads: Uploads,
    /// What sends webhooks.
    webhooks: Option<Arc<HttpJobs>>,
}

impl BatchesArea {
    /// The area over these parts.
    pub fn new(entrance: Entrance, batches: Batches, uploads: Uploads) -> Self {
        Self { entrance, batches, uploads, webhooks: None }
    }

    /// Sends webhooks, to where `http` jobs may go.
    #[must_use]
    pub fn with_webhooks(self, webhooks: Arc<HttpJobs>) -> Self {
        Self { webhooks: Some(webhooks), ..self }
    }
}

impl AsRef<Entrance> for BatchesArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// The routes of files and batches.
pub(crate) fn router(area: Arc<BatchesArea>) -> Router {
    Router::new()
        .route("/v1/files", get(files::list).post(files::create))
        .route("/v1/files/{id}", get(files::show).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/uploads", post(uploads::create))
        .route("/v1/uploads/{id}/parts", post(uploads::add_part))
        .route("/v1/uploads/{id}/complete", post(uploads::complete))
        .route("/v1/uploads/{id}/cancel", post(uploads::cancel))
        .route("/v1/batches", get(handlers::list).post(handlers::create))
        .route("/v1/batches/{id}", get(handlers::show))
        .route("/v1/batches/{id}/cancel", post(handlers::cancel))
        .with_state(area)
}
