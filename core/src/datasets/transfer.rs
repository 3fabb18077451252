//! Files and jobs that have to do with a dataset, each written together with its audit record.

use super::draft::Author;
use super::error::DatasetError;
use super::record::{Dataset, change};
use super::service::Datasets;
use crate::Timestamp;
use crate::audit::Action;
use crate::batches::FileRecord;
use crate::entity::Entity;
use crate::jobs::{Job, JobError, JobKind, Jobs, NewJob};
use crate::ports::Expect;
use crate::tenancy::{Allowed, ProjectId, in_use, may};

/// The kind of the jobs that import files.
pub const IMPORT: JobKind = JobKind::known("import");
/// The kind of the jobs that export snapshots.
pub const EXPORT: JobKind = JobKind::known("export");

/// Why no job was created.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Job(#[from] JobError),
}

impl Datasets {
    /// The time by the clock of the datasets.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A dataset that the principal may change.
    pub async fn writable(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
    ) -> Result<Dataset, DatasetError> {
        Ok(self.reached(by, project, name).await?.value)
    }

    /// Makes a file known that was sent for a dataset, and whose content is there.
    pub async fn uploaded(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
        file: FileRecord,
    ) -> Result<FileRecord, DatasetError> {
        let dataset = self.writable(by, project, name).await?;
        let summary = format!("`{}`, {} bytes", file.filename, file.bytes);
        let audit = change(&dataset, Action::dataset_upload(), summary);
        let mut writes =
            vec![file.put(Expect::Absent)?, audit.write(&Author::of(by).actor, self.clock.now())?];
        writes.extend(in_use(&*self.store, project).await?);
        self.store.commit(&writes).await?;
        Ok(file)
    }

    /// Creates the job of an import.
    pub async fn enqueue_import(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        dataset: &Dataset,
        jobs: &Jobs,
        new: NewJob,
    ) -> Result<Job, TransferError> {
        self.enqueue(Action::dataset_enqueue(), Author::of(by), dataset, jobs, new).await
    }

    /// Creates the job of an export.
    pub async fn enqueue_export(
        &self,
        by: &Allowed<may::DatasetsRead>,
        dataset: &Dataset,
        jobs: &Jobs,
        new: NewJob,
    ) -> Result<Job, TransferError> {
        self.enqueue(Action::dataset_export(), Author::of(by), dataset, jobs, new).await
    }

    async fn enqueue(
        &self,
        action: Action,
        author: Author,
        dataset: &Dataset,
        jobs: &Jobs,
        new: NewJob,
    ) -> Result<Job, TransferError> {
        let project_stands =
            in_use(&*self.store, &dataset.project).await.map_err(DatasetError::from)?;
        let (job, mut writes) = jobs.enqueue(new)?;
        let audit = change(dataset, action, format!("job {}", job.id));
        let write = audit.write(&author.actor, self.clock.now()).map_err(DatasetError::from)?;
        writes.push(write);
        writes.extend(project_stands);
        jobs.foresee(&job.queue, job.run_at).await;
        self.store.commit(&writes).await.map_err(DatasetError::from)?;
        jobs.announce(&job.queue).await;
        Ok(job)
    }
}
