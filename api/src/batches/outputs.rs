//! The output files of a batch, from the answers to its lines.

use std::sync::Arc;
use std::time::Duration;

use diogenes_core::batches::{
    Batch, BatchLine, FILE_LIFE, FileId, FilePurpose, FileRecord, LineAnswer, NewFile,
    RequestCounts, answered, unanswered,
};
use diogenes_core::entity::{Entity, StoreExt};
use diogenes_core::ports::{BlobError, BlobWriter, Blobs, Expect, StateStore, Write};

use super::load::request_id;
use super::runner::Run;
use crate::bulk::{Records, Trouble};
use crate::error::ApiError;

/// How many answers are removed at once.
const PAGE: usize = 50;

/// What becomes of the lines that have no answer.
#[derive(Clone, Debug)]
pub(super) enum Rest {
    /// There are none, or too little time was left for them.
    Unanswered,
    /// The window has closed.
    Expired,
    /// Somebody wanted the end.
    Cancelled,
    /// None of them could be sent.
    Refused(ApiError),
}

/// The files that were written, and what is in them.
pub(super) struct Outputs {
    pub(super) output: Option<FileRecord>,
    pub(super) errors: Option<FileRecord>,
    succeeded: u32,
    failed: u32,
}

/// A file that is being written.
type OutputFile = (FileId, Box<dyn BlobWriter>);

impl Outputs {
    /// Writes them: each line of the input file has one line in one of both, but those that were
    /// cancelled.
    pub(super) async fn write(run: &Run<'_>, rest: &Rest) -> Result<Self, Trouble> {
        let batch = &run.batch.value;
        let files = run.runner.batches.files();
        let mut outputs = Self { output: None, errors: None, succeeded: 0, failed: 0 };
        let (mut output, mut errors): (Option<OutputFile>, Option<OutputFile>) = (None, None);
        let mut answers = Records::<LineAnswer>::of(run.store(), LineAnswer::all_of(batch));
        let mut answer = answers.next().await?;
        let mut reader = run.runner.reader(batch)?;
        loop {
            let line = match reader.next().await {
                Ok(line) => line,
                // The input file was deleted: what was answered is kept.
                Err(BlobError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            let number = line.as_ref().map(|line| line.number);
            let is_answered = answer
                .as_ref()
                .is_some_and(|answer| number.is_none_or(|number| answer.line <= number));
            let (is_success, mut text) = if is_answered && let Some(found) = answer.take() {
                answer = answers.next().await?;
                let text = if let Some(text) = found.text {
                    text
                } else {
                    let key = LineAnswer::blob_of(batch, found.line)?;
                    let bytes = files.blobs().read(&key, 0..u64::MAX).await?;
                    String::from_utf8_lossy(&bytes).into_owned()
                };
                *(if found.is_success { &mut outputs.succeeded } else { &mut outputs.failed }) += 1;
                (found.is_success, text)
            } else {
                let Some(line) = line else { break };
                let text = line.text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
                let custom_id = text
                    .and_then(BatchLine::read)
                    .map(|line| line.custom_id.into_owned())
                    .unwrap_or_default();
                let id = request_id(&batch.id, line.number);
                match rest {
                    Rest::Refused(error) => {
                        outputs.failed += 1;
                        let (status, body) = (error.status().as_u16(), error.json().to_string());
                        (false, answered(&id, &custom_id, status, &id, &body))
                    }
                    Rest::Cancelled => {
                        let why = "The batch was cancelled before this request was sent.";
                        (false, unanswered(&id, &custom_id, "batch_cancelled", why))
                    }
                    Rest::Expired | Rest::Unanswered => {
                        let why = "This request could not be executed before the completion window \
                                   expired.";
                        (false, unanswered(&id, &custom_id, "batch_expired", why))
                    }
                }
            };
            let file = if is_success { &mut output } else { &mut errors };
            if file.is_none() {
                let (id, key) = files.begin(&batch.project)?;
                *file = Some((id, files.blobs().writer(&key).await?));
            }
            if let Some((_, writer)) = file {
                text.push('\n');
                writer.write(text.as_bytes()).await?;
            }
        }
        outputs.output = finished(run, output, "output").await?;
        outputs.errors = finished(run, errors, "error").await?;
        Ok(outputs)
    }

    /// How many of `total` lines have which answers.
    pub(super) fn counts(&self, total: u32) -> RequestCounts {
        RequestCounts { total, completed: self.succeeded, failed: self.failed }
    }
}

async fn finished(
    run: &Run<'_>,
    file: Option<OutputFile>,
    kind: &str,
) -> Result<Option<FileRecord>, Trouble> {
    let batch = &run.batch.value;
    let Some((id, writer)) = file else { return Ok(None) };
    let bytes = writer.finish().await?;
    let life = batch.output_life.map_or(FILE_LIFE, Duration::from_secs);
    Ok(Some(run.runner.batches.files().record(NewFile {
        id,
        project: batch.project.clone(),
        purpose: FilePurpose::BatchOutput,
        filename: format!("{}_{kind}.jsonl", batch.id),
        bytes,
        created_by: batch.created_by.clone(),
        life: Some(life),
    })))
}

/// Removes the answers of a batch whose output files are there.
pub(super) async fn remove_answers(
    store: &Arc<dyn StateStore>,
    blobs: &dyn Blobs,
    batch: &Batch,
) -> Result<(), Trouble> {
    loop {
        let mut query = LineAnswer::all_of(batch);
        query.limit = PAGE;
        let (page, _) = store.load_page::<LineAnswer>(&query).await?;
        if page.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(page.len());
        for answer in page {
            if answer.value.text.is_none() {
                blobs.delete(&LineAnswer::blob_of(batch, answer.value.line)?).await?;
            }
            writes.push(Write::Delete { key: answer.value.key(), expect: Expect::Any });
        }
        store.commit(&writes).await?;
    }
}
