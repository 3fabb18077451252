use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use diogenes_core::causes::chain;
use diogenes_core::entity::StoreExt;
use diogenes_core::evals::evaluators::Evaluator;
use diogenes_core::evals::{EvalError, EvalId, EvalResult, EvalRun, Evals, EvaluatorTally, Tally};
use diogenes_core::fleet::eta::later;
use diogenes_core::gateway::budget::Budget;
use diogenes_core::jobs::JobOutcome;
use diogenes_core::keys::Keys;
use diogenes_core::name::ModelName;
use diogenes_core::ports::Clock;
use diogenes_core::tenancy::Principal;
use serde_json::Value;
use tokio::time::Instant;

use super::case::Plan;
use super::load::EvalLoad;
use super::run::{Early, Run};
use super::webhooks::Webhooks;
use crate::bulk::{Asker, Done, Flights, Landed, Records, Trouble};
use crate::error::ErrorKind;
use crate::jobs::{Ended, Handler, Work};
use crate::proxy::{Gateway, Ground};

/// How many examples are under way at once where nothing else says so.
const AT_ONCE: u32 = 16;

/// Runs evals: the handler of their jobs.
pub struct EvalRunner {
    pub evals: Evals,
    pub keys: Keys,
    pub gateway: Arc<Gateway>,
    pub clock: Arc<dyn Clock>,
    /// What asks services that score, where there may be any.
    pub webhooks: Option<Webhooks>,
}

#[async_trait]
impl Handler for EvalRunner {
    async fn run(&self, work: &Work) -> Ended {
        let job = work.job().await;
        let id = work.arguments().await;
        let id = id.get("run").and_then(Value::as_str).and_then(EvalId::from_caller);
        let Some(id) = id else {
            let message = "the job names no eval run".into();
            return Ended::with(JobOutcome::Failed { message, is_final: true });
        };
        let run = self.evals.store().load::<EvalRun>(&EvalRun::key_of(&job.project, &id)).await;
        let run = match run {
            Ok(Some(run)) if !run.value.status.is_final() => run,
            Ok(_) => return Ended::with(JobOutcome::Completed { result: None }),
            Err(error) => return Ended::failed(chain(&error)),
        };
        let tally = run.value.tally.clone();
        let mut run = Run {
            evals: &self.evals,
            keys: &self.keys,
            gateway: &self.gateway,
            clock: &self.clock,
            work,
            stored: run,
            tally,
            too_dear: None,
            webhooks: self.webhooks.as_ref(),
        };
        if job.attempt > job.max_attempts {
            let message = "its worker was lost too often without having got further".into();
            return run.end(Some(&Early::Failed(message)));
        }
        match run.go_on().await {
            Ok(ended) => ended,
            Err(error) => {
                let message = chain(&error);
                if job.attempt < job.max_attempts {
                    return Ended::failed(message);
                }
                run.end(Some(&Early::Failed(message)))
            }
        }
    }
}

/// What follows the asking.
enum Way {
    /// The run ends, before its time or with all of its results.
    Ends(Option<Early>),
    /// Another attempt goes on.
    GoesOn(Ended),
}

impl Run<'_> {
    async fn go_on(&mut self) -> Result<Ended, Trouble> {
        let positions = Evals::positions(&self.value().config);
        let done = self.count(&positions).await?;
        // An attempt that begins further on than the one before it counts as the first.
        self.tell();
        self.work.beat().await?;
        match self.ask(positions, done).await? {
            Way::Ends(early) => {
                for model in self.models() {
                    self.patron().release(&model).await?;
                }
                Ok(self.end(early.as_ref()))
            }
            Way::GoesOn(ended) => {
                self.write_tally().await?;
                Ok(ended)
            }
        }
    }

    /// Adds up the results, and returns which there are.
    async fn count(&mut self, positions: &[u32]) -> Result<Done, Trouble> {
        let (mut done, mut tally) = (Done::default(), Tally::default());
        tally.evaluators.resize(self.value().config.evaluators.len(), EvaluatorTally::default());
        let repeats = self.value().config.repeats;
        let query = EvalResult::all_of(self.value());
        let mut results = Records::<EvalResult>::of(self.store(), query);
        while let Some(result) = results.next().await? {
            if let Ok(place) = positions.binary_search(&result.position) {
                done.insert(u32::try_from(place).unwrap_or(u32::MAX) * repeats + result.repeat);
            }
            tally.add(&result);
        }
        self.tally = tally;
        Ok(done)
    }

    /// Asks the examples that have no results.
    async fn ask(&mut self, positions: Vec<u32>, done: Done) -> Result<Way, Trouble> {
        let stop = self.work.stop();
        if self.tally.completed >= self.value().total {
            return Ok(Way::Ends(None));
        }
        if let Some(early) = self.reason_to_stop(*stop.borrow()) {
            return Ok(Way::Ends(Some(early)));
        }
        let evaluators = match Evaluator::all(&self.value().config.evaluators) {
            Ok(evaluators) => evaluators,
            Err(problem) => return Ok(Way::Ends(Some(Early::Failed(problem.to_string())))),
        };
        let patron = self.patron();
        let principal = match patron.principal(&self.value().created_by).await {
            Ok(principal) => principal,
            Err(error) if error.kind == ErrorKind::StoreUnavailable => {
                return Err(Trouble::Other(error.message));
            }
            Err(error) => return Ok(Way::Ends(Some(Early::Failed(error.message)))),
        };
        let ground = match self.grounds(&principal).await? {
            Ok(ground) => ground,
            Err(way) => return Ok(way),
        };
        let reader = match self.evals.examples().open(&self.value().config.dataset).await {
            Ok(reader) => reader,
            Err(EvalError::Store(error)) => return Err(error.into()),
            Err(error) => return Ok(Way::Ends(Some(Early::Failed(error.to_string())))),
        };
        self.begin().await?;
        let config = self.value().config.clone();
        let most = config.concurrency.unwrap_or(u32::MAX);
        let asker = Asker {
            gateway: self.gateway.clone(),
            principal: principal.clone(),
            attempts: config.attempts,
            patience: Some(config.timeout),
            allowance: config.max_cost.map(|most| {
                let run = self.value();
                Box::new(Budget::of_run(run.id.as_str(), &run.project, most, run.created_at))
            }),
            until: Instant::now(),
        };
        let plan = Arc::new(Plan {
            project: self.value().project.clone(),
            run: self.value().id.clone(),
            until: EvalResult::kept_until(self.value()),
            config,
            evaluators,
            webhooks: self.webhooks.cloned(),
        });
        let (name, gateway) = (self.models().into_iter().next(), self.gateway.clone());
        let page = (0, VecDeque::new());
        let load = EvalLoad { run: self, plan, asker, reader, positions, done, next: (0, 0), page };
        let mut flights = Flights::new(load, gateway, principal, name, ground, most);
        let landed = flights.fly(stop.clone()).await?;
        drop(flights);
        Ok(match landed {
            Landed::Done => Way::Ends(None),
            Landed::Over => Way::Ends(self.reason_to_stop(*stop.borrow())),
            Landed::Released => Way::GoesOn(Ended::with(JobOutcome::Released)),
        })
    }

    /// Whether every model that is asked runs; how much room there is at the first.
    async fn grounds(
        &self,
        principal: &Principal,
    ) -> Result<Result<(Option<ModelName>, u32), Way>, Trouble> {
        let patron = self.patron();
        let (mut first, mut cold) = (None, None);
        for name in self.models() {
            match self.gateway.ground(principal, &name, 0).await {
                Ok(Ground::Ready { model, room }) => {
                    // Nobody knows how much room there is at a provider.
                    let wanted = self.value().config.concurrency.unwrap_or(room);
                    let room = if model.is_none() { wanted.max(room) } else { room };
                    first.get_or_insert((model, room));
                }
                Ok(Ground::Cold { model, pause, what }) => {
                    let until = later(self.now(), pause);
                    patron.hold(&model, until).await?;
                    self.gateway.look_after(&model).await;
                    cold.get_or_insert((until, what));
                }
                Err(error) if error.kind == ErrorKind::StoreUnavailable => {
                    return Err(Trouble::Other(error.message));
                }
                Err(error) => return Ok(Err(Way::Ends(Some(Early::Failed(error.message))))),
            }
        }
        if let Some((until, what)) = cold {
            // Those that run already are kept meanwhile.
            self.hold_all().await?;
            return Ok(Err(Way::GoesOn(Ended::with(JobOutcome::Snoozed { until, what }))));
        }
        let alone = || (None, self.value().config.concurrency.unwrap_or(AT_ONCE));
        Ok(Ok(first.unwrap_or_else(alone)))
    }
}
