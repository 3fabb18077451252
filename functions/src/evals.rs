//! The routes of the function that answers for evals. Runs are jobs, which another function does.

use std::sync::Arc;

use axum::Router;
use diogenes_api::control::EvalsArea;
use diogenes_core::ports::{Blobs, Wake};
use lambda_http::Error;

use crate::http_functions::{entrance, onlooker};
use crate::services;
use crate::start::Base;

/// The routes of evals over the store of `base`; `wake` wakes the workers of runs. They name snapshots
/// of datasets and read none: the role of the function has no permission for the bucket.
///
/// Services that score are refused. Runs are worked on within the VPC, from where the address of such a
/// service could be that of a replica.
pub fn routes(base: &Base, blobs: Arc<dyn Blobs>, wake: Arc<dyn Wake>) -> Result<Router, Error> {
    let evals = services::evals(base, blobs, services::jobs(base, wake));
    let area = EvalsArea::new(entrance(base), evals).with_gateway(onlooker(base)?);
    Ok(diogenes_api::evals_router(Arc::new(area)))
}
