//! The routes of the function that answers for datasets. Imports and exports are jobs, which another
//! function does.

use std::sync::Arc;

use axum::Router;
use diogenes_api::control::DatasetsArea;
use diogenes_core::ports::{Blobs, Wake};

use crate::http_functions::entrance;
use crate::services;
use crate::start::Base;

/// The routes of datasets over the store of `base` and these blobs; `wake` wakes the workers of imports
/// and exports.
pub fn routes(base: &Base, blobs: Arc<dyn Blobs>, wake: Arc<dyn Wake>) -> Router {
    let files = services::files(base, blobs.clone());
    let datasets = services::datasets(base, blobs);
    let area = DatasetsArea::new(entrance(base), datasets, files, services::jobs(base, wake));
    diogenes_api::datasets_router(Arc::new(area))
}
