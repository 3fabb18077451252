use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::batch::{Batch, BatchEndpoint, BatchEvent, BatchId, BatchStatus, BatchTimes, WINDOW};
use super::file::FilePurpose;
use super::{Bill, FileError, Files, RequestCounts};
use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::later;
use crate::jobs::{Callback, Creator, JobError, Jobs, NewJob};
use crate::ports::{Clock, Cursor, Direction, Entropy, Expect, StateStore, StoreError, Write};
use crate::tenancy::{Allowed, Principal, may};

/// The most pairs of `metadata`, OpenAI's limit.
pub const MAX_METADATA: usize = 16;
/// The longest key and value of `metadata` in characters, OpenAI's limits.
const MAX_METADATA_KEY: usize = 64;
const MAX_METADATA_VALUE: usize = 512;
/// The least and the most seconds that output files are kept, OpenAI's limits.
const OUTPUT_LIFE: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

/// Creates batches, shows them and ends them.
#[derive(Clone)]
pub struct Batches {
    store: Arc<dyn StateStore>,
    files: Files,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A batch that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBatch {
    pub input_file: String,
    pub endpoint: BatchEndpoint,
    pub metadata: BTreeMap<String, String>,
    /// How long the output files are kept, in seconds.
    pub output_life: Option<u64>,
    /// Not before then.
    pub not_before: Option<Timestamp>,
    /// Who is told that it has ended.
    pub callback: Option<Callback>,
}

/// Why nothing came of a request about batches.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// There is none, or it belongs to another project.
    #[error("No batch found with id '{0}'.")]
    NotFound(String),
    /// A field makes no sense.
    #[error("`{field}` {problem}")]
    Invalid { field: &'static str, problem: String },
    /// It has ended, or writes its output files.
    #[error("Cannot cancel a batch with status '{0}'.")]
    NotCancellable(BatchStatus),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error("the batches could not be read or written")]
    Store(#[from] StoreError),
}

impl Batches {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        files: Files,
        jobs: Jobs,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, files, jobs, clock, entropy }
    }

    /// The files of batches.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The store of batches, for whoever runs them.
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    /// Creates a batch and its job, in one commit.
    pub async fn create(
        &self,
        by: &Allowed<may::InferenceUse>,
        new: NewBatch,
    ) -> Result<Batch, BatchError> {
        let now = self.clock.now();
        new.check(now)?;
        let stored =
            self.files.stored(&by.project, &new.input_file).await.map_err(|error| match error {
                FileError::NotFound(id) => BatchError::Invalid {
                    field: "input_file_id",
                    problem: format!("names no file: `{id}`; upload one with `purpose` `batch`"),
                },
                error => error.into(),
            })?;
        let file = &stored.value;
        if file.purpose != FilePurpose::Batch {
            let problem = format!(
                "names a file with the purpose `{}`; upload it with `purpose` `batch`",
                file.purpose.as_str()
            );
            return Err(BatchError::Invalid { field: "input_file_id", problem });
        }
        let id = BatchId::new(now, &*self.entropy);
        let created_by = Creator::new(&by.subject, &by.key);
        let arguments = json!({ "batch": id });
        let mut job = NewJob::new(by.project.clone(), Batch::JOB, arguments, created_by.clone());
        (job.run_at, job.cleans_up) = (new.not_before, true);
        job.callback = new.callback;
        // By it whoever is told knows the batch.
        job.tags.insert("batch".into(), id.to_string());
        let (job, mut writes) = self.jobs.enqueue(job)?;
        let batch = Batch {
            id,
            project: by.project.clone(),
            endpoint: new.endpoint,
            input_file: file.id.clone(),
            status: BatchStatus::Validating,
            job: job.id.clone(),
            created_by,
            created_at: now,
            expires_at: later(now, WINDOW),
            not_before: new.not_before,
            model: None,
            counts: RequestCounts::default(),
            bill: Bill::default(),
            problems: Vec::new(),
            output_file: None,
            error_file: None,
            output_life: new.output_life,
            times: BatchTimes::default(),
            metadata: new.metadata,
        };
        writes.push(batch.put(Expect::Absent)?);
        writes.push(Write::Check { key: file.key(), expect: stored.unchanged() });
        writes.push(change(&batch, Action::batch_create()).write(&Actor::from(by), now)?);
        self.jobs.foresee(&job.queue, job.run_at).await;
        self.store.commit(&writes).await?;
        self.jobs.announce(&job.queue).await;
        Ok(batch)
    }

    /// A batch of the caller's project.
    pub async fn get(&self, by: &Principal, id: &str) -> Result<Batch, BatchError> {
        Ok(self.stored(by, id).await?.value)
    }

    async fn stored(&self, by: &Principal, id: &str) -> Result<Stored<Batch>, BatchError> {
        let not_found = || BatchError::NotFound(id.chars().take(64).collect());
        let id = BatchId::from_caller(id).ok_or_else(not_found)?;
        let stored = self.store.load::<Batch>(&Batch::key_of(&by.project, &id)).await?;
        stored.ok_or_else(not_found)
    }

    /// One page of the batches of the caller's project after `after`, newest first, and whether there
    /// are more.
    pub async fn list(
        &self,
        by: &Principal,
        after: Option<&BatchId>,
        limit: usize,
    ) -> Result<(Vec<Batch>, bool), BatchError> {
        let mut query = Batch::of_project(&by.project);
        query.direction = Direction::Descending;
        query.limit = limit + 1;
        query.cursor = after.map(|id| {
            let key = Batch::key_of(&by.project, id);
            Cursor::after(&query, &key.sort, &key)
        });
        let mut batches = Vec::new();
        loop {
            let (page, next) = self.store.load_page::<Batch>(&query).await?;
            batches.extend(page.into_iter().map(|stored| stored.value));
            match next {
                Some(next) if batches.len() <= limit => query.cursor = Some(next),
                _ => break,
            }
        }
        let has_more = batches.len() > limit;
        batches.truncate(limit);
        Ok((batches, has_more))
    }

    /// Asks for the end of a batch: no further request is begun, and what was answered is kept. A
    /// repeat call changes nothing and succeeds.
    pub async fn cancel(
        &self,
        by: &Allowed<may::InferenceUse>,
        id: &str,
    ) -> Result<Batch, BatchError> {
        loop {
            let stored = self.stored(by, id).await?;
            if stored.value.status == BatchStatus::Cancelling {
                return Ok(stored.value);
            }
            let now = self.clock.now();
            let Some(batch) = stored.value.after(BatchEvent::CancelRequested, now) else {
                return Err(BatchError::NotCancellable(stored.value.status));
            };
            let mut writes = vec![batch.put(stored.unchanged())?];
            let job = self.jobs.load(&batch.project, &batch.job).await?;
            let Some(job) = job.filter(|job| !job.value.is_finished()) else {
                return Err(BatchError::NotCancellable(stored.value.status));
            };
            writes.extend(self.jobs.cancelled(&job, now).await?.1);
            writes.push(change(&batch, Action::batch_cancel()).write(&Actor::from(by), now)?);
            self.jobs.foresee(&job.value.queue, now).await;
            if self.store.committed(&writes).await? {
                self.jobs.announce(&job.value.queue).await;
                return Ok(batch);
            }
        }
    }
}

impl NewBatch {
    fn check(&self, now: Timestamp) -> Result<(), BatchError> {
        let wrong = |field, problem| Err(BatchError::Invalid { field, problem });
        let fits = |(key, value): (&String, &String)| {
            (1..=MAX_METADATA_KEY).contains(&key.chars().count())
                && value.chars().count() <= MAX_METADATA_VALUE
        };
        if self.metadata.len() > MAX_METADATA || !self.metadata.iter().all(fits) {
            let problem = format!(
                "takes at most {MAX_METADATA} pairs, keys of 1 to {MAX_METADATA_KEY} characters \
                 and values of at most {MAX_METADATA_VALUE}"
            );
            return wrong("metadata", problem);
        }
        if self.output_life.is_some_and(|seconds| !OUTPUT_LIFE.contains(&seconds)) {
            let (least, most) = (OUTPUT_LIFE.start(), OUTPUT_LIFE.end());
            let problem = format!("must be {least} to {most} seconds");
            return wrong("output_expires_after.seconds", problem);
        }
        if self.not_before.is_some_and(|at| at > later(now, WINDOW)) {
            return wrong("not_before", "must lie within the 24 hours of the batch".into());
        }
        Ok(())
    }
}

fn change(batch: &Batch, action: Action) -> Change {
    Change {
        project: batch.project.clone(),
        action,
        target: format!("batch/{}", batch.id),
        summary: format!("{} of {}", batch.endpoint.as_str(), batch.input_file),
    }
}
