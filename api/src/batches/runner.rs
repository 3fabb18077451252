use std::sync::Arc;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::batches::{
    Batch, BatchEvent, BatchId, BatchStatus, Batches, Bill, FileRecord, LineAnswer, LineProblem,
    RequestCounts,
};
use diogenes_core::causes::chain;
use diogenes_core::entity::{Entity, StoreExt, Stored};
use diogenes_core::fleet::eta::{later, since};
use diogenes_core::jobs::{JobOutcome, Progress};
use diogenes_core::keys::Keys;
use diogenes_core::ports::{BlobError, Clock, Expect, StateStore};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::lines::LineReader;
use super::load::BatchLoad;
use super::outputs::{Outputs, Rest};
use crate::bulk::{Asker, Done, Flights, Landed, Patron, Records, Trouble};
use crate::error::ErrorKind;
use crate::jobs::{Ended, Handler, Stop, Work};
use crate::proxy::{Gateway, Ground};

/// How often a request is sent whose answers are failures of the other side.
const ATTEMPTS: u32 = 5;

/// Runs batches: the handler of their jobs.
pub struct BatchRunner {
    pub batches: Batches,
    pub keys: Keys,
    pub gateway: Arc<Gateway>,
    pub clock: Arc<dyn Clock>,
    /// The longest line of an input file in bytes.
    pub max_line_bytes: usize,
}

/// A batch while it is run.
pub(super) struct Run<'a> {
    pub(super) runner: &'a BatchRunner,
    pub(super) work: &'a Work,
    pub(super) batch: Stored<Batch>,
    /// The counts that its record has.
    pub(super) shown: RequestCounts,
}

#[async_trait]
impl Handler for BatchRunner {
    async fn run(&self, work: &Work) -> Ended {
        let job = work.job().await;
        let id = work.arguments().await;
        let id = id.get("batch").and_then(Value::as_str).and_then(BatchId::from_caller);
        let Some(id) = id else {
            let message = "the job names no batch".into();
            return Ended::with(JobOutcome::Failed { message, is_final: true });
        };
        let batch = self.store().load::<Batch>(&Batch::key_of(&job.project, &id)).await;
        let batch = match batch {
            Ok(Some(batch)) if !batch.value.status.is_final() => batch,
            Ok(_) => return Ended::with(JobOutcome::Completed { result: None }),
            Err(error) => return Ended::failed(chain(&error)),
        };
        let shown = batch.value.counts;
        let mut run = Run { runner: self, work, batch, shown };
        if job.attempt > job.max_attempts {
            let message = "its worker was lost too often without having got further".into();
            return run.give_up(message);
        }
        match run.go_on().await {
            Ok(ended) => ended,
            Err(error) => {
                let message = chain(&error);
                if job.attempt < job.max_attempts {
                    return Ended::failed(message);
                }
                run.give_up(message)
            }
        }
    }
}

impl BatchRunner {
    fn store(&self) -> &Arc<dyn StateStore> {
        self.batches.store()
    }

    /// Reads the input file of a batch.
    pub(super) fn reader(&self, batch: &Batch) -> Result<LineReader, BlobError> {
        let key = FileRecord::blob_of(&batch.project, &batch.input_file)?;
        Ok(LineReader::new(self.batches.files().blobs().clone(), key, self.max_line_bytes))
    }
}

impl Run<'_> {
    pub(super) fn now(&self) -> Timestamp {
        self.runner.clock.now()
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.batch.value
    }

    pub(super) fn store(&self) -> &Arc<dyn StateStore> {
        self.runner.store()
    }

    async fn go_on(&mut self) -> Result<Ended, Trouble> {
        if self.batch().status == BatchStatus::Validating
            && let Some(refused) = self.validate().await?
        {
            return Ok(refused);
        }
        let done = self.count().await?;
        // An attempt that begins further on than the one before it counts as the first.
        self.tell();
        self.work.beat().await?;
        let rest = match self.ask(done).await? {
            Way::Rest(rest) => rest,
            Way::Ends(ended) => {
                self.write_counts().await?;
                return Ok(ended);
            }
        };
        self.release().await?;
        self.finalize(rest).await
    }

    /// Counts the answers, and returns which lines have one.
    async fn count(&mut self) -> Result<Done, Trouble> {
        let (mut done, mut bill) = (Done::default(), Bill::default());
        let mut counts = RequestCounts { completed: 0, failed: 0, ..self.batch().counts };
        let mut answers = Records::<LineAnswer>::of(self.store(), LineAnswer::all_of(self.batch()));
        while let Some(answer) = answers.next().await? {
            done.insert(answer.line);
            *(if answer.is_success { &mut counts.completed } else { &mut counts.failed }) += 1;
            bill = bill.plus(answer.bill);
        }
        (self.batch.value.counts, self.batch.value.bill) = (counts, bill);
        Ok(done)
    }

    /// Why no further line is begun, if none is.
    pub(super) fn reason_to_stop(&self, stop: Stop) -> Option<Rest> {
        if stop == Stop::Cancelled || self.batch().status == BatchStatus::Cancelling {
            Some(Rest::Cancelled)
        } else if self.now() >= self.batch().expires_at {
            Some(Rest::Expired)
        } else {
            None
        }
    }

    /// Asks the lines that have no answers.
    async fn ask(&mut self, done: Done) -> Result<Way, Trouble> {
        let stop = self.work.stop();
        let answered = self.batch().counts.completed + self.batch().counts.failed;
        if self.batch().status == BatchStatus::Finalizing || answered >= self.batch().counts.total {
            return Ok(Way::Rest(Rest::Unanswered));
        }
        if let Some(rest) = self.reason_to_stop(*stop.borrow()) {
            return Ok(Way::Rest(rest));
        }
        let patron = self.patron();
        let principal = match patron.principal(&self.batch().created_by).await {
            Ok(principal) => principal,
            Err(error) if error.kind == ErrorKind::StoreUnavailable => {
                return Err(Trouble::Other(error.message));
            }
            Err(error) => return Ok(Way::Rest(Rest::Refused(error))),
        };
        let name = self.batch().model.as_ref().map(ToString::to_string).unwrap_or_default();
        let (model, room) = match self.runner.gateway.ground(&principal, &name, 0).await {
            Ok(Ground::Ready { model, room }) => (model, room),
            Ok(Ground::Cold { model, pause, what }) => {
                let until = later(self.now(), pause);
                patron.hold(&model, until).await?;
                self.runner.gateway.look_after(&model).await;
                let until = until.min(self.batch().expires_at);
                return Ok(Way::Ends(Ended::with(JobOutcome::Snoozed { until, what })));
            }
            Err(error) if error.kind == ErrorKind::StoreUnavailable => {
                return Err(Trouble::Other(error.message));
            }
            Err(error) => return Ok(Way::Rest(Rest::Refused(error))),
        };
        let left = since(self.now(), self.batch().expires_at);
        let asker = Asker {
            gateway: self.runner.gateway.clone(),
            principal: principal.clone(),
            attempts: ATTEMPTS,
            patience: None,
            allowance: None,
            until: Instant::now() + left,
        };
        let (gateway, reader) = (self.runner.gateway.clone(), self.runner.reader(self.batch())?);
        let load = BatchLoad { run: self, reader, done, asker };
        let ground = (model, room);
        let mut flights = Flights::new(load, gateway, principal, Some(name), ground, u32::MAX);
        let landed = flights.fly(stop.clone()).await?;
        drop(flights);
        Ok(match landed {
            Landed::Done => Way::Rest(Rest::Unanswered),
            Landed::Over => {
                let rest = self.reason_to_stop(*stop.borrow());
                Way::Rest(rest.unwrap_or(Rest::Unanswered))
            }
            Landed::Released => Way::Ends(Ended::with(JobOutcome::Released)),
        })
    }

    pub(super) fn tell(&self) {
        let counts = self.batch().counts;
        self.work.progress(Progress {
            done: u64::from(counts.completed) + u64::from(counts.failed),
            total: counts.total.into(),
            message: String::new(),
        });
    }

    pub(super) fn patron(&self) -> Patron<'_> {
        Patron {
            gateway: &self.runner.gateway,
            keys: &self.runner.keys,
            store: self.store(),
            clock: &self.runner.clock,
            holder: format!("batch/{}", self.batch().id),
        }
    }

    /// Lets the model go.
    async fn release(&self) -> Result<(), Trouble> {
        match &self.batch().model {
            Some(name) => self.patron().release(name.as_str()).await,
            None => Ok(()),
        }
    }

    /// Writes the output files and ends the batch.
    async fn finalize(&mut self, rest: Rest) -> Result<Ended, Trouble> {
        self.change(BatchEvent::Finalizes, |_| {}).await?;
        let is_cancelled = self.batch().status == BatchStatus::Cancelling;
        let rest = if is_cancelled { Rest::Cancelled } else { rest };
        if self.batch().counts.total == 0 {
            // Its file was never read.
            return self.finish(true, &[]);
        }
        let outputs = Outputs::write(self, &rest).await?;
        let counts = outputs.counts(self.batch().counts.total);
        self.batch.value.counts = counts;
        let answered = counts.completed + counts.failed;
        let (output, errors) = (outputs.output, outputs.errors);
        self.batch.value.output_file = output.as_ref().map(|file| file.id.clone());
        self.batch.value.error_file = errors.as_ref().map(|file| file.id.clone());
        let files: Vec<FileRecord> = output.into_iter().chain(errors).collect();
        self.finish(answered >= counts.total, &files)
    }

    pub(super) fn finish(&self, is_whole: bool, files: &[FileRecord]) -> Result<Ended, Trouble> {
        let now = self.now();
        let batch = self.batch().after(BatchEvent::Finished { is_whole }, now);
        let batch = batch.ok_or_else(|| Trouble::Other("the batch has ended already".into()))?;
        let mut writes = vec![batch.put(self.batch.unchanged())?];
        for file in files {
            writes.push(file.put(Expect::Absent)?);
        }
        let result = json!({ "status": batch.status, "counts": batch.counts });
        let outcome = if batch.status == BatchStatus::Cancelled {
            JobOutcome::Cancelled
        } else {
            JobOutcome::Completed { result: Some(result) }
        };
        self.tell();
        let (store, blobs) = (self.store().clone(), self.runner.batches.files().blobs().clone());
        let afterwards = Box::pin(async move {
            if let Err(error) = super::outputs::remove_answers(&store, &*blobs, &batch).await {
                tracing::warn!(
                    batch = %batch.id, error = &error as &dyn std::error::Error,
                    "the answers of a batch were not removed; they expire by themselves"
                );
            }
        });
        Ok(Ended { outcome, writes, afterwards: Some(afterwards) })
    }

    /// Ends a batch that cannot be finished.
    fn give_up(&self, message: String) -> Ended {
        let problem = LineProblem::of_file("internal_error", &*message);
        let now = self.now();
        let mut batch = self.batch.value.clone();
        (batch.status, batch.times.ended) = (BatchStatus::Failed, Some(now));
        batch.problems = vec![problem];
        let outcome = JobOutcome::Failed { message, is_final: true };
        match batch.put(self.batch.unchanged()) {
            Ok(put) => Ended { writes: vec![put], ..Ended::with(outcome) },
            Err(_) => Ended::with(outcome),
        }
    }
}

/// What follows the asking.
enum Way {
    /// The output files, and what becomes of the lines without an answer.
    Rest(Rest),
    Ends(Ended),
}
