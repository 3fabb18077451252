//! What a run will take, and what a comparison of it can show, before anything is spent.

use serde::{Deserialize, Serialize};

use super::evaluators::EvaluatorType;
use super::service::Draft;
use super::stats::StatsError;
use super::stats::power::{
    Design, detectable_difference, detectable_score_difference, examples_needed, pairs_needed,
};

/// The share of examples on which two versions of a prompt differ, where nobody knows better.
const USUAL_DISCORDANT: f64 = 0.2;
/// The standard deviation of the differences of scores, where nobody knows better.
const USUAL_DEVIATION: f64 = 0.3;
/// The differences whose price in examples is told.
const DIFFERENCES: [f64; 3] = [0.1, 0.05, 0.03];

/// What a run takes and shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvalPlan {
    /// How many different examples there will be.
    pub examples: u32,
    /// How many results.
    pub results: u32,
    /// How many requests at least, with those of judges.
    pub requests: u64,
    /// Whether the results are scores, and not passes and failures.
    pub is_graded: bool,
    /// The share of examples that differ, of passes and failures; for scores the standard deviation of the
    /// differences.
    pub assumed: f64,
    /// The smallest difference that so many examples are likely to show; null where they show none.
    pub detectable: Option<f64>,
    /// How many examples it takes for others.
    pub needed: Vec<Needed>,
}

/// How many examples show a difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Needed {
    /// Of pass rates or mean scores, as a fraction.
    pub difference: f64,
    pub examples: u64,
    /// How many of them are missing.
    pub missing: u64,
}

/// What is thought to be spent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Spending {
    /// How many results of an earlier run the estimate stands on.
    pub results: u32,
    /// In dollars; null where nobody knows.
    pub cost_usd: Option<String>,
    pub tokens: Option<u64>,
    pub seconds: Option<u64>,
}

impl EvalPlan {
    /// The plan of a run. `assumed` as [`EvalPlan::assumed`] says.
    ///
    /// # Errors
    /// When that is out of range.
    pub fn of(draft: &Draft, assumed: Option<f64>) -> Result<Self, StatsError> {
        let config = &draft.config;
        let examples = draft.total / config.repeats.max(1);
        let asks = |kind: EvaluatorType| {
            matches!(
                kind,
                EvaluatorType::LlmJudge
                    | EvaluatorType::SemanticSimilarity
                    | EvaluatorType::Webhook
            )
        };
        let judges = config.evaluators.iter().filter(|spec| asks(spec.kind)).count() as u64;
        let requests =
            u64::from(draft.total) * (judges + u64::from(config.subject.model().is_some()));
        let is_graded = config.evaluators.iter().any(|spec| spec.kind.is_graded());
        let design = Design::USUAL;
        let count = u64::from(examples);
        let (assumed, detectable) = if is_graded {
            let assumed = assumed.unwrap_or(USUAL_DEVIATION);
            let difference = (count >= 2)
                .then(|| detectable_score_difference(assumed, count, design))
                .transpose()?;
            (assumed, difference.filter(|difference| *difference <= 1.0))
        } else {
            let assumed = assumed.unwrap_or(USUAL_DISCORDANT);
            (assumed, detectable_difference(assumed, count, design)?)
        };
        let mut needed = Vec::new();
        for difference in DIFFERENCES {
            let examples = if is_graded {
                examples_needed(assumed, difference, design)?
            } else if difference > assumed {
                continue;
            } else {
                pairs_needed(assumed, difference, design)?
            };
            needed.push(Needed { difference, examples, missing: examples.saturating_sub(count) });
        }
        Ok(Self {
            examples,
            results: draft.total,
            requests,
            is_graded,
            assumed,
            detectable,
            needed,
        })
    }
}
