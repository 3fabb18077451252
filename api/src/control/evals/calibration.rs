use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::evals::stats::{CorrectionMethod, Interval};
use diogenes_core::evals::{Calibrated, HumanLabel};
use diogenes_core::tenancy::may;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::area::{EvalsArea, eval_error};
use crate::control::extract::{Allow, JsonBody, OfProject, PathOf, QueryString};
use crate::error::{ApiError, ErrorBody};

/// What humans say of some answers of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrateEval {
    /// The evaluator that is held against them.
    pub evaluator: String,
    pub labels: Vec<LabelledExample>,
}

/// What a human says of an answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelledExample {
    pub example_id: String,
    pub passed: bool,
}

/// How far an evaluator agrees with humans.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CalibrationBody {
    /// How many labels are of answers that the evaluator could measure.
    pub labelled_count: u64,
    /// Labelled answers that it could not measure.
    pub unmeasured_count: u32,
    /// Labels of examples that the run has no result of.
    pub unmatched: Vec<String>,
    pub both_pass: u64,
    pub both_fail: u64,
    /// Answers that only the human lets pass, and only the evaluator.
    pub only_human_passes: u64,
    pub only_evaluator_passes: u64,
    /// The share of labels that are the same.
    pub agreement: f64,
    /// How often a predictor is right that always says what humans say most often: an evaluator that is right no more
    /// often is of no use.
    pub base_rate: f64,
    /// Cohen's kappa: 1 is perfect, 0 chance; null where both always said the same.
    pub kappa: Option<f64>,
    pub kappa_lower: Option<f64>,
    pub kappa_upper: Option<f64>,
    /// The pass rate that humans would have found, over the whole run; null with fewer than three labels.
    pub corrected_pass_rate: Option<f64>,
    pub corrected_lower: Option<f64>,
    pub corrected_upper: Option<f64>,
    /// Whether the evaluator's verdicts of other answers count in it: they do where it agrees well enough.
    pub uses_evaluator: Option<bool>,
}

impl From<Calibrated> for CalibrationBody {
    fn from(calibrated: Calibrated) -> Self {
        let Calibrated { matrix, agreement, kappa, corrected, unmatched, unmeasured } = calibrated;
        let cell = |human: usize, judge: usize| {
            matrix.rows().get(human).and_then(|row| row.get(judge)).copied().unwrap_or_default()
        };
        Self {
            labelled_count: agreement.examples,
            unmeasured_count: unmeasured,
            unmatched,
            both_pass: cell(1, 1),
            both_fail: cell(0, 0),
            only_human_passes: cell(1, 0),
            only_evaluator_passes: cell(0, 1),
            agreement: agreement.observed,
            base_rate: agreement.base_rate,
            kappa: agreement.kappa,
            kappa_lower: kappa.map(Interval::lower),
            kappa_upper: kappa.map(Interval::upper),
            corrected_pass_rate: corrected.map(|it| it.mean),
            corrected_lower: corrected.map(|it| it.interval.lower()),
            corrected_upper: corrected.map(|it| it.interval.upper()),
            uses_evaluator: corrected
                .map(|it| matches!(it.method, CorrectionMethod::PredictionPowered { .. })),
        }
    }
}

/// Hold an evaluator of a run against labels of humans. Nothing is kept.
#[utoipa::path(post, path = "/api/v1/evals/{id}/calibrate", request_body = CalibrateEval,
    tag = "evals",
    params(OfProject, ("id" = String, Path, description = "the run's id")),
    responses((status = 200, body = CalibrationBody), (status = "4XX", body = ErrorBody)))]
pub(in crate::control) async fn calibrate(
    Allow(by): Allow<may::EvalsRead>,
    State(area): State<Arc<EvalsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<CalibrateEval>,
) -> Result<Json<CalibrationBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let labels = body.labels.into_iter();
    let labels = labels.map(|it| HumanLabel { example: it.example_id, passed: it.passed });
    let calibrated =
        area.evals.calibrate(&by, &project, &id, &body.evaluator, labels.collect()).await;
    Ok(Json(calibrated.map_err(|error| eval_error(&error))?.into()))
}
