//! The services that several functions have, over the store of each and the bucket of the stack.

use std::sync::Arc;

use diogenes_backends::blobs::{ObjectBlobs, S3Settings};
use diogenes_backends::system::OsEntropy;
use diogenes_core::batches::Files;
use diogenes_core::datasets::Datasets;
use diogenes_core::evals::{DatasetExamples, Evals};
use diogenes_core::jobs::Jobs;
use diogenes_core::ports::{Blobs, Wake};
use diogenes_core::prompts::Prompts;
use lambda_http::Error;

use crate::environment::required;
use crate::start::{Base, endpoint};

/// The bucket that the environment names.
pub fn blobs(base: &Base) -> Result<Arc<dyn Blobs>, Error> {
    let settings = S3Settings {
        bucket: required("DIOGENES_BUCKET")?,
        region: base.region.clone(),
        access_key_id: required("AWS_ACCESS_KEY_ID")?,
        secret_access_key: required("AWS_SECRET_ACCESS_KEY")?,
        session_token: std::env::var("AWS_SESSION_TOKEN").ok(),
        endpoint: endpoint("AWS_ENDPOINT_URL_S3"),
    };
    Ok(Arc::new(ObjectBlobs::in_bucket(&settings)?))
}

/// Files whose contents are in `blobs`.
pub fn files(base: &Base, blobs: Arc<dyn Blobs>) -> Files {
    Files::new(base.store.clone(), blobs, base.clock.clone(), Arc::new(OsEntropy))
}

/// Jobs; `wake` wakes their workers.
pub fn jobs(base: &Base, wake: Arc<dyn Wake>) -> Jobs {
    Jobs::new(base.store.clone(), base.clock.clone(), Arc::new(OsEntropy), wake)
}

/// Datasets whose chunks are in `blobs`.
pub fn datasets(base: &Base, blobs: Arc<dyn Blobs>) -> Datasets {
    Datasets::new(base.store.clone(), blobs, base.clock.clone(), Arc::new(OsEntropy))
}

/// Evals on datasets.
pub fn evals(base: &Base, blobs: Arc<dyn Blobs>, jobs: Jobs) -> Evals {
    let examples = Arc::new(DatasetExamples::new(datasets(base, blobs)));
    let (store, clock) = (base.store.clone(), base.clock.clone());
    let prompts = Prompts::new(store.clone(), clock.clone(), Arc::new(OsEntropy));
    Evals::new(store, jobs, prompts, examples, clock, Arc::new(OsEntropy))
}
