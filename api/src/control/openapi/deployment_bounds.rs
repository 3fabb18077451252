//! What the types of Rust do not say of deployments.

use diogenes_core::deployments::{LONGEST_INTERVAL, MAX_REASON};
use serde_json::{Value, json};

use super::bounds::PRINTABLE;
use super::prompt_bounds::{LABEL, PROMPT, metadata};

/// The bounds of a parameter of a path below `/api/v1/deployments`.
pub(super) fn parameter(path: &str, name: &str) -> Option<Value> {
    if !path.starts_with("/api/v1/deployments") {
        return None;
    }
    match name {
        "id" => Some(json!({"pattern": "^deploy_[0-9a-f]{32}$"})),
        "environment" => Some(json!({"pattern": LABEL})),
        _ => None,
    }
}

pub(super) fn bounds() -> Value {
    let percentage = json!({"minimum": 1, "maximum": 100});
    let seconds = json!({"minimum": 1, "maximum": LONGEST_INTERVAL.as_secs()});
    let text = json!({"maxLength": MAX_REASON, "pattern": PRINTABLE});
    json!({
        "CreateDeployment": {"properties": {
            "prompt_id": {"pattern": PROMPT},
            "to_version": {"minimum": 1, "maximum": u32::MAX, "format": "int64"},
            "environment": {"pattern": LABEL},
            "metadata": metadata(),
        }},
        "StrategyBody": {"properties": {
            "initial_percentage": percentage,
            "increment": percentage,
            "interval_seconds": seconds,
            "rollback_threshold": {"minimum": 0, "maximum": 1},
            "on_inconclusive_after_seconds": seconds,
        }},
        "ApproveDeployment": {"properties": {"comment": text}},
        "ReasonBody": {"properties": {"reason": text}},
    })
}
