use std::time::Duration;

use diogenes_core::evals::NewEval;
use diogenes_core::evals::evaluators::EvaluatorSpec;
use diogenes_core::money::parse_dollars;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorKind};

/// A run that is wanted: what is evaluated, on which examples, and by what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEval {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A version of a prompt, such as `summarizer:v2`. The one that it means now is evaluated, whatever happens to
    /// its labels later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A model or route; beside `prompt` instead of the prompt's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where in the examples answers stand that were recorded, such as `metadata.answer`; nobody is asked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// A dataset, such as `golden` or `golden@v3`. The snapshot that it means now is evaluated.
    pub dataset: String,
    pub evaluators: Vec<EvaluatorSpec>,
    /// Fields of every request to the subject, such as `temperature`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// How many examples are under way at once at most; as many as the model has room for when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long a request may take; 5 minutes when absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "diogenes_core::duration::option"
    )]
    #[schema(value_type = Option<String>)]
    pub timeout: Option<Duration>,
    /// How often a request is sent that fails by no fault of its own; 5 times when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How often each example is asked; once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// How many examples are evaluated; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<u32>,
    /// Whether these are drawn at random, and not the first ones.
    #[serde(default)]
    pub shuffle: bool,
    /// What is drawn depends on it, and on nothing else.
    #[serde(default)]
    pub seed: u64,
    /// Where in an example the name of its cluster stands, such as `metadata.document`: examples that are alike, and
    /// so tell less than independent ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_by: Option<String>,
    /// The most dollars that it may cost, such as `1.50`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<String>,
    /// The share of the results that must pass, 0 to 1, for the run to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_pass_rate: Option<f64>,
    /// The overall score that it must reach, 0 to 1, to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
}

impl TryFrom<CreateEval> for NewEval {
    type Error = ApiError;

    fn try_from(body: CreateEval) -> Result<Self, ApiError> {
        let max_cost = body.max_cost_usd.as_deref().map(parse_dollars).transpose();
        let max_cost = max_cost.map_err(|error| {
            ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param("max_cost_usd")
        })?;
        Ok(Self {
            name: body.name,
            prompt: body.prompt,
            model: body.model,
            column: body.column,
            dataset: body.dataset,
            evaluators: body.evaluators,
            parameters: body.parameters,
            concurrency: body.concurrency,
            timeout: body.timeout,
            attempts: body.attempts,
            repeats: body.repeats,
            sample_size: body.sample_size,
            shuffle: body.shuffle,
            seed: body.seed,
            cluster_by: body.cluster_by,
            max_cost,
            min_pass_rate: body.min_pass_rate,
            min_score: body.min_score,
        })
    }
}
