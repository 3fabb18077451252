//! Many examples at once, from a file: their chunks are kept as they come, by whatever process, and
//! all of them appear with one commit.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chunk::Chunk;
use super::draft::{Author, Draft, Prepared};
use super::error::DatasetError;
use super::manifest::KeptChunk;
use super::names::{DatasetId, DatasetName, WriteId};
use super::record::{Dataset, chunk_blob};
use super::schema::DatasetSchema;
use super::service::Datasets;
use crate::Timestamp;
use crate::audit::{Action, Actor};
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::later;
use crate::jobs::{Creator, JobId, RETENTION};
use crate::ports::{BlobKey, Expect, Key, StoreError, Write};
use crate::tenancy::{ProjectId, in_use};

/// Chunks on their way into a dataset.
pub struct Intake {
    service: Datasets,
    project: ProjectId,
    dataset: DatasetId,
    name: DatasetName,
    write: WriteId,
    chunks: Vec<KeptChunk>,
    blobs: Vec<BlobKey>,
    examples: u64,
}

/// What makes an import happen once it is committed.
pub struct PreparedIntake {
    pub dataset: Dataset,
    pub writes: Vec<Write>,
}

/// That a job has done its import, so that no other attempt does it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportMark {
    pub project: ProjectId,
    pub job: JobId,
    /// What came of it.
    pub result: Value,
    pub expires_at: Timestamp,
}

impl ImportMark {
    fn key_of(project: &ProjectId, job: &JobId) -> Key {
        Key::new(format!("DATASET-IMPORTS#{project}"), job.as_str())
    }
}

impl Entity for ImportMark {
    const KIND: &'static str = "mark of an import";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.job)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

impl Datasets {
    /// A dataset as it stands, for whoever was allowed to before, such as a job.
    pub async fn standing_dataset(
        &self,
        project: &ProjectId,
        id: &DatasetId,
    ) -> Result<Dataset, DatasetError> {
        Ok(self.standing(project, id.as_str()).await?.value)
    }

    /// Begins to take examples into a dataset.
    pub fn intake(&self, dataset: &Dataset) -> Intake {
        Intake {
            service: self.clone(),
            project: dataset.project.clone(),
            dataset: dataset.id.clone(),
            name: dataset.name.clone(),
            write: WriteId::new(self.clock.now(), &*self.entropy),
            chunks: Vec::new(),
            blobs: Vec::new(),
            examples: 0,
        }
    }

    /// What came of the import of a job, if it has been done.
    pub async fn imported(
        &self,
        project: &ProjectId,
        job: &JobId,
    ) -> Result<Option<Value>, StoreError> {
        let mark = self.store.load::<ImportMark>(&ImportMark::key_of(project, job)).await?;
        Ok(mark.map(|mark| mark.value.result))
    }

    /// The write of that.
    pub fn mark_imported(
        &self,
        project: &ProjectId,
        job: &JobId,
        result: Value,
    ) -> Result<Write, StoreError> {
        let expires_at = later(self.clock.now(), RETENTION);
        let mark = ImportMark { project: project.clone(), job: job.clone(), result, expires_at };
        mark.put(Expect::Absent)
    }
}

impl Intake {
    /// Keeps a chunk, whose numbers are counted from 1 over all chunks of the intake.
    pub async fn keep(&mut self, chunk: Chunk) -> Result<(), DatasetError> {
        let key = chunk_blob(&self.project, &self.dataset, &self.write, chunk.digest())?;
        self.examples += u64::from(chunk.examples());
        self.service.blobs.put(&key, chunk.text, false).await?;
        self.blobs.push(key);
        self.chunks.push(chunk.kept);
        Ok(())
    }

    /// How many examples were kept.
    pub fn examples(&self) -> u64 {
        self.examples
    }

    /// Everything that it takes to make them appear in the dataset as it stands now. If that changes
    /// before the commit, prepare again.
    ///
    /// `schema` is what was inferred from the examples. Without examples there is nothing to do.
    pub async fn prepare(
        &self,
        creator: &Creator,
        schema: &DatasetSchema,
        summary: &str,
    ) -> Result<Option<PreparedIntake>, DatasetError> {
        if self.examples == 0 {
            return Ok(None);
        }
        let stored = self.standing().await?;
        let project_stands = in_use(&*self.service.store, &self.project).await?;
        let mut draft = Draft::begin(&self.service, stored).await?;
        draft.extend(&self.chunks, self.examples, &self.write);
        draft.manifest.schema.merge(schema);
        let author = Author {
            subject: creator.subject.clone(),
            actor: Actor::behind(&creator.subject, &creator.key),
        };
        let prepared = draft.prepare(&author, Action::dataset_import(), summary).await?;
        Ok(prepared.map(|Prepared { dataset, mut writes }| {
            writes.extend(project_stands);
            PreparedIntake { dataset, writes }
        }))
    }

    /// What is to be done once the import is committed: snapshots that need not be kept are removed.
    pub async fn committed(&self, dataset: &Dataset) {
        self.service.trim(dataset).await;
    }

    async fn standing(&self) -> Result<Stored<Dataset>, DatasetError> {
        // A later dataset of the same name is another one.
        match self.service.standing(&self.project, self.dataset.as_str()).await {
            Err(DatasetError::NotFound(_)) => Err(DatasetError::NotFound(self.name.to_string())),
            other => other,
        }
    }

    /// Removes what was kept for an import that does not happen. What is left if that fails is swept
    /// later.
    pub async fn discard(self) {
        for key in &self.blobs {
            if let Err(error) = self.service.blobs.delete(key).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a chunk that nobody needs was not removed; it is swept later"
                );
                return;
            }
        }
    }
}
