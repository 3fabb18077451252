//! What the types of Rust do not say of evals.

use diogenes_core::evals::evaluators::{MAX_EVALUATOR_NAME, MOST_EVALUATORS};
use diogenes_core::evals::{
    MAX_EVAL_NAME, MOST_ATTEMPTS, MOST_CASES, MOST_CONCURRENCY, MOST_REPEATS,
};
use serde_json::{Value, json};

use super::bounds::PRINTABLE;

/// Where something stands in an example.
const PLACE: &str = "^(id|input|expected|metadata|source)(\\.[^.\u{0}-\u{1f}\u{7f}-\u{9f}]+)*$";

/// The bounds of a parameter of a path below `/api/v1/evals`.
pub(super) fn parameter(path: &str, name: &str) -> Option<Value> {
    if !path.starts_with("/api/v1/evals") {
        return None;
    }
    match name {
        "id" => Some(json!({"pattern": "^eval_[0-9a-f]{32}$"})),
        "assumed" => Some(json!({"minimum": 0.01, "maximum": 1})),
        _ => None,
    }
}

pub(super) fn bounds() -> Value {
    let number = |most: u32| json!({"minimum": 1, "maximum": most});
    let share = json!({"minimum": 0, "maximum": 1});
    json!({
        "CreateEval": {"properties": {
            "name": {"maxLength": MAX_EVAL_NAME, "pattern": PRINTABLE},
            "evaluators": {"minItems": 1, "maxItems": MOST_EVALUATORS},
            "column": {"maxLength": 200, "pattern": PLACE},
            "cluster_by": {"maxLength": 200, "pattern": PLACE},
            "concurrency": number(MOST_CONCURRENCY),
            "attempts": number(MOST_ATTEMPTS),
            "repeats": number(MOST_REPEATS),
            "sample_size": number(MOST_CASES),
            "seed": {"minimum": 0, "maximum": u64::MAX},
            "max_cost_usd": {"pattern": "^[0-9]{1,9}(\\.[0-9]{1,9})?$"},
            "min_pass_rate": share,
            "min_score": share,
        }},
        "CalibrateEval": {"properties": {"labels": {"minItems": 1}}},
        "EvaluatorSpec": {"properties": {
            "name": {"maxLength": MAX_EVALUATOR_NAME, "pattern": PRINTABLE},
            "weight": {"exclusiveMinimum": 0, "maximum": 1000},
            "threshold": share,
        }},
    })
}
