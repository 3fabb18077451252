use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::error::EvalError;
use super::evaluators::{Evaluator, EvaluatorSpec, EvaluatorType, JUDGE_TEMPLATE};
use super::examples::ExampleSource;
use super::new_eval::{MOST_CASES, NewEval};
use super::result::{EvalResult, Standing};
use super::run::{EvalConfig, EvalId, EvalRun, EvalStatus, Subject};
use super::sample::sample;
use super::tally::{EvaluatorTally, Tally};
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::jobs::{Creator, Jobs, NewJob};
use crate::name::ModelName;
use crate::ports::{Clock, Cursor, Direction, Entropy, Expect, StateStore};
use crate::prompts::{PromptError, PromptRef, PromptStatus, PromptVersion, Prompts};
use crate::tenancy::{Allowed, Principal, ProjectError, ProjectId, in_use, may, reached};

/// How long an example may take that does not say.
const USUAL_TIMEOUT: Duration = Duration::from_mins(5);
/// How often a request is sent that fails by no fault of its own.
const USUAL_ATTEMPTS: u32 = 5;
/// The most results that one page of a filtered listing reads.
const MOST_READS: usize = 5_000;

/// Creates runs, shows them and their results, and ends them.
#[derive(Clone)]
pub struct Evals {
    store: Arc<dyn StateStore>,
    jobs: Jobs,
    prompts: Prompts,
    examples: Arc<dyn ExampleSource>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A wanted run that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub config: EvalConfig,
    /// How many results there will be.
    pub total: u32,
    /// What the prompt says, where the subject is one.
    pub version: Option<PromptVersion>,
    pub warnings: Vec<String>,
}

impl Draft {
    /// Every model that the run asks, the subject's first, and the field that names it.
    pub fn models(&self) -> Vec<(String, String)> {
        let subject =
            self.config.subject.model().map(|model| ("model".to_owned(), model.to_owned()));
        let of_evaluator = |(index, spec): (usize, &EvaluatorSpec)| {
            Some((format!("evaluators[{index}].params.model"), spec.model()?.to_owned()))
        };
        let evaluators = self.config.evaluators.iter().enumerate().filter_map(of_evaluator);
        subject.into_iter().chain(evaluators).collect()
    }

    /// Every address that the run asks, and the field that names it.
    pub fn webhooks(&self) -> Vec<(String, String)> {
        let of_evaluator = |(index, spec): (usize, &EvaluatorSpec)| {
            Some((format!("evaluators[{index}].params.url"), spec.url()?.to_owned()))
        };
        self.config.evaluators.iter().enumerate().filter_map(of_evaluator).collect()
    }
}

/// A page of runs.
#[derive(Debug)]
pub struct EvalPage {
    /// The runs, newest first.
    pub runs: Vec<EvalRun>,
    pub next: Option<Cursor>,
}

/// A page of results.
#[derive(Debug)]
pub struct ResultPage {
    pub run: EvalRun,
    /// The results, in the order of the examples. A page may be short, even empty; only `next` ends the listing.
    pub results: Vec<EvalResult>,
    pub next: Option<Cursor>,
}

impl Evals {
    /// A service over these parts.
    pub fn new(
        store: Arc<dyn StateStore>,
        jobs: Jobs,
        prompts: Prompts,
        examples: Arc<dyn ExampleSource>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, jobs, prompts, examples, clock, entropy }
    }

    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    pub fn examples(&self) -> &Arc<dyn ExampleSource> {
        &self.examples
    }

    /// Checks a wanted run, and pins everything that it depends on.
    pub async fn draft(&self, by: &Principal, new: NewEval) -> Result<Draft, EvalError> {
        new.check()?;
        let evaluators = Evaluator::all(&new.evaluators)?;
        let (subject, version) = self.subject(by, &new).await?;
        let dataset = self.examples.pin(by, &new.dataset).await?;
        if dataset.examples == 0 {
            let problem = format!("`{}` has no examples; add some first", dataset.reference());
            return Err(EvalError::invalid("dataset", problem));
        }
        let repeats = new.repeats.unwrap_or(1);
        let count = u32::try_from(dataset.examples).unwrap_or(u32::MAX);
        let chosen = new.sample_size.unwrap_or(count).min(count);
        let total = chosen.checked_mul(repeats).filter(|total| *total <= MOST_CASES);
        let total = total.ok_or_else(|| {
            let problem = format!(
                "makes {} results with everything; a run has at most {MOST_CASES}",
                u64::from(chosen) * u64::from(repeats)
            );
            EvalError::invalid("sample_size", problem)
        })?;
        let warnings = warnings(&subject, &evaluators, &new);
        let is_judged = new.evaluators.iter().any(|spec| spec.kind == EvaluatorType::LlmJudge);
        let config = EvalConfig {
            subject,
            dataset,
            judge_template: is_judged.then(|| JUDGE_TEMPLATE.to_owned()),
            evaluators: new.evaluators,
            parameters: new.parameters,
            concurrency: new.concurrency,
            timeout: new.timeout.unwrap_or(USUAL_TIMEOUT),
            attempts: new.attempts.unwrap_or(USUAL_ATTEMPTS),
            repeats,
            sample_size: new.sample_size,
            shuffle: new.shuffle,
            seed: new.seed,
            cluster_by: new.cluster_by,
            max_cost: new.max_cost,
            min_pass_rate: new.min_pass_rate,
            min_score: new.min_score,
        };
        Ok(Draft { config, total, version, warnings })
    }

    async fn subject(
        &self,
        by: &Principal,
        new: &NewEval,
    ) -> Result<(Subject, Option<PromptVersion>), EvalError> {
        let model = new.model.as_ref().map(|model| {
            let parsed: Result<ModelName, _> = model.parse();
            let wrong = |error| EvalError::invalid("model", format!("is not one: {error}"));
            parsed.map_err(wrong).map(|model| model.to_string())
        });
        let model = model.transpose()?;
        match (&new.prompt, model, &new.column) {
            (None, None, Some(path)) => Ok((Subject::Column { path: path.clone() }, None)),
            (None, Some(model), None) => Ok((Subject::Model { model }, None)),
            (Some(reference), model, None) => {
                let version = self.version(by, reference).await?;
                let Some(model) = model.or_else(|| version.content.model.clone()) else {
                    let problem = format!("is missing: the prompt `{reference}` names none");
                    return Err(EvalError::invalid("model", problem));
                };
                let names = version.content.variables.iter().map(|variable| variable.name.clone());
                let variables: Vec<String> = names.collect();
                let is_open = |name: &&String| {
                    version.content.variables.iter().any(|v| v.name == **name && v.is_required())
                };
                let variable = match &variables[..] {
                    [only] => Some(only.clone()),
                    all => all.iter().find(|name| *name == "input").cloned().or_else(|| {
                        let mut open = all.iter().filter(is_open);
                        open.next().filter(|_| open.next().is_none()).cloned()
                    }),
                };
                let (slug, number) = (version.slug.to_string(), version.number);
                let subject = Subject::Prompt { slug, version: number, model, variables, variable };
                Ok((subject, Some(version)))
            }
            (None, None, None) => {
                let problem =
                    "is missing: give `prompt`, `model` or `column`, what is to be evaluated";
                Err(EvalError::invalid("prompt", problem))
            }
            (_, _, Some(_)) => {
                let problem = "stands beside `prompt` or `model`; answers are recorded or asked for, not both";
                Err(EvalError::invalid("column", problem))
            }
        }
    }

    async fn version(&self, by: &Principal, reference: &str) -> Result<PromptVersion, EvalError> {
        let allowed = Allowed::<may::PromptsRead>::check(Arc::new(by.clone()))?;
        let wrong = |error| EvalError::invalid("prompt", format!("is not one: {error}"));
        let wanted: PromptRef = reference.parse().map_err(wrong)?;
        let slug = wanted.slug.as_str();
        let (prompt, version) =
            self.prompts.version(&allowed, &by.project, slug, &wanted.version).await?;
        if prompt.status == PromptStatus::Archived {
            return Err(PromptError::Archived(prompt.slug).into());
        }
        Ok(version)
    }

    /// Creates a run of the caller's project, and the job that does it.
    pub async fn create(
        &self,
        by: &Allowed<may::EvalsWrite>,
        name: String,
        draft: Draft,
    ) -> Result<EvalRun, EvalError> {
        // It asks models with the caller's key.
        Allowed::<may::InferenceUse>::check(by.principal().clone())?;
        in_use(&*self.store, &by.project).await?;
        let now = self.clock.now();
        let id = EvalId::new(now, &*self.entropy);
        let created_by = Creator::new(&by.subject, &by.key);
        let arguments = json!({ "run": id });
        let mut job = NewJob::new(by.project.clone(), EvalRun::JOB, arguments, created_by.clone());
        job.cleans_up = true;
        job.tags.insert("eval".into(), id.to_string());
        let (job, mut writes) = self.jobs.enqueue(job)?;
        let evaluators = vec![EvaluatorTally::default(); draft.config.evaluators.len()];
        let run = EvalRun {
            id,
            project: by.project.clone(),
            name,
            config: draft.config,
            status: EvalStatus::Pending,
            job: job.id.clone(),
            created_by,
            created_at: now,
            started_at: None,
            ended_at: None,
            total: draft.total,
            tally: Tally { evaluators, ..Tally::default() },
            problem: None,
            warnings: draft.warnings,
        };
        writes.push(run.put(Expect::Absent)?);
        writes.push(change(&run, Action::eval_create()).write(&Actor::from(by), now)?);
        self.jobs.foresee(&job.queue, job.run_at).await;
        self.store.commit(&writes).await?;
        self.jobs.announce(&job.queue).await;
        Ok(run)
    }

    /// A run.
    pub async fn get(
        &self,
        by: &Allowed<may::EvalsRead>,
        project: &ProjectId,
        id: &str,
    ) -> Result<EvalRun, EvalError> {
        Ok(self.stored(by, project, id).await?.value)
    }

    async fn stored(
        &self,
        by: &Principal,
        project: &ProjectId,
        id: &str,
    ) -> Result<Stored<EvalRun>, EvalError> {
        if !by.reaches(project) {
            return Err(ProjectError::NotFound(project.clone()).into());
        }
        let not_found = || EvalError::NotFound(id.chars().take(64).collect());
        let id = EvalId::from_caller(id).ok_or_else(not_found)?;
        let stored = self.store.load::<EvalRun>(&EvalRun::key_of(project, &id)).await?;
        stored.ok_or_else(not_found)
    }

    /// One page of the runs of a project, newest first.
    pub async fn list(
        &self,
        by: &Allowed<may::EvalsRead>,
        project: &ProjectId,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<EvalPage, EvalError> {
        reached(&*self.store, by, project).await?;
        let mut query = EvalRun::of_project(project);
        (query.direction, query.limit, query.cursor) = (Direction::Descending, limit, cursor);
        let (page, next) = self.store.load_page::<EvalRun>(&query).await?;
        Ok(EvalPage { runs: page.into_iter().map(|stored| stored.value).collect(), next })
    }

    /// One page of the results of a run, of all examples or only of those that did not pass.
    pub async fn results(
        &self,
        by: &Allowed<may::EvalsRead>,
        project: &ProjectId,
        id: &str,
        failed_only: bool,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<ResultPage, EvalError> {
        let run = self.stored(by, project, id).await?.value;
        let mut query = EvalResult::all_of(&run);
        query.cursor = cursor;
        let (results, next) = if failed_only {
            let is_wanted = |result: &EvalResult| result.standing() != Standing::Passed;
            self.store.load_wanted(query, limit, MOST_READS, is_wanted).await?
        } else {
            query.limit = limit;
            let (page, next) = self.store.load_page::<EvalResult>(&query).await?;
            (page.into_iter().map(|stored| stored.value).collect(), next)
        };
        Ok(ResultPage { run, results, next })
    }

    /// What came of an example of a run, asked for the first time.
    pub async fn first_result(
        &self,
        run: &EvalRun,
        position: u32,
    ) -> Result<Option<EvalResult>, EvalError> {
        let key = EvalResult::key_of(&run.project, &run.id, position, 0);
        Ok(self.store.load::<EvalResult>(&key).await?.map(|result| result.value))
    }

    /// Asks for the end of a run: no further example is begun, and what was answered is kept. A repeat call changes
    /// nothing and succeeds.
    pub async fn cancel(
        &self,
        by: &Allowed<may::EvalsWrite>,
        project: &ProjectId,
        id: &str,
    ) -> Result<EvalRun, EvalError> {
        loop {
            let stored = self.stored(by, project, id).await?;
            let run = &stored.value;
            let refused =
                || EvalError::NotCancellable { id: run.id.to_string(), status: run.status };
            if run.status == EvalStatus::Cancelled {
                return Ok(stored.value);
            }
            if run.status.is_final() {
                return Err(refused());
            }
            let job = self.jobs.load(project, &run.job).await?;
            let Some(job) = job.filter(|job| !job.value.is_finished()) else {
                return Err(refused());
            };
            if job.value.cancel_requested_at.is_some() {
                return Ok(stored.value);
            }
            let now = self.clock.now();
            let (_, mut writes) = self.jobs.cancelled(&job, now).await?;
            writes.push(change(run, Action::eval_cancel()).write(&Actor::from(by), now)?);
            self.jobs.foresee(&job.value.queue, now).await;
            if self.store.committed(&writes).await? {
                self.jobs.announce(&job.value.queue).await;
                return Ok(stored.value);
            }
        }
    }

    /// The positions of the examples of a run.
    pub fn positions(config: &EvalConfig) -> Vec<u32> {
        let count = u32::try_from(config.dataset.examples).unwrap_or(u32::MAX);
        sample(count, config.sample_size, config.shuffle, config.seed)
    }
}

/// What to know of a run before it begins.
fn warnings(subject: &Subject, evaluators: &[Evaluator], new: &NewEval) -> Vec<String> {
    let mut warnings = Vec::new();
    for evaluator in evaluators {
        let spec = evaluator.spec();
        let is_judge = spec.kind == EvaluatorType::LlmJudge;
        if is_judge && subject.model().is_some() && spec.model() == subject.model() {
            warnings.push(format!(
                "`{}` judges with the model that it judges, which tends to favour its own answers; use another model",
                evaluator.name()
            ));
        }
    }
    let is_webhook = |evaluator: &Evaluator| evaluator.spec().kind == EvaluatorType::Webhook;
    if new.max_cost.is_some() && evaluators.iter().any(is_webhook) {
        warnings.push("what a webhook costs is not part of `max_cost`".into());
    }
    warnings
}

fn change(run: &EvalRun, action: Action) -> Change {
    let EvalConfig { subject, dataset, .. } = &run.config;
    Change {
        project: run.project.clone(),
        action,
        target: format!("eval/{}", run.id),
        summary: format!("{} on {}", subject.name(), dataset.reference()),
    }
}
