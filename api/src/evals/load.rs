//! The examples of a run that have no results yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::entity::Entity;
use diogenes_core::evals::{EvalExample, ExampleReader};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Expect, Write, document_bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::case::{Finding, Plan, Question, examine};
use super::run::Run;
use crate::bulk::{Asked, Asker, Done, Load, MOST_BYTES, Trouble, commit};
use crate::jobs::Stop;

/// How many examples are read at once.
const PAGE: u64 = 250;
/// How long an example may wait for a model that is busy, beside its attempts.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A run whose examples are asked.
pub(super) struct EvalLoad<'r, 'a> {
    pub(super) run: &'r mut Run<'a>,
    pub(super) plan: Arc<Plan>,
    pub(super) asker: Asker,
    pub(super) reader: Box<dyn ExampleReader>,
    /// The positions of its examples, ascending.
    pub(super) positions: Vec<u32>,
    /// Which results there are, by the place of their position times the repeats.
    pub(super) done: Done,
    /// The place of the next position, and the next repeat.
    pub(super) next: (usize, u32),
    /// Examples that were read, with the position of the first.
    pub(super) page: (u64, VecDeque<Arc<EvalExample>>),
}

impl EvalLoad<'_, '_> {
    async fn example(&mut self, position: u32) -> Result<Arc<EvalExample>, Trouble> {
        let wanted = u64::from(position);
        let (start, page) = &mut self.page;
        let is_there = wanted >= *start && wanted - *start < page.len() as u64;
        if !is_there {
            let examples = self.reader.read(wanted..wanted + PAGE).await;
            let examples = examples.map_err(|error| Trouble::Other(error.to_string()))?;
            *start = wanted;
            *page = examples.into_iter().map(Arc::new).collect();
        }
        // Those before it are not needed any more.
        while *start < wanted {
            page.pop_front();
            *start += 1;
        }
        let example = page.front().cloned();
        example.ok_or_else(|| {
            let dataset = self.plan.config.dataset.reference();
            Trouble::Other(format!("`{dataset}` has no example at position {position} any more"))
        })
    }
}

#[async_trait]
impl Load for EvalLoad<'_, '_> {
    type Question = Question;
    type Answer = Finding;

    async fn next(&mut self) -> Result<Option<Question>, Trouble> {
        let repeats = self.plan.config.repeats;
        loop {
            let (place, repeat) = self.next;
            let Some(position) = self.positions.get(place).copied() else { return Ok(None) };
            self.next = if repeat + 1 < repeats { (place, repeat + 1) } else { (place + 1, 0) };
            let number = u32::try_from(place).unwrap_or(u32::MAX) * repeats + repeat;
            if !self.done.contains(number) {
                let example = self.example(position).await?;
                return Ok(Some(Question { position, repeat, example }));
            }
        }
    }

    fn ask(&self, question: Question) -> BoxFuture<'static, Asked<Question, Finding>> {
        let until = Instant::now() + LONGEST_WAIT;
        examine(self.plan.clone(), Asker { until, ..self.asker.clone() }, question).boxed()
    }

    async fn keep(&mut self, findings: Vec<Finding>, counts_are_due: bool) -> Result<(), Trouble> {
        let (mut writes, mut bytes) = (Vec::new(), 0);
        for finding in findings {
            let result = match finding {
                Finding::Result(result) => result,
                Finding::TooDear(why) => {
                    self.run.too_dear.get_or_insert(why);
                    continue;
                }
            };
            self.run.tally.add(&result);
            let write = result.put(Expect::Absent)?;
            if let Write::Put { document, .. } = &write {
                bytes += document_bytes(document);
            }
            writes.push(write);
            if bytes >= MOST_BYTES {
                commit(self.run.work, &std::mem::take(&mut writes)).await?;
                bytes = 0;
            }
        }
        if !writes.is_empty() {
            commit(self.run.work, &writes).await?;
        }
        if counts_are_due {
            self.run.write_tally().await?;
        }
        Ok(())
    }

    fn is_over(&self, stop: Stop) -> bool {
        self.run.reason_to_stop(stop).is_some()
    }

    async fn hold(&self, _: Option<&ModelName>) -> Result<(), Trouble> {
        self.run.hold_all().await
    }

    fn tell(&self) {
        self.run.tell();
    }
}
