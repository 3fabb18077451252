//! The jobs of this process: what it needs to run them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diogenes_api::batches::{BatchRunner, BatchesArea};
use diogenes_api::control::{DatasetsArea, Entrance, EvalsArea, JobsArea, SERVER_WORKER, WorkArea};
use diogenes_api::datasets::{ExportRunner, ImportRunner};
use diogenes_api::evals::{EvalRunner, Webhooks};
use diogenes_api::jobs::{
    CommandKind, GRACE, Handler, HttpJobs, JobMetrics, Kinds, Lane, LocalJobs, WebhookJobs,
    WebhookSigner, Worker,
};
use diogenes_api::proxy::Gateway;
use diogenes_backends::blobs::ObjectBlobs;
use diogenes_core::batches::{Batch, Batches, Files, Sweeper, Uploads};
use diogenes_core::datasets::{DatasetSweeper, Datasets, EXPORT, IMPORT};
use diogenes_core::evals::{DatasetExamples, EvalRun, Evals};
use diogenes_core::jobs::{JobKind, Jobs, QueueName, WEBHOOK};
use diogenes_core::keys::Keys;
use diogenes_core::ports::{Blobs, Clock, Entropy, StateStore, Wake};
use diogenes_core::prompts::Prompts;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::config::Config;
use super::webhook_key;
use crate::jobs::{CommandJobs, JobsConfig, http_jobs, of_machine};

/// Where files are, below the data directory.
const FOLDER: &str = "blobs";
/// How often contents without records are removed, and how old they are by then.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
const SWEEP_AGE: Duration = Duration::from_hours(24);

/// The services of files, batches and jobs.
pub(super) struct Services {
    config: JobsConfig,
    http: Arc<HttpJobs>,
    clock: Arc<dyn Clock>,
    signer: WebhookSigner,
    jobs: Jobs,
    batches: Batches,
    uploads: Uploads,
    evals: Evals,
    datasets: Datasets,
}

impl Services {
    /// The services over the data directory and its store.
    pub(super) fn open(
        config: &Config,
        store: &Arc<dyn StateStore>,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
        wake: Arc<dyn Wake>,
    ) -> anyhow::Result<Self> {
        let blobs = ObjectBlobs::in_folder(&config.data_dir.join(FOLDER), config.files.keep_free)?;
        let blobs: Arc<dyn Blobs> = Arc::new(blobs);
        let dataset_sweeper = DatasetSweeper::new(store.clone(), blobs.clone());
        spawn_sweeper(Sweeper::new(store.clone(), blobs.clone()), dataset_sweeper, clock.clone());
        let datasets = Datasets::new(store.clone(), blobs.clone(), clock.clone(), entropy.clone());
        let files = Files::new(store.clone(), blobs, clock.clone(), entropy.clone())
            .with_quota(config.files.max_bytes_per_project);
        let uploads = Uploads::new(store.clone(), files.clone(), clock.clone(), entropy.clone());
        let jobs = Jobs::new(store.clone(), clock.clone(), entropy.clone(), wake);
        let batches =
            Batches::new(store.clone(), files, jobs.clone(), clock.clone(), entropy.clone());
        let signer = WebhookSigner::new(webhook_key::ensure(&config.data_dir)?);
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy.clone());
        let evals = Evals::new(
            store.clone(),
            jobs.clone(),
            prompts,
            Arc::new(DatasetExamples::new(datasets.clone())),
            clock.clone(),
            entropy.clone(),
        );
        Ok(Self {
            config: config.jobs.clone(),
            http: Arc::new(http_jobs(&config.jobs, clock.clone())?),
            clock: clock.clone(),
            signer,
            jobs,
            batches,
            uploads,
            evals,
            datasets,
        })
    }

    /// What answers for files and batches.
    pub(super) fn batches_area(&self, entrance: Entrance) -> BatchesArea {
        BatchesArea::new(entrance, self.batches.clone(), self.uploads.clone())
            .with_webhooks(self.http.clone())
    }

    /// What answers for evals.
    pub(super) fn evals_area(&self, entrance: Entrance, gateway: Arc<Gateway>) -> EvalsArea {
        EvalsArea::new(entrance, self.evals.clone())
            .with_gateway(gateway)
            .with_webhooks(self.http.clone())
    }

    /// What answers for datasets.
    pub(super) fn datasets_area(&self, entrance: Entrance) -> DatasetsArea {
        let files = self.batches.files().clone();
        DatasetsArea::new(entrance, self.datasets.clone(), files, self.jobs.clone())
    }

    /// What answers for jobs, of the kinds and the queues that this installation knows.
    pub(super) fn jobs_area(&self, entrance: Entrance) -> JobsArea {
        let queues = self.config.queues.keys().cloned().collect();
        let command = Arc::new(CommandKind::new(self.config.commands.clone()));
        let kinds =
            Kinds::default().with(HttpJobs::JOB, self.http.clone()).with(CommandKind::JOB, command);
        JobsArea::new(entrance, self.jobs.clone(), self.clock.clone(), queues, kinds)
            .with_templates(self.config.templates.clone())
            .with_webhooks(self.http.clone(), self.signer.clone())
    }

    /// What answers for workers elsewhere; `rings` wakes those that wait.
    pub(super) fn work_area(&self, entrance: Entrance, rings: Arc<Notify>) -> WorkArea {
        WorkArea::new(entrance, self.jobs.clone(), self.clock.clone(), rings)
    }

    /// What runs jobs in this process.
    pub(super) fn worker(
        &self,
        keys: Keys,
        gateway: Arc<Gateway>,
        max_line_bytes: usize,
        bell: Arc<Notify>,
        metrics: Arc<JobMetrics>,
    ) -> Worker {
        let evals = EvalRunner {
            evals: self.evals.clone(),
            keys: keys.clone(),
            gateway: gateway.clone(),
            clock: self.clock.clone(),
            webhooks: Some(Webhooks { http: self.http.clone(), signer: self.signer.clone() }),
        };
        let runner = BatchRunner {
            batches: self.batches.clone(),
            keys,
            gateway,
            clock: self.clock.clone(),
            max_line_bytes,
        };
        let mut handlers: BTreeMap<JobKind, Arc<dyn Handler>> = BTreeMap::new();
        handlers.insert(Batch::JOB, Arc::new(runner));
        handlers.insert(EvalRun::JOB, Arc::new(evals));
        let webhooks = WebhookJobs::new(self.http.clone(), self.signer.clone());
        handlers.insert(WEBHOOK, Arc::new(webhooks));
        let (datasets, files) = (self.datasets.clone(), self.batches.files().clone());
        let importer = ImportRunner { datasets: datasets.clone(), files: files.clone() };
        handlers.insert(IMPORT, Arc::new(importer));
        handlers.insert(EXPORT, Arc::new(ExportRunner { datasets, files }));
        handlers.insert(HttpJobs::JOB, self.http.clone());
        let commands = CommandJobs::new(self.config.commands.clone());
        handlers.insert(CommandKind::JOB, Arc::new(commands));
        let lane = |(queue, most): (&QueueName, &usize)| {
            (*most > 0).then(|| Lane { queue: queue.clone(), concurrency: *most })
        };
        Worker {
            source: Arc::new(LocalJobs {
                jobs: self.jobs.clone(),
                clock: self.clock.clone(),
                name: SERVER_WORKER.into(),
            }),
            most: usize::MAX,
            capacity: of_machine(&self.config.commands),
            lanes: self.config.queues.iter().filter_map(lane).collect(),
            handlers,
            grace: GRACE,
            bell,
            metrics,
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

/// Removes contents that nobody reads any more, now and then.
fn spawn_sweeper(sweeper: Sweeper, of_datasets: DatasetSweeper, clock: Arc<dyn Clock>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let before = clock.now().checked_sub(SWEEP_AGE).unwrap_or_default();
            if let Err(error) = sweeper.sweep(before).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "files that have expired were not removed"
                );
            }
            if let Err(error) = of_datasets.sweep(before).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what no snapshot of a dataset needs was not removed"
                );
            }
        }
    });
}
