use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use diogenes_core::batches::{FilePurpose, Files, NewFile};
use diogenes_core::causes::chain;
use diogenes_core::datasets::{DatasetError, Datasets};
use diogenes_core::entity::Entity;
use diogenes_core::jobs::{Job, JobOutcome, Progress};
use diogenes_core::ports::{BlobError, BlobWriter, Expect, StoreError};
use diogenes_formats::{ExampleWriter, FormatError};
use serde_json::json;

use super::arguments::ExportArguments;
use crate::jobs::{Ended, Handler, Stop, Work};

/// How long a file is kept that was exported.
const LIFE: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// Runs exports: the handler of their jobs.
pub struct ExportRunner {
    pub datasets: Datasets,
    pub files: Files,
}

/// Why an export came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("the writing of the file has crashed")]
    Crash,
    #[error("the attempt was ended")]
    Stopped(Stop),
}

#[async_trait]
impl Handler for ExportRunner {
    async fn run(&self, work: &Work) -> Ended {
        let job = work.job().await;
        let arguments = match serde_json::from_value(work.arguments().await) {
            Ok(arguments) => arguments,
            Err(error) => {
                let message = format!("the job says not what to export: {error}");
                return Ended::with(JobOutcome::Failed { message, is_final: true });
            }
        };
        match self.export(work, &job, &arguments).await {
            Ok(ended) => ended,
            Err(Trouble::Stopped(why)) => Ended::stopped(why),
            Err(trouble) => {
                let is_final = matches!(
                    trouble,
                    Trouble::Dataset(DatasetError::Damaged { .. })
                        | Trouble::Blob(BlobError::NoRoom { .. })
                        | Trouble::Format(FormatError::Unusable(_))
                );
                Ended::with(JobOutcome::Failed { message: chain(&trouble), is_final })
            }
        }
    }
}

impl ExportRunner {
    async fn export(
        &self,
        work: &Work,
        job: &Job,
        arguments: &ExportArguments,
    ) -> Result<Ended, Trouble> {
        let (id, key) = self.files.begin(&job.project)?;
        let mut to = self.files.blobs().writer(&key).await?;
        let written = self.write(work, arguments, &mut *to).await;
        let bytes = match written {
            Ok(()) => to.finish().await?,
            Err(trouble) => {
                to.abort().await;
                return Err(trouble);
            }
        };
        let ExportArguments { snapshot, format } = arguments;
        let file = self.files.record(NewFile {
            id,
            project: job.project.clone(),
            purpose: FilePurpose::Evals,
            filename: format!("{}-v{}.{format}", snapshot.name, snapshot.number),
            bytes,
            created_by: job.created_by.clone(),
            life: Some(LIFE),
        });
        let result = json!({
            "dataset": snapshot.name,
            "version": snapshot.number,
            "digest": snapshot.digest,
            "exported": snapshot.examples,
            "file": file.id,
            "bytes": bytes,
        });
        let outcome = JobOutcome::Completed { result: Some(result) };
        Ok(Ended { writes: vec![file.put(Expect::Absent)?], ..Ended::with(outcome) })
    }

    async fn write(
        &self,
        work: &Work,
        arguments: &ExportArguments,
        to: &mut dyn BlobWriter,
    ) -> Result<(), Trouble> {
        let reader = self.datasets.open(&arguments.snapshot).await?;
        let (stop, total) = (work.stop(), reader.examples());
        let buffer = Buffer::default();
        let mut writer = ExampleWriter::new(arguments.format, buffer.clone(), reader.schema())?;
        let mut done = 0;
        for place in 0..reader.chunks() {
            let why = *stop.borrow();
            if why != Stop::No {
                return Err(Trouble::Stopped(why));
            }
            let examples = reader.chunk(place).await?;
            done += examples.len() as u64;
            // A group of rows takes Parquet a while.
            let written = tokio::task::spawn_blocking(move || {
                let result = examples.iter().try_for_each(|example| writer.write(example));
                result.map(|()| writer)
            });
            writer = written.await.map_err(|_| Trouble::Crash)??;
            to.write(&buffer.take()).await?;
            work.progress(Progress { done, total, message: String::new() });
        }
        tokio::task::spawn_blocking(move || writer.finish())
            .await
            .map_err(|_| Trouble::Crash)??;
        Ok(to.write(&buffer.take()).await?)
    }
}

/// What was written and not yet passed on.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
