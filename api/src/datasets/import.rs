use async_trait::async_trait;
use diogenes_core::batches::{FileId, FilePurpose, FileRecord, Files, NewFile};
use diogenes_core::causes::chain;
use diogenes_core::datasets::{Dataset, DatasetError, Datasets, Intake};
use diogenes_core::entity::Entity;
use diogenes_core::jobs::{ClaimError, Job, JobOutcome, Progress};
use diogenes_core::ports::{BlobError, BlobWriter, Expect, StoreError};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::arguments::ImportArguments;
use super::reading::{Counts, Failure, Piece, Reading, Rejected, Summary};
use super::source::BlobSource;
use crate::jobs::{Ended, Handler, Stop, Work};

/// How many pieces wait for being kept: a few chunks of 256 KiB.
const MOST_WAITING: usize = 4;
/// How long rejected rows are kept.
const REJECTED_LIFE: std::time::Duration = std::time::Duration::from_hours(30 * 24);
/// How often an import tries to be the newest change.
const MOST_TRIES: usize = 100;

/// Runs imports: the handler of their jobs. An attempt begins from the start of the file; what it
/// keeps appears at its end, or not at all.
pub struct ImportRunner {
    pub datasets: Datasets,
    pub files: Files,
}

/// Why an import came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// Another attempt would come to nothing either.
    #[error("{0}")]
    Final(String),
    #[error("{0}")]
    Other(String),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the attempt was ended")]
    Stopped(Stop),
}

impl Trouble {
    /// Whether the import may have been committed all the same.
    fn is_in_doubt(&self) -> bool {
        match self {
            Self::Dataset(error) => error.is_in_doubt(),
            Self::Claim(ClaimError::Store(error)) | Self::Store(error) => error.is_in_doubt(),
            _ => false,
        }
    }

    fn is_final(&self) -> bool {
        match self {
            Self::Final(_)
            | Self::Dataset(
                DatasetError::NotFound(_)
                | DatasetError::Full { .. }
                | DatasetError::Invalid(_)
                | DatasetError::Damaged { .. }
                | DatasetError::Project(_)
                | DatasetError::Blob(BlobError::NoRoom { .. }),
            )
            | Self::Blob(BlobError::NoRoom { .. }) => true,
            Self::Other(_)
            | Self::Dataset(_)
            | Self::Claim(_)
            | Self::Blob(_)
            | Self::Store(_)
            | Self::Stopped(_) => false,
        }
    }
}

#[async_trait]
impl Handler for ImportRunner {
    async fn run(&self, work: &Work) -> Ended {
        let job = work.job().await;
        match self.datasets.imported(&job.project, &job.id).await {
            Ok(None) => {}
            Ok(Some(result)) => {
                return Ended::with(JobOutcome::Completed { result: Some(result) });
            }
            Err(error) => return Ended::failed(chain(&error)),
        }
        let arguments = serde_json::from_value::<ImportArguments>(work.arguments().await);
        let done = match arguments {
            Ok(arguments) => self.import(work, &job, arguments).await,
            Err(error) => Err(Trouble::Final(format!("the job says not what to import: {error}"))),
        };
        match done {
            Ok(result) => Ended::with(JobOutcome::Completed { result: Some(result) }),
            Err(Trouble::Stopped(why)) => Ended::stopped(why),
            Err(trouble) => {
                let (message, is_final) = (chain(&trouble), trouble.is_final());
                Ended::with(JobOutcome::Failed { message, is_final })
            }
        }
    }
}

impl ImportRunner {
    async fn import(
        &self,
        work: &Work,
        job: &Job,
        arguments: ImportArguments,
    ) -> Result<Value, Trouble> {
        let project = &job.project;
        let dataset = self.datasets.standing_dataset(project, &arguments.dataset).await?;
        let file = self.files.of_project(project, arguments.file.as_str()).await;
        let file = file.map_err(|error| Trouble::Final(chain(&error)))?;
        let known = if arguments.skip_duplicates {
            Some(self.datasets.fingerprints(&dataset).await?)
        } else {
            None
        };
        let encoding = arguments.encoding.as_deref().map(str::parse).transpose();
        let encoding = encoding.map_err(|error| Trouble::Final(format!("{error}")))?;
        let schema = self.datasets.open(&dataset.head).await?.schema().clone();
        let reading = Reading { arguments, encoding, schema, known };
        let blobs = self.files.blobs().clone();
        let key = FileRecord::blob_of(project, &file.id)?;
        let source = BlobSource::new(blobs, key, file.bytes, Handle::current());
        let mut taking = Taking {
            runner: self,
            work,
            job,
            intake: self.datasets.intake(&dataset),
            total: file.bytes,
            rejects: None,
        };
        match taking.run(reading, source, &dataset, &file).await {
            Ok(result) => Ok(result),
            // The next attempt sees whether it was done.
            Err(trouble) if trouble.is_in_doubt() => Err(trouble),
            Err(trouble) => {
                let Taking { intake, rejects, .. } = taking;
                intake.discard().await;
                if let Some(Rejects { writer, .. }) = rejects {
                    writer.abort().await;
                }
                Err(trouble)
            }
        }
    }
}

/// An import while it is done.
struct Taking<'a> {
    runner: &'a ImportRunner,
    work: &'a Work,
    job: &'a Job,
    intake: Intake,
    /// How many bytes the file has.
    total: u64,
    rejects: Option<Rejects>,
}

/// The file of rejected rows.
struct Rejects {
    id: FileId,
    writer: Box<dyn BlobWriter>,
}

impl Taking<'_> {
    async fn run(
        &mut self,
        reading: Reading,
        source: BlobSource,
        dataset: &Dataset,
        file: &FileRecord,
    ) -> Result<Value, Trouble> {
        let (to, mut pieces) = mpsc::channel(MOST_WAITING);
        let reader = tokio::task::spawn_blocking(move || reading.run(source, &to));
        let mut stop = self.work.stop();
        loop {
            let why = *stop.borrow_and_update();
            if why != Stop::No {
                return Err(Trouble::Stopped(why));
            }
            tokio::select! {
                piece = pieces.recv() => match piece {
                    None => break,
                    Some(Piece::Chunk(chunk, counts)) => {
                        self.intake.keep(*chunk).await?;
                        self.tell(counts);
                    }
                    Some(Piece::Rejected(rows, counts)) => {
                        self.reject(&rows).await?;
                        self.tell(counts);
                    }
                },
                changed = stop.changed() => if changed.is_err() {
                    return Err(Trouble::Other("the worker is gone".into()));
                },
            }
        }
        let summary = match reader.await {
            Ok(Ok(summary)) => summary,
            Ok(Err(Failure::File(problem))) => return Err(Trouble::Final(problem)),
            Ok(Err(Failure::Io(problem))) => return Err(Trouble::Other(problem)),
            Ok(Err(Failure::Unwanted)) => return Err(Trouble::Stopped(*stop.borrow())),
            Err(_) => {
                let problem = format!("{}: the file cannot be read; it is damaged", file.filename);
                return Err(Trouble::Final(problem));
            }
        };
        if let (0, Some(first)) = (summary.counts.imported, &summary.first_rejected) {
            let (name, count) = (&file.filename, summary.counts.rejected);
            let problem = format!("{name}: none of {count} rows is an example; the first: {first}");
            return Err(Trouble::Final(problem));
        }
        self.commit(&summary, dataset, file).await
    }

    fn tell(&self, counts: Counts) {
        let rejected = match counts.rejected {
            0 => String::new(),
            rejected => format!(", {rejected} rejected"),
        };
        let message = format!("{} examples{rejected}", counts.imported);
        let done = counts.bytes.min(self.total);
        self.work.progress(Progress { done, total: self.total, message });
    }

    async fn reject(&mut self, rows: &[Rejected]) -> Result<(), Trouble> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, row)
                .map_err(|error| Trouble::Other(error.to_string()))?;
            lines.push(b'\n');
        }
        let rejects = if let Some(rejects) = &mut self.rejects {
            rejects
        } else {
            let (id, key) = self.runner.files.begin(&self.job.project)?;
            let writer = self.runner.files.blobs().writer(&key).await?;
            self.rejects.insert(Rejects { id, writer })
        };
        Ok(rejects.writer.write(&lines).await?)
    }

    /// Lets everything appear at once.
    async fn commit(
        &mut self,
        summary: &Summary,
        dataset: &Dataset,
        file: &FileRecord,
    ) -> Result<Value, Trouble> {
        let (runner, project) = (self.runner, &self.job.project);
        let rejects = match self.rejects.take() {
            None => None,
            Some(Rejects { id, writer }) => {
                let bytes = writer.finish().await?;
                let stem = file.filename.chars().take(200).collect::<String>();
                Some(runner.files.record(NewFile {
                    id,
                    project: project.clone(),
                    purpose: FilePurpose::Evals,
                    filename: format!("{stem}.rejected.jsonl"),
                    bytes,
                    created_by: self.job.created_by.clone(),
                    life: Some(REJECTED_LIFE),
                }))
            }
        };
        let counts = summary.counts;
        let change = format!("imported {} examples from `{}`", counts.imported, file.filename);
        for _ in 0..MOST_TRIES {
            let prepared =
                self.intake.prepare(&self.job.created_by, &summary.schema, &change).await?;
            let (after, mut writes) = match prepared {
                Some(prepared) => (prepared.dataset, prepared.writes),
                None => (runner.datasets.standing_dataset(project, &dataset.id).await?, Vec::new()),
            };
            let mut result = json!(counts);
            if let Value::Object(fields) = &mut result {
                fields.insert("dataset".into(), after.name.as_str().into());
                fields.insert("version".into(), after.head.number.into());
                fields.insert("digest".into(), after.head.digest.as_str().into());
                fields.insert("left_out_columns".into(), json!(summary.left_out));
                if let Some((encoding, is_detected)) = &summary.encoding {
                    fields.insert("encoding".into(), encoding.as_str().into());
                    fields.insert("encoding_was_detected".into(), (*is_detected).into());
                }
                if let Some(file) = &rejects {
                    fields.insert("rejected_file".into(), file.id.as_str().into());
                }
            }
            writes.push(runner.datasets.mark_imported(project, &self.job.id, result.clone())?);
            if let Some(file) = &rejects {
                writes.push(file.put(Expect::Absent)?);
            }
            match self.work.commit(&writes).await {
                Ok(_) => {
                    self.intake.committed(&after).await;
                    return Ok(result);
                }
                // Somebody else has changed the dataset: the examples go behind theirs.
                Err(ClaimError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Trouble::Other("the dataset is changed all the time; the import tries again".into()))
    }
}
