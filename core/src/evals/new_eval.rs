use std::time::Duration;

use serde_json::{Map, Value, json};

use super::error::EvalError;
use super::evaluators::EvaluatorSpec;
use crate::ports::{Amount, document_bytes};

/// The most results of a run.
pub const MOST_CASES: u32 = 1_000_000;
/// The most examples at once.
pub const MOST_CONCURRENCY: u32 = 1_000;
/// The most repeats.
pub const MOST_REPEATS: u32 = 100;
/// The most attempts at a request.
pub const MOST_ATTEMPTS: u32 = 10;
/// The longest that an example may take.
pub const LONGEST_CASE: Duration = Duration::from_hours(1);
/// The longest name of a run in characters.
pub const MAX_EVAL_NAME: usize = 100;
/// How large evaluators and parameters may be together, in bytes of their JSON.
const MAX_CONFIG: usize = 160 * 1024;

/// A run that is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewEval {
    pub name: String,
    /// A reference to a version of a prompt; its model is asked, or `model` where that is given.
    pub prompt: Option<String>,
    /// A model or route.
    pub model: Option<String>,
    /// Where in the examples the answers stand, instead of asking anybody.
    pub column: Option<String>,
    /// A reference to a dataset.
    pub dataset: String,
    pub evaluators: Vec<EvaluatorSpec>,
    pub parameters: Map<String, Value>,
    pub concurrency: Option<u32>,
    pub timeout: Option<Duration>,
    pub attempts: Option<u32>,
    pub repeats: Option<u32>,
    pub sample_size: Option<u32>,
    pub shuffle: bool,
    pub seed: u64,
    pub cluster_by: Option<String>,
    pub max_cost: Option<Amount>,
    pub min_pass_rate: Option<f64>,
    pub min_score: Option<f64>,
}

impl NewEval {
    pub(super) fn check(&self) -> Result<(), EvalError> {
        let wrong = |field: &str, problem: String| Err(EvalError::invalid(field, problem));
        if self.name.chars().count() > MAX_EVAL_NAME || self.name.chars().any(char::is_control) {
            return wrong("name", format!("must be at most {MAX_EVAL_NAME} printable characters"));
        }
        let numbers = [
            ("concurrency", self.concurrency, MOST_CONCURRENCY),
            ("attempts", self.attempts, MOST_ATTEMPTS),
            ("repeats", self.repeats, MOST_REPEATS),
            ("sample_size", self.sample_size, MOST_CASES),
        ];
        for (field, value, most) in numbers {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                return wrong(field, format!("must be 1 to {most}"));
            }
        }
        let is_time = |time: Duration| (Duration::from_secs(1)..=LONGEST_CASE).contains(&time);
        if self.timeout.is_some_and(|timeout| !is_time(timeout)) {
            return wrong("timeout", "must be a second to an hour".into());
        }
        for (field, value) in [("min_pass_rate", self.min_pass_rate), ("min_score", self.min_score)]
        {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return wrong(field, "must be 0 to 1".into());
            }
        }
        for (field, path) in [("column", &self.column), ("cluster_by", &self.cluster_by)] {
            if path.as_ref().is_some_and(|path| !is_path(path)) {
                return wrong(
                    field,
                    "must be a place in an example, such as `metadata.document` or `source`".into(),
                );
            }
        }
        if self.max_cost == Some(Amount::ZERO) {
            return wrong("max_cost", "must be more than nothing".into());
        }
        for reserved in ["model", "messages", "prompt", "stream", "n"] {
            if self.parameters.contains_key(reserved) {
                return wrong(
                    &format!("parameters.{reserved}"),
                    "is what the run itself decides; leave it out".into(),
                );
            }
        }
        if self.column.is_some() && !self.parameters.is_empty() {
            return wrong("parameters", "say nothing of answers that are recorded".into());
        }
        let bytes = document_bytes(&json!([self.evaluators, self.parameters]));
        if bytes > MAX_CONFIG {
            return wrong("evaluators", format!("have {bytes} bytes; at most {MAX_CONFIG} fit"));
        }
        Ok(())
    }
}

fn is_path(path: &str) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    path.len() <= 200
        && ["id", "input", "expected", "metadata", "source"].contains(&first)
        && path.split('.').all(|part| !part.is_empty() && !part.chars().any(char::is_control))
}
