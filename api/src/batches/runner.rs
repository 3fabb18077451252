use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::batches::{
    Batch, BatchEvent, BatchId, BatchStatus, Batches, FileRecord, LineAnswer, LineProblem,
    MAX_IN_RECORD, RequestCounts,
};
use diogenes_core::entity::{Entity, StoreExt, Stored};
use diogenes_core::fleet::UseLease;
use diogenes_core::fleet::eta::{later, since};
use diogenes_core::jobs::{ClaimError, JobOutcome, Progress};
use diogenes_core::keys::{KeyError, Keys};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{BlobError, Clock, Expect, StateStore, StoreError};
use diogenes_core::tenancy::Principal;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::asking::{Asked, Asker};
use super::flights::{Done, Flights};
use super::lines::LineReader;
use super::outputs::{Outputs, Rest};
use crate::error::{ApiError, ErrorKind, key_error};
use crate::jobs::{Ended, Handler, Stop, Work};
use crate::proxy::{Gateway, Ground};

/// How often a running batch looks at what has changed around it.
const LOOK: Duration = Duration::from_secs(1);
/// How long a model is wanted beyond the next look at it.
const LEASE: Duration = Duration::from_mins(3);
/// How often that is written anew.
const RENEW: Duration = Duration::from_mins(1);
/// The most answers that are written in one commit, and the most bytes of them.
const MOST_WRITES: usize = 50;
const MOST_BYTES: usize = 1 << 20;

/// Runs batches: the handler of their jobs.
pub struct BatchRunner {
    pub batches: Batches,
    pub keys: Keys,
    pub gateway: Arc<Gateway>,
    pub clock: Arc<dyn Clock>,
    /// The longest line of an input file in bytes.
    pub max_line_bytes: usize,
}

/// Why an attempt goes no further. Whatever it is, another attempt goes on from what is written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(String),
}

/// A batch while it is run.
pub(super) struct Run<'a> {
    pub(super) runner: &'a BatchRunner,
    pub(super) work: &'a Work,
    pub(super) batch: Stored<Batch>,
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
            Err(error) => return Ended::failed(told(&error)),
        };
        let mut run = Run { runner: self, work, batch };
        if job.attempt > job.max_attempts {
            let message = "its worker was lost too often without having got further".into();
            return run.give_up(message);
        }
        match run.go_on().await {
            Ok(ended) => ended,
            Err(error) => {
                let message = told(&error);
                if job.attempt < job.max_attempts {
                    return Ended::failed(message);
                }
                run.give_up(message)
            }
        }
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
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
        let (done, counts) = self.answers().await?;
        self.batch.value.counts = counts;
        // An attempt that begins further on than the one before it counts as the first.
        self.tell();
        self.work.beat().await?;
        let rest = match self.ask(done).await? {
            Way::Rest(rest) => rest,
            Way::Ends(ended) => return Ok(ended),
        };
        self.release().await?;
        self.finalize(rest).await
    }

    /// The lines that have answers, and how many of which kind.
    async fn answers(&self) -> Result<(Done, RequestCounts), Trouble> {
        let (mut done, mut counts) = (Done::default(), self.batch().counts);
        (counts.completed, counts.failed) = (0, 0);
        let mut query = LineAnswer::all_of(self.batch());
        query.limit = 100;
        loop {
            let (page, next) = self.store().load_page::<LineAnswer>(&query).await?;
            for answer in page {
                done.insert(answer.value.line);
                let of_kind = if answer.value.is_success {
                    &mut counts.completed
                } else {
                    &mut counts.failed
                };
                *of_kind += 1;
            }
            match next {
                Some(next) => query.cursor = Some(next),
                None => return Ok((done, counts)),
            }
        }
    }

    /// Why no further line is begun, if none is.
    fn reason_to_stop(&self, stop: Stop) -> Option<Rest> {
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
        let principal = match self.principal().await {
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
                self.hold(&model, until).await?;
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
            principal,
            endpoint: self.batch().endpoint,
            until: Instant::now() + left,
        };
        let mut flights = Flights {
            tasks: JoinSet::new(),
            reader: self.runner.reader(self.batch())?,
            is_read: false,
            again: Vec::new(),
            is_grounded: false,
            asker,
            name,
            model,
            room,
        };
        let ended = self.fly(&mut flights, &done).await;
        // Those that are under way after an error are lost with it, and asked again.
        flights.tasks.abort_all();
        ended
    }

    async fn fly(&mut self, flights: &mut Flights, done: &Done) -> Result<Way, Trouble> {
        let mut stop = self.work.stop();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut renewed: Option<Instant> = None;
        let mut counted = Instant::now();
        loop {
            let why = *stop.borrow_and_update();
            let rest = self.reason_to_stop(why);
            let goes_on = rest.is_none() && why == Stop::No && !flights.is_grounded;
            if goes_on {
                flights.fill(self.batch(), done).await?;
            }
            if flights.tasks.is_empty() {
                if let Some(rest) = rest {
                    return Ok(Way::Rest(rest));
                }
                if why == Stop::Shutdown {
                    return Ok(Way::Ends(Ended::with(JobOutcome::Released)));
                }
                if flights.is_grounded {
                    // The next attempt waits until the model runs again.
                    return Ok(Way::Ends(Ended::with(JobOutcome::Released)));
                }
                if flights.is_read && flights.again.is_empty() {
                    return Ok(Way::Rest(Rest::Unanswered));
                }
            }
            tokio::select! {
                Some(asked) = flights.tasks.join_next() => {
                    let mut all = vec![asked];
                    while all.len() < MOST_WRITES
                        && let Some(asked) = flights.tasks.try_join_next()
                    {
                        all.push(asked);
                    }
                    let mut answers = Vec::with_capacity(all.len());
                    for asked in all {
                        match asked.map_err(|error| Trouble::Other(error.to_string()))? {
                            Asked::Answered { line, is_success, text } => {
                                answers.push((line, is_success, text));
                            }
                            Asked::NotNow(question) => {
                                flights.again.push(question);
                                flights.is_grounded = true;
                            }
                        }
                    }
                    let is_due = counted.elapsed() >= LOOK;
                    self.keep(answers, is_due).await?;
                    if is_due {
                        counted = Instant::now();
                    }
                }
                _ = look.tick() => {
                    if let Some(model) = &flights.model
                        && renewed.is_none_or(|at| at.elapsed() >= RENEW)
                    {
                        self.hold(model, self.now()).await?;
                        renewed = Some(Instant::now());
                    }
                    flights.look().await;
                    self.tell();
                }
                changed = stop.changed() => {
                    if changed.is_err() {
                        return Err(Trouble::Other("the worker is gone".into()));
                    }
                }
            }
        }
    }

    /// Keeps answers, before others are begun in their places.
    async fn keep(
        &mut self,
        answers: Vec<(u32, bool, String)>,
        counts_are_due: bool,
    ) -> Result<(), Trouble> {
        let (mut writes, mut bytes) = (Vec::new(), 0);
        for (line, is_success, text) in answers {
            let counts = &mut self.batch.value.counts;
            *(if is_success { &mut counts.completed } else { &mut counts.failed }) += 1;
            bytes += text.len().min(MAX_IN_RECORD);
            let text = if text.len() > MAX_IN_RECORD {
                let key = LineAnswer::blob_of(&self.batch.value, line)?;
                let blobs = self.runner.batches.files().blobs();
                blobs.put(&key, text.into_bytes(), false).await?;
                None
            } else {
                Some(text)
            };
            let answer = LineAnswer::new(&self.batch.value, line, is_success, text);
            writes.push(answer.put(Expect::Absent)?);
            if bytes >= MOST_BYTES {
                self.commit(&std::mem::take(&mut writes)).await?;
                bytes = 0;
            }
        }
        if !writes.is_empty() {
            self.commit(&writes).await?;
        }
        if counts_are_due {
            self.write_counts().await?;
        }
        Ok(())
    }

    fn tell(&self) {
        let counts = self.batch().counts;
        self.work.progress(Progress {
            done: u64::from(counts.completed) + u64::from(counts.failed),
            total: counts.total.into(),
            message: String::new(),
        });
    }

    /// Who asks: the key of the batch's creator, with the rights that it has now.
    async fn principal(&self) -> Result<Arc<Principal>, ApiError> {
        let key = &self.batch().created_by.key;
        if key.as_str().is_empty() {
            return Ok(Arc::new(Principal::operator()));
        }
        let principal = self.runner.keys.principal(key).await;
        principal.map(Arc::new).map_err(|error: KeyError| key_error(&error))
    }

    fn holder(&self) -> String {
        format!("batch/{}", self.batch().id)
    }

    /// Wants the model until a while after `at`.
    async fn hold(&self, model: &ModelName, at: Timestamp) -> Result<(), Trouble> {
        let until = later(at, LEASE);
        Ok(UseLease::hold(&**self.store(), model, &self.holder(), until).await?)
    }

    /// Lets the model go.
    async fn release(&self) -> Result<(), Trouble> {
        let Some(name) = self.batch().model.as_ref() else { return Ok(()) };
        let Some(model) = self.runner.gateway.model_behind(name.as_str()) else { return Ok(()) };
        UseLease::release(&**self.store(), &model, &self.holder(), self.now()).await?;
        self.runner.gateway.look_after(&model).await;
        Ok(())
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
