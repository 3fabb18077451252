use std::collections::BTreeMap;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::batches::Bill;
use diogenes_core::evals::evaluators::{EvaluatorSpec, EvaluatorType, EvaluatorTypeInfo, Scored};
use diogenes_core::evals::{
    EvalConfig, EvalResult, EvalRun, EvalStatus, EvaluatorTally, Gate, Standing, Subject, Tally,
};
use diogenes_core::money::Dollars;
use diogenes_core::tenancy::ProjectId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalBody {
    pub id: String,
    #[schema(value_type = String)]
    pub project: ProjectId,
    pub name: String,
    pub status: EvalStatus,
    pub subject: EvalSubject,
    pub dataset: EvalDataset,
    pub evaluators: Vec<EvaluatorSpec>,
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    pub concurrency: Option<u32>,
    #[serde(with = "diogenes_core::duration")]
    #[schema(value_type = String)]
    pub timeout: Duration,
    pub attempts: u32,
    pub repeats: u32,
    pub sample_size: Option<u32>,
    pub shuffle: bool,
    pub seed: u64,
    pub cluster_by: Option<String>,
    pub max_cost_usd: Option<String>,
    pub min_pass_rate: Option<f64>,
    pub min_score: Option<f64>,
    /// How many results there will be: examples times repeats.
    pub total_examples: u32,
    pub completed_examples: u32,
    pub summary: EvalSummary,
    /// `passed`, `below_threshold` or `inconclusive`; null unless it has completed.
    pub verdict: Option<String>,
    /// Why the verdict is not `passed`.
    pub verdict_reason: Option<String>,
    pub warnings: Vec<String>,
    /// Why it failed.
    pub problem: Option<String>,
    /// The job that does the work.
    pub job_id: String,
    pub created_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// What is evaluated.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalSubject {
    /// `prompt`, `model` or `column`.
    pub kind: String,
    /// As people name it, such as `summarizer:v2`.
    pub name: String,
    /// The slug of the prompt.
    pub prompt: Option<String>,
    pub prompt_version: Option<u32>,
    /// The model or route that is asked.
    pub model: Option<String>,
}

/// The snapshot that is evaluated.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalDataset {
    pub name: String,
    pub version: u32,
    pub digest: String,
    pub examples: u64,
}

/// What the results say so far.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalSummary {
    /// The mean of the evaluators' scores by their weights, 0 to 1; null where one of them has measured nothing.
    pub overall_score: Option<f64>,
    pub scores_by_evaluator: BTreeMap<String, EvaluatorSummary>,
    /// Results that every evaluator lets pass.
    pub passed_count: u32,
    /// Results that at least one evaluator fails.
    pub failed_count: u32,
    /// Results that none fails, and of which at least one cannot tell.
    pub unmeasured_count: u32,
    /// Of the unmeasured ones, those without an answer.
    pub error_count: u32,
    /// The share of those that pass among those that pass or fail.
    pub pass_rate: Option<f64>,
    /// Of subject and judges; null where nothing of it has a price.
    pub total_cost_usd: Option<String>,
    /// Of that, what judges cost.
    pub judge_cost_usd: Option<String>,
    pub total_tokens: u64,
    /// Of that, what judges used.
    pub judge_tokens: u64,
    pub avg_latency_ms: Option<f64>,
}

/// What one evaluator says so far.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvaluatorSummary {
    /// The mean score of what was measured.
    pub score: Option<f64>,
    pub pass_rate: Option<f64>,
    pub measured_count: u32,
    pub unmeasured_count: u32,
}

impl From<&EvaluatorTally> for EvaluatorSummary {
    fn from(tally: &EvaluatorTally) -> Self {
        Self {
            score: tally.mean(),
            pass_rate: tally.pass_rate(),
            measured_count: tally.measured,
            unmeasured_count: tally.unmeasured,
        }
    }
}

fn tokens(bill: Bill) -> u64 {
    bill.input.saturating_add(bill.output)
}

fn cost(bill: Bill) -> Option<String> {
    bill.cost.map(|cost| Dollars(cost).decimal())
}

impl EvalSummary {
    fn of(tally: &Tally, evaluators: &[EvaluatorSpec]) -> Self {
        let names = evaluators.iter().map(|spec| spec.name().to_owned());
        Self {
            overall_score: tally.overall(evaluators),
            scores_by_evaluator: names
                .zip(tally.evaluators.iter().map(EvaluatorSummary::from))
                .collect(),
            passed_count: tally.passed,
            failed_count: tally.failed,
            unmeasured_count: tally.unmeasured,
            error_count: tally.errors,
            pass_rate: tally.pass_rate(),
            total_cost_usd: cost(tally.bill.plus(tally.judge_bill)),
            judge_cost_usd: cost(tally.judge_bill),
            total_tokens: tokens(tally.bill).saturating_add(tokens(tally.judge_bill)),
            judge_tokens: tokens(tally.judge_bill),
            avg_latency_ms: tally.mean_latency_ms(),
        }
    }
}

impl From<&Subject> for EvalSubject {
    fn from(subject: &Subject) -> Self {
        let (kind, prompt, prompt_version) = match subject {
            Subject::Prompt { slug, version, .. } => ("prompt", Some(slug.clone()), Some(*version)),
            Subject::Model { .. } => ("model", None, None),
            Subject::Column { .. } => ("column", None, None),
        };
        Self {
            kind: kind.into(),
            name: subject.name(),
            prompt,
            prompt_version,
            model: subject.model().map(str::to_owned),
        }
    }
}

impl From<EvalRun> for EvalBody {
    fn from(run: EvalRun) -> Self {
        let EvalConfig { evaluators, min_pass_rate, min_score, .. } = &run.config;
        let gate = (run.status == EvalStatus::Completed)
            .then(|| run.tally.gate(evaluators, *min_pass_rate, *min_score));
        let (verdict, verdict_reason) = match gate {
            None => (None, None),
            Some(Gate::Passed) => (Some("passed"), None),
            Some(Gate::BelowThreshold { why }) => (Some("below_threshold"), Some(why)),
            Some(Gate::Inconclusive { why }) => (Some("inconclusive"), Some(why)),
        };
        let summary = EvalSummary::of(&run.tally, evaluators);
        let config = run.config;
        Self {
            id: run.id.to_string(),
            project: run.project,
            name: run.name,
            status: run.status,
            subject: (&config.subject).into(),
            dataset: EvalDataset {
                name: config.dataset.name,
                version: config.dataset.version,
                digest: config.dataset.digest,
                examples: config.dataset.examples,
            },
            evaluators: config.evaluators,
            parameters: config.parameters,
            concurrency: config.concurrency,
            timeout: config.timeout,
            attempts: config.attempts,
            repeats: config.repeats,
            sample_size: config.sample_size,
            shuffle: config.shuffle,
            seed: config.seed,
            cluster_by: config.cluster_by,
            max_cost_usd: config.max_cost.map(|cost| Dollars(cost).decimal()),
            min_pass_rate: config.min_pass_rate,
            min_score: config.min_score,
            total_examples: run.total,
            completed_examples: run.tally.completed,
            summary,
            verdict: verdict.map(str::to_owned),
            verdict_reason,
            warnings: run.warnings,
            problem: run.problem,
            job_id: run.job.to_string(),
            created_by: run.created_by.subject,
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
        }
    }
}

/// A page of runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalList {
    pub data: Vec<EvalBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

/// What came of one example.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalResultBody {
    pub example_id: String,
    /// The position of the example in the snapshot, from 0.
    pub position: u32,
    /// Which of its repeats, from 0.
    pub repeat: u32,
    pub input: Value,
    pub expected_output: Option<Value>,
    pub actual_output: Option<String>,
    pub standing: Standing,
    pub evaluator_results: Vec<EvaluatorResultBody>,
    pub tags: Vec<String>,
    pub cluster: Option<String>,
    pub latency_ms: u64,
    pub tokens_used: u64,
    pub cost_usd: Option<String>,
    pub judge_tokens: u64,
    pub judge_cost_usd: Option<String>,
    pub finish_reason: Option<String>,
    /// Why there is no answer.
    pub error: Option<String>,
    /// Whether texts are too long to be shown whole. The evaluators saw all of them.
    pub is_shortened: bool,
}

/// What one evaluator says of an answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvaluatorResultBody {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: EvaluatorType,
    /// 0 to 1; null where it could not be measured.
    pub score: Option<f64>,
    /// Null where it could not be measured.
    pub passed: Option<bool>,
    pub explanation: String,
    pub details: Option<Value>,
}

impl EvalResultBody {
    pub(super) fn of(run: &EvalRun, result: EvalResult) -> Self {
        let standing = result.standing();
        let specs = run.config.evaluators.iter();
        let evaluator_results = specs
            .zip(result.verdicts)
            .map(|(spec, scored)| EvaluatorResultBody {
                name: spec.name().to_owned(),
                kind: spec.kind,
                score: scored.score(),
                passed: scored.passed(),
                explanation: scored.explanation().to_owned(),
                details: match scored {
                    Scored::Measured { details, .. } => details,
                    Scored::Unmeasured { .. } => None,
                },
            })
            .collect();
        Self {
            example_id: result.example,
            position: result.position,
            repeat: result.repeat,
            input: result.input,
            expected_output: result.expected,
            actual_output: result.answer,
            standing,
            evaluator_results,
            tags: result.tags.into_iter().collect(),
            cluster: result.cluster,
            latency_ms: result.latency_ms,
            tokens_used: tokens(result.bill),
            cost_usd: cost(result.bill),
            judge_tokens: tokens(result.judge_bill),
            judge_cost_usd: cost(result.judge_bill),
            finish_reason: result.finish_reason,
            error: result.error,
            is_shortened: result.is_shortened,
        }
    }
}

/// A page of results.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvalResultPage {
    pub data: Vec<EvalResultBody>,
    /// Where the next page starts; null on the last page. A page may be short, even empty.
    pub next_cursor: Option<String>,
}

/// The types of evaluators.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvaluatorList {
    pub data: Vec<EvaluatorTypeInfo>,
}
