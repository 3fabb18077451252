//! Reads two runs to compare them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::calibration::{Calibrated, Calibration, HumanLabel};
use super::comparison::{Row, Shared};
use super::error::EvalError;
use super::result::EvalResult;
use super::run::EvalRun;
use super::service::Evals;
use super::stats::Confidence;
use crate::entity::StoreExt;
use crate::ports::{Query, StateStore, StoreError};
use crate::tenancy::{Allowed, ProjectId, may};

/// How many results are read at once.
const PAGE: usize = 200;

/// Two runs, and what they say of each example.
#[derive(Debug)]
pub struct BothRuns {
    pub baseline: EvalRun,
    pub candidate: EvalRun,
    pub shared: Shared,
    pub rows: Vec<Row>,
    pub warnings: Vec<String>,
}

impl Evals {
    /// What two runs of a project say of the examples that both were to answer.
    pub async fn both(
        &self,
        by: &Allowed<may::EvalsRead>,
        project: &ProjectId,
        baseline: &str,
        candidate: &str,
    ) -> Result<BothRuns, EvalError> {
        let baseline = self.ended(by, project, baseline).await?;
        let candidate = self.ended(by, project, candidate).await?;
        let (shared, mut warnings) = Shared::of(&baseline, &candidate)?;
        for run in [&baseline, &candidate] {
            if run.tally.completed < run.total {
                warnings.push(format!(
                    "run `{}` is {} with {} of {} results; the others count as unmeasured",
                    run.id, run.status, run.tally.completed, run.total
                ));
            }
        }
        let of_candidate = Self::positions(&candidate.config);
        let mut left = Results::of(self.store(), EvalResult::all_of(&baseline));
        let mut right = Results::of(self.store(), EvalResult::all_of(&candidate));
        let mut rows = Vec::new();
        for position in Self::positions(&baseline.config) {
            let one = left.at(position).await?;
            let other = right.at(position).await?;
            if of_candidate.binary_search(&position).is_err() {
                continue;
            }
            let first = other.first().or(one.first());
            let tags = first.map(|result| result.tags.iter().cloned().collect());
            let cluster = first.and_then(|result| result.cluster.clone());
            let scores = |results: &[EvalResult], repeats: u32, is_candidate: bool| {
                let mut all: Vec<_> =
                    results.iter().map(|result| shared.scores(result, is_candidate)).collect();
                all.resize_with(repeats as usize, || shared.nothing());
                all
            };
            rows.push(Row {
                position,
                tags: tags.unwrap_or_default(),
                cluster,
                baseline: scores(&one, baseline.config.repeats, false),
                candidate: scores(&other, candidate.config.repeats, true),
            });
        }
        if rows.is_empty() {
            let why = "they have no example in common; run both on one sample";
            return Err(EvalError::NotComparable(why.into()));
        }
        Ok(BothRuns { baseline, candidate, shared, rows, warnings })
    }

    /// How far an evaluator of a run agrees with humans.
    pub async fn calibrate(
        &self,
        by: &Allowed<may::EvalsRead>,
        project: &ProjectId,
        id: &str,
        evaluator: &str,
        labels: Vec<HumanLabel>,
    ) -> Result<Calibrated, EvalError> {
        let run = self.ended(by, project, id).await?;
        let mut calibration = Calibration::new(&run, evaluator, labels)?;
        let mut query = EvalResult::all_of(&run);
        query.limit = PAGE;
        loop {
            let (page, next) = self.store().load_page::<EvalResult>(&query).await?;
            for stored in &page {
                calibration.add(&stored.value);
            }
            match next {
                Some(next) => query.cursor = Some(next),
                None => return calibration.finish(Confidence::USUAL),
            }
        }
    }

    async fn ended(
        &self,
        by: &Allowed<may::EvalsRead>,
        project: &ProjectId,
        id: &str,
    ) -> Result<EvalRun, EvalError> {
        let run = self.get(by, project, id).await?;
        if run.status.is_final() {
            return Ok(run);
        }
        Err(EvalError::NotEnded { id: run.id.to_string(), status: run.status })
    }
}

/// Results in the order of their examples.
struct Results {
    store: Arc<dyn StateStore>,
    query: Option<Query>,
    page: VecDeque<EvalResult>,
}

impl Results {
    fn of(store: &Arc<dyn StateStore>, mut query: Query) -> Self {
        query.limit = PAGE;
        Self { store: store.clone(), query: Some(query), page: VecDeque::new() }
    }

    /// Those of a position that is not before the last one that was asked for.
    async fn at(&mut self, position: u32) -> Result<Vec<EvalResult>, StoreError> {
        let mut found = Vec::new();
        loop {
            if self.page.is_empty() {
                let Some(mut query) = self.query.take() else { return Ok(found) };
                let (page, next) = self.store.load_page::<EvalResult>(&query).await?;
                self.page = page.into_iter().map(|stored| stored.value).collect();
                self.query = next.map(|next| {
                    query.cursor = Some(next);
                    query
                });
                continue;
            }
            if self.page.front().is_some_and(|result| result.position > position) {
                return Ok(found);
            }
            found.extend(self.page.pop_front().filter(|result| result.position == position));
        }
    }
}
