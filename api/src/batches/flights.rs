//! The requests of a batch that are under way.

use diogenes_core::batches::{Batch, BatchId, BatchLine};
use diogenes_core::name::ModelName;
use tokio::task::JoinSet;

use super::asking::{Asked, Asker, Question};
use super::lines::LineReader;
use super::runner::Trouble;
use crate::proxy::Ground;

/// Which lines are done, one bit each.
#[derive(Default)]
pub(super) struct Done(Vec<u64>);

impl Done {
    pub(super) fn insert(&mut self, line: u32) {
        let word = line as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (line % 64);
        }
    }

    pub(super) fn contains(&self, line: u32) -> bool {
        self.0.get(line as usize / 64).is_some_and(|bits| bits & (1 << (line % 64)) != 0)
    }
}

/// The requests of a batch that are under way.
pub(super) struct Flights {
    pub(super) tasks: JoinSet<Asked>,
    pub(super) reader: LineReader,
    pub(super) is_read: bool,
    /// Those that came back without an answer.
    pub(super) again: Vec<Question>,
    /// Whether the model does not run.
    pub(super) is_grounded: bool,
    pub(super) asker: Asker,
    pub(super) name: String,
    pub(super) model: Option<ModelName>,
    pub(super) room: u32,
}

impl Flights {
    /// Begins as many requests as there is room for.
    pub(super) async fn fill(&mut self, batch: &Batch, done: &Done) -> Result<(), Trouble> {
        while self.tasks.len() < self.room as usize {
            let question = match self.again.pop() {
                Some(question) => question,
                None if self.is_read => return Ok(()),
                None => match self.read(batch, done).await? {
                    Some(question) => question,
                    None => return Ok(()),
                },
            };
            self.tasks.spawn(self.asker.clone().ask(question));
        }
        Ok(())
    }

    async fn read(&mut self, batch: &Batch, done: &Done) -> Result<Option<Question>, Trouble> {
        loop {
            let Some(line) = self.reader.next().await? else {
                self.is_read = true;
                return Ok(None);
            };
            if done.contains(line.number) {
                continue;
            }
            let text = line.text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
            let Some(request) = text.and_then(BatchLine::read) else {
                let number = line.number;
                return Err(Trouble::Other(format!("line {number} is not as it was validated")));
            };
            return Ok(Some(Question {
                line: line.number,
                id: request_id(&batch.id, line.number),
                custom_id: request.custom_id.into_owned(),
                body: request.body.get().to_owned(),
            }));
        }
    }

    /// Takes over how much room there is.
    pub(super) async fn look(&mut self) {
        let ours = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        let ground = self.asker.gateway.ground(&self.asker.principal, &self.name, ours).await;
        // A replica that is gone is waited for by the requests themselves.
        if let Ok(Ground::Ready { room, .. }) = ground {
            self.room = room;
        }
    }
}

/// The id of a line's request.
pub(super) fn request_id(batch: &BatchId, line: u32) -> String {
    let rest = batch.as_str().trim_start_matches("batch_");
    format!("batch_req_{rest}{line:06}")
}
