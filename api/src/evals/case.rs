//! One example: its answer, and what the evaluators say of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::batches::Bill;
use diogenes_core::evals::evaluators::{Case, Check, Evaluator, Scored};
use diogenes_core::evals::{EvalConfig, EvalExample, EvalId, EvalResult, Subject};
use diogenes_core::tenancy::ProjectId;
use serde_json::Value;

use super::subject::{Completion, error_of, request};
use super::webhooks::Webhooks;
use crate::bulk::{Asked, Asker, Refusal, Reply, Request, Said};
use crate::error::ErrorKind;
use crate::proxy::Dialect;

/// What all examples of a run have in common.
pub(super) struct Plan {
    pub(super) project: ProjectId,
    pub(super) run: EvalId,
    pub(super) config: EvalConfig,
    pub(super) evaluators: Vec<Evaluator>,
    pub(super) webhooks: Option<Webhooks>,
    pub(super) until: Timestamp,
}

/// An example that is to be asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) position: u32,
    pub(super) repeat: u32,
    pub(super) example: Arc<EvalExample>,
}

/// The answer of the subject, and what it took.
struct Answer {
    completion: Completion,
    bill: Bill,
    took: Duration,
}

/// What came of an example.
#[derive(Debug)]
pub(super) enum Finding {
    Result(Box<EvalResult>),
    /// It may cost more than the run has left.
    TooDear(String),
}

/// Why an example has no result.
enum Interruption {
    /// The model that is asked does not run.
    NotNow,
    TooDear(String),
}

/// Answers and evaluates an example.
pub(super) async fn examine(
    plan: Arc<Plan>,
    asker: Asker,
    question: Question,
) -> Asked<Question, Finding> {
    let examiner = Examiner { plan: &plan, asker: &asker, question: &question };
    match examiner.result().await {
        Ok(result) => Asked::Answered(Finding::Result(Box::new(result.shortened()))),
        Err(Interruption::TooDear(why)) => Asked::Answered(Finding::TooDear(why)),
        Err(Interruption::NotNow) => Asked::NotNow(question),
    }
}

struct Examiner<'a> {
    plan: &'a Plan,
    asker: &'a Asker,
    question: &'a Question,
}

impl Examiner<'_> {
    async fn result(&self) -> Result<EvalResult, Interruption> {
        let example = &*self.question.example;
        let config = &self.plan.config;
        let cluster = config.cluster_by.as_ref().and_then(|path| example.at(path));
        let mut result = EvalResult {
            project: self.plan.project.clone(),
            run: self.plan.run.clone(),
            position: self.question.position,
            repeat: self.question.repeat,
            example: example.id.clone(),
            input: example.input.clone(),
            expected: example.expected.clone(),
            answer: None,
            tags: example.tags.clone(),
            cluster: cluster.map(|cluster| match cluster {
                Value::String(text) => text,
                other => other.to_string(),
            }),
            verdicts: Vec::with_capacity(self.plan.evaluators.len()),
            latency_ms: 0,
            finish_reason: None,
            bill: Bill::default(),
            judge_bill: Bill::default(),
            error: None,
            is_shortened: false,
            until: self.plan.until,
        };
        let answer = match self.answer().await? {
            Ok(answer) => answer,
            Err(error) => {
                let why = format!("there is no answer: {error}");
                result.verdicts =
                    self.plan.evaluators.iter().map(|_| Scored::unmeasured(&*why)).collect();
                result.error = Some(error);
                return Ok(result);
            }
        };
        let Answer { completion, bill, took } = answer;
        result.bill = bill;
        result.latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        for (index, evaluator) in self.plan.evaluators.iter().enumerate() {
            let case = Case {
                input: &example.input,
                expected: example.expected.as_ref(),
                answer: &completion.text,
            };
            let (scored, bill) = self.score(index, evaluator, &case).await?;
            result.verdicts.push(scored);
            result.judge_bill = result.judge_bill.plus(bill);
        }
        result.answer = Some(completion.text);
        result.finish_reason = completion.finish_reason;
        Ok(result)
    }

    /// The subject's answer, or why there is none.
    async fn answer(&self) -> Result<Result<Answer, String>, Interruption> {
        let example = &*self.question.example;
        if let Subject::Column { path } = &self.plan.config.subject {
            let text = match example.at(path) {
                None | Some(Value::Null) => return Ok(Err(format!("the example has no `{path}`"))),
                Some(Value::String(text)) => text,
                Some(value) => value.to_string(),
            };
            let completion = Completion { text, finish_reason: None };
            return Ok(Ok(Answer { completion, bill: Bill::default(), took: Duration::ZERO }));
        }
        let body = match request(&self.plan.config, example) {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(Err("there is nothing to ask".into())),
            Err(problem) => return Ok(Err(problem)),
        };
        let Said { status, body, bill, took, .. } =
            self.ask("s", Dialect::ChatCompletions, body).await?;
        if !status.is_success() {
            return Ok(Err(error_of(status.as_u16(), &body)));
        }
        Ok(Completion::read(&body).map(|completion| Answer { completion, bill, took }))
    }

    async fn score(
        &self,
        index: usize,
        evaluator: &Evaluator,
        case: &Case<'_>,
    ) -> Result<(Scored, Bill), Interruption> {
        let threshold = evaluator.spec().threshold();
        let role = format!("e{index}-");
        match evaluator.check() {
            Check::Plain(check) => Ok((check.score(case), Bill::default())),
            Check::Judge(judge) => {
                let Question { position, repeat, .. } = self.question;
                let salt = format!("{}/{position}/{repeat}/{}", self.plan.run, evaluator.name());
                let question = judge.question(case, &salt);
                let body = question.body.to_string().into();
                let said = self.ask(&role, Dialect::ChatCompletions, body).await?;
                let scored = match self.told(evaluator, &said) {
                    Err(unmeasured) => unmeasured,
                    Ok(()) => match Completion::read(&said.body) {
                        Ok(reply) => {
                            judge.read(&reply.text, reply.is_cut(), &question.mark, threshold)
                        }
                        Err(problem) => {
                            Scored::unmeasured(format!("the judge `{}`: {problem}", judge.model()))
                        }
                    },
                };
                Ok((scored, said.bill))
            }
            Check::Similarity(similarity) => {
                let body = match similarity.request(case) {
                    Ok(body) => body.to_string().into(),
                    Err(scored) => return Ok((scored, Bill::default())),
                };
                let said = self.ask(&role, Dialect::Embeddings, body).await?;
                let scored = match self.told(evaluator, &said) {
                    Err(unmeasured) => unmeasured,
                    Ok(()) => similarity.read(&said.body, threshold),
                };
                Ok((scored, said.bill))
            }
            Check::Webhook(webhook) => {
                let Some(webhooks) = &self.plan.webhooks else {
                    let why = "this installation asks no webhooks";
                    return Ok((Scored::unmeasured(why), Bill::default()));
                };
                let Plan { project, run, config, .. } = self.plan;
                let (name, run) = (evaluator.name(), run.as_str());
                let Question { position, repeat, example } = self.question;
                let body = webhook.request(case, name, run, &example.id).to_string();
                let id = format!("msg_{run}_{index}_{position}_{repeat}");
                let rules = (config.attempts, config.timeout, threshold);
                let scored = webhooks.score(webhook, project, &id, &body, rules).await;
                Ok((scored, Bill::default()))
            }
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what the examiner does")]
    fn told(&self, evaluator: &Evaluator, said: &Said) -> Result<(), Scored> {
        if said.status.is_success() {
            return Ok(());
        }
        let error = error_of(said.status.as_u16(), &said.body);
        let model = evaluator.spec().model().unwrap_or_default();
        Err(Scored::unmeasured(format!("`{model}` gave no answer: {error}")))
    }

    async fn ask(&self, role: &str, dialect: Dialect, body: Bytes) -> Result<Said, Interruption> {
        let Question { position, repeat, .. } = self.question;
        let run = self.plan.run.as_str().trim_start_matches("eval_");
        let id = format!("eval_req_{run}{role}{position:08}-{repeat:03}");
        match self.asker.ask(&Request { id, dialect, body }).await {
            Reply::Said(said) => match said.refusal.as_ref().and_then(|it| self.too_dear(it)) {
                Some(why) => Err(Interruption::TooDear(why)),
                None => Ok(said),
            },
            Reply::NotNow => Err(Interruption::NotNow),
        }
    }

    /// Whether a refusal is about what the run may cost.
    fn too_dear(&self, refusal: &Refusal) -> Option<String> {
        self.plan.config.max_cost?;
        let is_ours = refusal.budget.as_ref().is_some_and(|id| id.starts_with("run/"));
        let is_unpriced = refusal.kind == ErrorKind::ModelUnpriced;
        (is_ours || is_unpriced).then(|| refusal.message.clone())
    }
}
