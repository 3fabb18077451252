//! The lines of a batch that have no answers yet.

use async_trait::async_trait;
use diogenes_core::batches::{
    BatchEndpoint, BatchId, BatchLine, Bill, LineAnswer, MAX_IN_RECORD, answered,
};
use diogenes_core::entity::Entity;
use diogenes_core::name::ModelName;
use diogenes_core::ports::Expect;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::lines::LineReader;
use super::runner::Run;
use crate::bulk::{Asked, Asker, Done, Load, MOST_BYTES, Reply, Request, Said, Trouble, commit};
use crate::jobs::Stop;
use crate::proxy::Dialect;

/// A batch whose lines are asked.
pub(super) struct BatchLoad<'r, 'a> {
    pub(super) run: &'r mut Run<'a>,
    pub(super) reader: LineReader,
    pub(super) done: Done,
    pub(super) asker: Asker,
}

/// A line that is to be asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    line: u32,
    custom_id: String,
    request: Request,
}

/// An answer that counts.
#[derive(Debug)]
pub(super) struct Answered {
    line: u32,
    /// Whether it belongs to the output file, and not to that of the errors.
    is_success: bool,
    /// The line of that file.
    text: String,
    bill: Bill,
}

#[async_trait]
impl Load for BatchLoad<'_, '_> {
    type Question = Question;
    type Answer = Answered;

    async fn next(&mut self) -> Result<Option<Question>, Trouble> {
        loop {
            let Some(line) = self.reader.next().await? else { return Ok(None) };
            if self.done.contains(line.number) {
                continue;
            }
            let text = line.text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
            let Some(request) = text.and_then(BatchLine::read) else {
                let number = line.number;
                return Err(Trouble::Other(format!("line {number} is not as it was validated")));
            };
            let batch = &self.run.batch.value;
            return Ok(Some(Question {
                line: line.number,
                custom_id: request.custom_id.into_owned(),
                request: Request {
                    id: request_id(&batch.id, line.number),
                    dialect: dialect(batch.endpoint),
                    body: request.body.get().to_owned().into(),
                },
            }));
        }
    }

    fn ask(&self, question: Question) -> BoxFuture<'static, Asked<Question, Answered>> {
        let asker = self.asker.clone();
        async move {
            let Said { status, body, bill, .. } = match asker.ask(&question.request).await {
                Reply::Said(said) => said,
                Reply::NotNow => return Asked::NotNow(question),
            };
            let Question { line, custom_id, request } = &question;
            let body = String::from_utf8_lossy(&body);
            let text = answered(&request.id, custom_id, status.as_u16(), &request.id, &body);
            Asked::Answered(Answered { line: *line, is_success: status.is_success(), text, bill })
        }
        .boxed()
    }

    async fn keep(&mut self, answers: Vec<Answered>, counts_are_due: bool) -> Result<(), Trouble> {
        let run = &mut *self.run;
        let (mut writes, mut bytes) = (Vec::new(), 0);
        for Answered { line, is_success, text, bill } in answers {
            run.batch.value.bill = run.batch.value.bill.plus(bill);
            let counts = &mut run.batch.value.counts;
            *(if is_success { &mut counts.completed } else { &mut counts.failed }) += 1;
            bytes += text.len().min(MAX_IN_RECORD);
            let text = if text.len() > MAX_IN_RECORD {
                let key = LineAnswer::blob_of(&run.batch.value, line)?;
                let blobs = run.runner.batches.files().blobs();
                blobs.put(&key, text.into_bytes(), false).await?;
                None
            } else {
                Some(text)
            };
            let answer = LineAnswer::new(&run.batch.value, line, is_success, text, bill);
            writes.push(answer.put(Expect::Absent)?);
            if bytes >= MOST_BYTES {
                commit(run.work, &std::mem::take(&mut writes)).await?;
                bytes = 0;
            }
        }
        if !writes.is_empty() {
            commit(run.work, &writes).await?;
        }
        if counts_are_due {
            run.write_counts().await?;
        }
        Ok(())
    }

    fn is_over(&self, stop: Stop) -> bool {
        self.run.reason_to_stop(stop).is_some()
    }

    async fn hold(&self, model: Option<&ModelName>) -> Result<(), Trouble> {
        match model {
            Some(model) => self.run.patron().hold(model, self.run.now()).await,
            None => Ok(()),
        }
    }

    fn tell(&self) {
        self.run.tell();
    }
}

/// The id of a line's request.
pub(super) fn request_id(batch: &BatchId, line: u32) -> String {
    let rest = batch.as_str().trim_start_matches("batch_");
    format!("batch_req_{rest}{line:06}")
}

fn dialect(endpoint: BatchEndpoint) -> Dialect {
    match endpoint {
        BatchEndpoint::ChatCompletions => Dialect::ChatCompletions,
        BatchEndpoint::Completions => Dialect::Completions,
        BatchEndpoint::Embeddings => Dialect::Embeddings,
        BatchEndpoint::Responses => Dialect::Responses,
    }
}
