//! A run while it is under way, and its record.

use std::sync::Arc;

use diogenes_core::Timestamp;
use diogenes_core::causes::chain;
use diogenes_core::entity::{Entity, Stored};
use diogenes_core::evals::evaluators::EvaluatorSpec;
use diogenes_core::evals::{EvalRun, EvalStatus, Evals, Tally};
use diogenes_core::jobs::{ClaimError, JobOutcome, Progress};
use diogenes_core::keys::Keys;
use diogenes_core::ports::{Clock, StateStore};
use serde_json::json;

use super::webhooks::Webhooks;
use crate::bulk::{Patron, Trouble};
use crate::jobs::{Ended, Stop, Work};
use crate::proxy::Gateway;

/// A run while it is under way.
pub(super) struct Run<'a> {
    pub(super) evals: &'a Evals,
    pub(super) keys: &'a Keys,
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) webhooks: Option<&'a Webhooks>,
    pub(super) work: &'a Work,
    pub(super) stored: Stored<EvalRun>,
    /// What its results say.
    pub(super) tally: Tally,
    /// Why nothing more may be spent, if nothing may be.
    pub(super) too_dear: Option<String>,
}

/// Why a run ends before every example has a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Early {
    Cancelled,
    /// It cannot be finished, and says why.
    Failed(String),
}

impl Run<'_> {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn value(&self) -> &EvalRun {
        &self.stored.value
    }

    pub(super) fn store(&self) -> &Arc<dyn StateStore> {
        self.evals.store()
    }

    pub(super) fn patron(&self) -> Patron<'_> {
        Patron {
            gateway: self.gateway,
            keys: self.keys,
            store: self.store(),
            clock: self.clock,
            holder: format!("eval/{}", self.value().id),
        }
    }

    /// Every model that it asks, the one with the room that counts first.
    pub(super) fn models(&self) -> Vec<String> {
        let config = &self.value().config;
        let of_evaluators = config.evaluators.iter().filter_map(EvaluatorSpec::model);
        let mut models: Vec<String> = Vec::new();
        for model in config.subject.model().into_iter().chain(of_evaluators) {
            if !models.iter().any(|known| known == model) {
                models.push(model.to_owned());
            }
        }
        models
    }

    /// Why no further example is begun, if none is.
    pub(super) fn reason_to_stop(&self, stop: Stop) -> Option<Early> {
        if stop == Stop::Cancelled {
            return Some(Early::Cancelled);
        }
        let why = self.too_dear.as_ref()?;
        Some(Early::Failed(format!("`max_cost` lets nothing more be asked: {why}")))
    }

    /// Wants every model that it asks for a while longer.
    pub(super) async fn hold_all(&self) -> Result<(), Trouble> {
        let patron = self.patron();
        for name in self.models() {
            let model = self.gateway.model_behind(&name).await;
            if let Some(model) = model.map_err(|error| Trouble::Other(error.message))? {
                patron.hold(&model, self.now()).await?;
            }
        }
        Ok(())
    }

    pub(super) fn tell(&self) {
        self.work.progress(Progress {
            done: self.tally.completed.into(),
            total: self.value().total.into(),
            message: String::new(),
        });
    }

    /// Says that it has begun.
    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        if self.value().status == EvalStatus::Running {
            return Ok(());
        }
        let now = self.now();
        self.update(|run| {
            run.status = EvalStatus::Running;
            run.started_at.get_or_insert(now);
        })
        .await
    }

    /// Shows what the results say, unless it is shown.
    pub(super) async fn write_tally(&mut self) -> Result<(), Trouble> {
        if self.value().tally == self.tally {
            return Ok(());
        }
        let tally = self.tally.clone();
        self.update(|run| run.tally = tally.clone()).await
    }

    /// Changes the record, which nobody but this worker does.
    pub(super) async fn update(&mut self, change: impl Fn(&mut EvalRun)) -> Result<(), Trouble> {
        let mut run = self.stored.value.clone();
        change(&mut run);
        let versions = match self.work.commit(&[run.put(self.stored.unchanged())?]).await {
            Err(ClaimError::Changed) => return Err(ClaimError::Lost.into()),
            versions => versions?,
        };
        let version = versions.into_iter().flatten().next();
        let version = version.ok_or(Trouble::Other("a put has no version".into()))?;
        self.stored = Stored { value: run, version };
        Ok(())
    }

    /// Ends the run, and its job with it.
    pub(super) fn end(&self, early: Option<&Early>) -> Ended {
        self.tell();
        let (status, problem) = match early {
            None => (EvalStatus::Completed, None),
            Some(Early::Cancelled) => (EvalStatus::Cancelled, None),
            Some(Early::Failed(why)) => (EvalStatus::Failed, Some(why.clone())),
        };
        let outcome = match early {
            None => {
                let Tally { completed, passed, failed, unmeasured, .. } = self.tally;
                let result = json!({
                    "completed": completed, "passed": passed, "failed": failed,
                    "unmeasured": unmeasured,
                });
                JobOutcome::Completed { result: Some(result) }
            }
            Some(Early::Cancelled) => JobOutcome::Cancelled,
            Some(Early::Failed(message)) => {
                JobOutcome::Failed { message: message.clone(), is_final: true }
            }
        };
        let mut run = self.value().clone();
        run.tally = self.tally.clone();
        let put =
            run.ended(status, problem, self.now()).map(|run| run.put(self.stored.unchanged()));
        match put {
            Some(Ok(put)) => Ended { writes: vec![put], ..Ended::with(outcome) },
            Some(Err(error)) => Ended::failed(chain(&error)),
            None => Ended::with(outcome),
        }
    }
}
