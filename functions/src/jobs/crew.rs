//! What a duty takes: who does which jobs, how many at once, and how they come to their ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diogenes_api::batches::BatchRunner;
use diogenes_api::jobs::{GRACE, Handler, HttpJobs, WebhookJobs};
use diogenes_backends::system::OsEntropy;
use diogenes_core::batches::{Batch, Sweeper};
use diogenes_core::jobs::{JobKind, Jobs, WEBHOOK};
use diogenes_core::keys::Keys;
use diogenes_core::ports::Wake;
use lambda_http::Error;

use crate::batches::{Services, blobs};
use crate::http_functions::{elected_wake, gateway_of_jobs, parameters};
use crate::outbound::{LONGEST_REQUEST, http_jobs, signer};
use crate::start::Base;
use crate::workers::Duty;

/// How many batches an invocation works on at once. Those of one model share what it has.
const BATCHES: usize = 8;
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
    /// Removes contents that nobody reads any more.
    pub(super) sweeper: Option<Sweeper>,
}

impl Crew {
    /// The crew of a duty. `wake` is told of what becomes due.
    pub(super) fn of(duty: Duty, base: &Base, wake: Arc<dyn Wake>) -> Result<Self, Error> {
        match duty {
            Duty::Batches => Self::batches(base, wake),
            Duty::Outbound => Self::outbound(base, wake),
        }
    }

    fn batches(base: &Base, wake: Arc<dyn Wake>) -> Result<Self, Error> {
        let blobs = blobs(base)?;
        let services = Services::new(base, blobs.clone(), wake);
        let runner = BatchRunner {
            batches: services.batches,
            keys: Keys::new(base.store.clone(), base.clock.clone(), Arc::new(OsEntropy)),
            gateway: gateway_of_jobs(base, &elected_wake(base)?, parameters(base)?)?,
            clock: base.clock.clone(),
            max_line_bytes: MAX_LINE_BYTES,
        };
        let runner: Arc<dyn Handler> = Arc::new(runner);
        Ok(Self {
            jobs: services.jobs,
            handlers: BTreeMap::from([(Batch::JOB, runner)]),
            most: BATCHES,
            grace: GRACE,
            sweeper: Some(Sweeper::new(base.store.clone(), blobs)),
        })
    }

    /// A request that is under way is let finish: whoever gets it may have acted on it already.
    fn outbound(base: &Base, wake: Arc<dyn Wake>) -> Result<Self, Error> {
        let (store, clock) = (base.store.clone(), base.clock.clone());
        let http = http_jobs(base)?;
        let webhooks: Arc<dyn Handler> = Arc::new(WebhookJobs::new(http.clone(), signer(base)?));
        Ok(Self {
            jobs: Jobs::new(store, clock, Arc::new(OsEntropy), wake),
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
