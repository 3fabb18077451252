use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::catalog::EvaluatorType;

/// The most evaluators of a run.
pub const MOST_EVALUATORS: usize = 20;
/// The longest name of an evaluator in characters.
pub const MAX_EVALUATOR_NAME: usize = 64;
/// The largest weight.
const MAX_WEIGHT: f64 = 1_000.0;

/// An evaluator as callers write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EvaluatorSpec {
    #[serde(rename = "type")]
    pub kind: EvaluatorType,
    /// What it is called in results; its type when absent. No two of a run share a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What its type takes; `GET /api/v1/evals/evaluators` lists it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: Map<String, Value>,
    /// How much it counts in the overall score, beside the others: 1 when absent.
    #[serde(default = "one")]
    pub weight: f64,
    /// The score from which an answer passes, 0 to 1; when absent 1 for those that say only pass or fail, 0.5 for
    /// those that grade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// What is wrong with an evaluator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct EvaluatorProblem {
    /// The field at fault, from the evaluator on: `params.pattern`.
    pub field: String,
    pub problem: String,
}

impl EvaluatorProblem {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same, told from `place` on.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        Self { field: format!("{place}.{}", self.field), ..self }
    }
}

impl EvaluatorSpec {
    /// One of this type, with nothing said beside.
    pub fn of(kind: EvaluatorType) -> Self {
        Self { kind, name: String::new(), params: Map::new(), weight: 1.0, threshold: None }
    }

    /// What it is called in results.
    pub fn name(&self) -> &str {
        if self.name.is_empty() { self.kind.as_str() } else { &self.name }
    }

    /// The model that it asks, if it asks one.
    pub fn model(&self) -> Option<&str> {
        match self.kind {
            EvaluatorType::LlmJudge | EvaluatorType::SemanticSimilarity => self.text("model"),
            EvaluatorType::ExactMatch
            | EvaluatorType::Contains
            | EvaluatorType::Regex
            | EvaluatorType::JsonSchema
            | EvaluatorType::Webhook => None,
        }
    }

    /// The address that it asks, if it asks one.
    pub fn url(&self) -> Option<&str> {
        (self.kind == EvaluatorType::Webhook).then(|| self.text("url")).flatten()
    }

    fn text(&self, param: &str) -> Option<&str> {
        self.params.get(param).and_then(Value::as_str)
    }

    /// The score from which an answer passes.
    pub fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(if self.kind.is_graded() { 0.5 } else { 1.0 })
    }

    /// What is wrong with everything but the parameters, if anything is.
    pub(super) fn problem(&self) -> Option<EvaluatorProblem> {
        let problem = |field, text: String| Some(EvaluatorProblem::new(field, text));
        let is_named = self.name.chars().count() <= MAX_EVALUATOR_NAME
            && !self.name.chars().any(char::is_control);
        if !is_named || (!self.name.is_empty() && self.name.trim().is_empty()) {
            let text =
                format!("must have 1 to {MAX_EVALUATOR_NAME} characters, none of them a control");
            return problem("name", text);
        }
        if !(self.weight > 0.0 && self.weight <= MAX_WEIGHT) {
            return problem("weight", format!("must be above 0 and at most {MAX_WEIGHT}"));
        }
        if self.threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
            return problem("threshold", "must be 0 to 1".into());
        }
        if self.threshold.is_some() && !self.kind.is_graded() {
            let text = format!(
                "says nothing of `{}`, which only passes or fails; leave it out",
                self.kind.as_str()
            );
            return problem("threshold", text);
        }
        None
    }
}

/// Reads the parameters of an evaluator.
pub(crate) fn read_params<T: DeserializeOwned>(
    params: &Map<String, Value>,
) -> Result<T, EvaluatorProblem> {
    serde_path_to_error::deserialize(Value::Object(params.clone())).map_err(|error| {
        let place = error.path().to_string();
        let field = match place.as_str() {
            "." | "" => "params".to_owned(),
            place => format!("params.{place}"),
        };
        EvaluatorProblem::new(field, format!("is not what it takes: {}", error.inner()))
    })
}
