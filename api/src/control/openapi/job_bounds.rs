//! What the types of Rust do not say of new jobs.

use diogenes_core::jobs::{MAX_ATTEMPTS, MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS};
use serde_json::{Value, json};

use crate::merge::merge;

/// The names of queues, schedules and kinds of jobs.
pub(super) const LABEL: &str = "^[a-z][a-z0-9_-]{0,39}$";

/// What there is to say of a new job, whoever creates it.
pub(super) fn new_job() -> Value {
    json!({
        "oneOf": [
            {"required": ["kind"], "properties": {"kind": {"type": "string"}}},
            {"required": ["template"], "properties": {"template": {"type": "string"}}},
        ],
        "properties": {
            "kind": {"enum": ["http", "command", null]},
            "queue": {"pattern": LABEL},
            "priority": {"minimum": 1, "maximum": 4},
            "max_attempts": {"minimum": 1, "maximum": MAX_ATTEMPTS},
            "tags": {
                "maxProperties": MAX_TAGS,
                "propertyNames": {"minLength": 1, "maxLength": MAX_TAG_NAME},
                "additionalProperties": {"type": "string", "maxLength": MAX_TAG_VALUE},
            },
        },
    })
}

/// The same of one that is created by itself.
pub(super) fn create_job() -> Value {
    let mut job = new_job();
    let more = json!({
        "properties": {"unique_key": {"minLength": 1, "maxLength": MAX_TAG_NAME}},
        "not": {
            "required": ["run_at", "delay"],
            "properties": {"run_at": {"type": "string"}, "delay": {"type": ["string", "number"]}},
        },
    });
    merge(&mut job, more);
    job
}
