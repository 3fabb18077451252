//! What a duty takes: who does which jobs, how many at once, and how they come to their ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diogenes_api::batches::BatchRunner;
use diogenes_api::datasets::{ExportRunner, ImportRunner};
use diogenes_api::evals::EvalRunner;
use diogenes_api::jobs::{GRACE, Handler, HttpJobs, WebhookJobs};
use diogenes_backends::system::OsEntropy;
use diogenes_core::batches::{Batch, Sweeper};
use diogenes_core::datasets::{DatasetSweeper, EXPORT, IMPORT};
use diogenes_core::evals::EvalRun;
use diogenes_core::jobs::{JobKind, Jobs, WEBHOOK};
use diogenes_core::keys::Keys;
use diogenes_core::ports::Wake;
use lambda_http::Error;

use crate::batches::Services;
use crate::http_functions::{elected_wake, gateway_of_jobs, parameters};
use crate::outbound::{LONGEST_REQUEST, http_jobs, signer};
use crate::services;
use crate::start::Base;
use crate::workers::Duty;

/// How many batches or evals an invocation works on at once. Those of one model share what it has.
const RUNS: usize = 8;
/// How many imports or exports an invocation works on at once: each has some chunks and a part of a
/// file in memory.
const TRANSFERS: usize = 2;
/// How many requests of jobs an invocation has under way at once.
const REQUESTS: usize = 16;
/// The longest line of an input file in bytes.
const MAX_LINE_BYTES: usize = 5 << 20;

/// What works on jobs.
pub(super) struct Crew {
    pub(super) jobs: Jobs,
    pub(super) handlers: BTreeMap<JobKind, Arc<dyn Handler>>,
    /// How many jobs an invocation has at once.
    pub(super) most: usize,
    /// How long handlers may take to come to their ends once they are told to.
    pub(super) grace: Duration,
    /// What removes contents that nobody reads any more.
    pub(super) sweeper: Option<Broom>,
}

/// What removes contents from the bucket.
pub(super) enum Broom {
    Files(Sweeper),
    Datasets(DatasetSweeper),
}

impl Crew {
    /// The crew of a duty. `wake` is told of what becomes due.
    pub(super) fn of(duty: Duty, base: &Base, wake: Arc<dyn Wake>) -> Result<Self, Error> {
        match duty {
            Duty::Inference => Self::inference(base, wake),
            Duty::Transfers => Self::transfers(base, wake),
            Duty::Outbound => Self::outbound(base, wake),
        }
    }

    fn inference(base: &Base, wake: Arc<dyn Wake>) -> Result<Self, Error> {
        let blobs = services::blobs(base)?;
        let Services { jobs, batches, .. } = Services::new(base, blobs.clone(), wake);
        let keys = Keys::new(base.store.clone(), base.clock.clone(), Arc::new(OsEntropy));
        let gateway = gateway_of_jobs(base, &elected_wake(base)?, parameters(base)?)?;
        let evals: Arc<dyn Handler> = Arc::new(EvalRunner {
            evals: services::evals(base, blobs.clone(), jobs.clone()),
            keys: keys.clone(),
            gateway: gateway.clone(),
            clock: base.clock.clone(),
            webhooks: None,
        });
        let batches: Arc<dyn Handler> = Arc::new(BatchRunner {
            batches,
            keys,
            gateway,
            clock: base.clock.clone(),
            max_line_bytes: MAX_LINE_BYTES,
        });
        Ok(Self {
            jobs,
            handlers: BTreeMap::from([(Batch::JOB, batches), (EvalRun::JOB, evals)]),
            most: RUNS,
            grace: GRACE,
            sweeper: Some(Broom::Files(Sweeper::new(base.store.clone(), blobs))),
        })
    }

    fn transfers(base: &Base, wake: Arc<dyn Wake>) -> Result<Self, Error> {
        let blobs = services::blobs(base)?;
        let datasets = services::datasets(base, blobs.clone());
        let files = services::files(base, blobs.clone());
        let imports = ImportRunner { datasets: datasets.clone(), files: files.clone() };
        let exports: Arc<dyn Handler> = Arc::new(ExportRunner { datasets, files });
        Ok(Self {
            jobs: services::jobs(base, wake),
            handlers: BTreeMap::from([(IMPORT, Arc::new(imports) as _), (EXPORT, exports)]),
            most: TRANSFERS,
            grace: GRACE,
            sweeper: Some(Broom::Datasets(DatasetSweeper::new(base.store.clone(), blobs))),
        })
    }

    /// A request that is under way is let finish: whoever gets it may have acted on it already.
    fn outbound(base: &Base, wake: Arc<dyn Wake>) -> Result<Self, Error> {
        let http = http_jobs(base)?;
        let webhooks: Arc<dyn Handler> = Arc::new(WebhookJobs::new(http.clone(), signer(base)?));
        Ok(Self {
            jobs: services::jobs(base, wake),
            handlers: BTreeMap::from([
                (HttpJobs::JOB, http as Arc<dyn Handler>),
                (WEBHOOK, webhooks),
            ]),
            most: REQUESTS,
            grace: LONGEST_REQUEST,
            sweeper: None,
        })
    }
}
