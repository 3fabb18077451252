//! The jobs of this process: what it needs to run batches.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diogenes_api::batches::{BatchRunner, BatchesArea};
use diogenes_api::control::{Entrance, JobsArea};
use diogenes_api::jobs::{Handler, Lane, Worker};
use diogenes_api::proxy::Gateway;
use diogenes_backends::blobs::ObjectBlobs;
use diogenes_core::batches::{Batch, Batches, FileError, Files, Uploads};
use diogenes_core::jobs::Jobs;
use diogenes_core::keys::Keys;
use diogenes_core::ports::{Blobs, Clock, Entropy, StateStore, Wake};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Where files are, below the data directory.
const FOLDER: &str = "blobs";
/// The name of this process's worker. There is one `serve` for a data directory.
const WORKER: &str = "serve";
/// How many batches run at once. Those of one model share what it has.
const BATCHES: usize = 16;
/// How often contents without records are removed, and how old they are by then.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
const SWEEP_AGE: Duration = Duration::from_hours(24);

/// The services of files, batches and jobs.
pub(super) struct Services {
    jobs: Jobs,
    batches: Batches,
    uploads: Uploads,
}

impl Services {
    /// The services over a data directory and its store.
    pub(super) fn open(
        data_dir: &Path,
        store: &Arc<dyn StateStore>,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
        wake: Arc<dyn Wake>,
    ) -> anyhow::Result<Self> {
        let blobs: Arc<dyn Blobs> = Arc::new(ObjectBlobs::in_folder(&data_dir.join(FOLDER))?);
        let files = Files::new(store.clone(), blobs, clock.clone(), entropy.clone());
        let uploads = Uploads::new(store.clone(), files.clone(), clock.clone(), entropy.clone());
        spawn_sweeper(files.clone(), uploads.clone(), clock.clone());
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone(), wake);
        let batches =
            Batches::new(store.clone(), files, jobs.clone(), clock.clone(), entropy.clone());
        Ok(Self { jobs, batches, uploads })
    }

    /// What answers for files and batches.
    pub(super) fn batches_area(&self, entrance: Entrance) -> BatchesArea {
        BatchesArea::new(entrance, self.batches.clone(), self.uploads.clone())
    }

    /// What answers for jobs, and for the queues that `worker` looks at.
    pub(super) fn jobs_area(
        &self,
        entrance: Entrance,
        worker: &Worker,
        clock: Arc<dyn Clock>,
    ) -> JobsArea {
        let queues = worker.lanes.iter().map(|lane| lane.queue.clone()).collect();
        JobsArea::new(entrance, self.jobs.clone(), clock, queues)
    }

    /// What runs jobs in this process.
    pub(super) fn worker(
        &self,
        keys: Keys,
        gateway: Arc<Gateway>,
        clock: Arc<dyn Clock>,
        max_line_bytes: usize,
        bell: Arc<Notify>,
    ) -> Worker {
        let runner = BatchRunner {
            batches: self.batches.clone(),
            keys,
            gateway,
            clock: clock.clone(),
            max_line_bytes,
        };
        let handler: Arc<dyn Handler> = Arc::new(runner);
        Worker {
            jobs: self.jobs.clone(),
            clock,
            name: WORKER.into(),
            lanes: vec![Lane { queue: Batch::queue(), concurrency: BATCHES }],
            handlers: BTreeMap::from([(Batch::job_kind(), handler)]),
            bell,
        }
    }
}

/// Waits until the worker has given its jobs back. One that is to hurry leaves them as they are: the
/// next start goes on with them.
pub(super) async fn end(worker: JoinHandle<()>, is_hurried: bool) -> anyhow::Result<()> {
    if is_hurried {
        worker.abort();
    }
    match worker.await {
        Err(error) if error.is_panic() => {
            Err(anyhow::Error::new(error).context("the worker of jobs has crashed"))
        }
        _ => Ok(()),
    }
}

/// Removes contents that no record names, now and then.
fn spawn_sweeper(files: Files, uploads: Uploads, clock: Arc<dyn Clock>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let before = clock.now().checked_sub(SWEEP_AGE).unwrap_or_default();
            let swept = async {
                files.sweep(before).await?;
                Ok::<_, FileError>(uploads.sweep(before).await?)
            };
            if let Err(error) = swept.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "files that have expired were not removed"
                );
            }
        }
    });
}
