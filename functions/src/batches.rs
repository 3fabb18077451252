//! Files, batches and jobs: the services, and the routes of the function that answers for them.

use std::sync::Arc;

use axum::Router;
use diogenes_api::batches::BatchesArea;
use diogenes_api::control::JobsArea;
use diogenes_api::jobs::{HttpJobs, Kinds};
use diogenes_backends::system::OsEntropy;
use diogenes_core::batches::{Batches, Uploads};
use diogenes_core::jobs::{Jobs, QueueName};
use diogenes_core::ports::{Blobs, Entropy, Wake};
use lambda_http::Error;

use crate::http_functions::entrance;
use crate::start::Base;
use crate::workers::KINDS;
use crate::{outbound, services};

/// The services of files, batches and jobs.
pub struct Services {
    pub jobs: Jobs,
    pub batches: Batches,
    pub uploads: Uploads,
}

impl Services {
    /// The services over the store of `base` and these blobs; `wake` wakes the workers.
    pub fn new(base: &Base, blobs: Arc<dyn Blobs>, wake: Arc<dyn Wake>) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let (store, clock) = (base.store.clone(), base.clock.clone());
        let files = services::files(base, blobs);
        let uploads = Uploads::new(store.clone(), files.clone(), clock.clone(), entropy.clone());
        let jobs = services::jobs(base, wake);
        let batches = Batches::new(store, files, jobs.clone(), clock, entropy);
        Self { jobs, batches, uploads }
    }
}

/// The routes of files, uploads, batches, jobs, schedules and queues over the store of `base`.
pub fn routes(base: &Base, blobs: Arc<dyn Blobs>, wake: Arc<dyn Wake>) -> Result<Router, Error> {
    let Services { jobs, batches, uploads } = Services::new(base, blobs, wake);
    let queues = KINDS.iter().map(QueueName::from).collect();
    let http = outbound::http_jobs(base)?;
    let batches = BatchesArea::new(entrance(base), batches, uploads).with_webhooks(http.clone());
    let kinds = Kinds::default().with(HttpJobs::JOB, http.clone());
    let jobs = JobsArea::new(entrance(base), jobs, base.clock.clone(), queues, kinds)
        .with_templates_in(outbound::templates(base)?)
        .with_webhooks(http, outbound::signer(base)?);
    Ok(diogenes_api::batches_router(Arc::new(batches), Arc::new(jobs)))
}
