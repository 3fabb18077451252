//! What the types of Rust do not say of prompts.

use diogenes_core::prompts::{MAX_PROMPT_LABEL, MOST_MESSAGES, MOST_VARIABLES};
use serde_json::{Value, json};

use super::bounds::PRINTABLE;

/// The slugs of prompts, and ids, which begin with `prompt_` as OpenAI's with `pmpt_`.
pub(super) const PROMPT: &str =
    "^((?!prompt_|pmpt_)[a-z0-9][a-z0-9._-]{0,63}|prompt_[0-9a-f]{32})$";
/// Labels.
pub(super) const LABEL: &str = "^(?!latest$|v[0-9]+$)[a-z][a-z0-9_-]{0,39}$";
/// Labels, `latest` and the numbers of versions.
const VERSION: &str = "^(v?[1-9][0-9]{0,8}|(?!v[0-9]+$)[a-z][a-z0-9_-]{0,39})$";
const VARIABLE: &str = "^(?!(true|True|false|False|none|None|and|or|not|in|is|if|else|elif|loop|self|range|namespace)$)[A-Za-z_][A-Za-z0-9_]{0,63}$";

/// The bounds of a parameter of a path below `/api/v1/prompts/`, or of a query there.
pub(super) fn parameter(path: &str, name: &str) -> Option<Value> {
    if !path.starts_with("/api/v1/prompts/") {
        return None;
    }
    match name {
        "prompt" => Some(json!({"pattern": PROMPT})),
        "label" => Some(json!({"pattern": LABEL})),
        "version" | "from" | "to" => Some(json!({"pattern": VERSION})),
        "reason" => Some(json!({"maxLength": 500, "pattern": PRINTABLE})),
        _ => None,
    }
}

pub(super) fn metadata() -> Value {
    json!({
        "maxProperties": 20,
        "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": PRINTABLE},
        "additionalProperties": {"type": "string", "maxLength": 500, "pattern": PRINTABLE},
    })
}

pub(super) fn bounds() -> Value {
    let text = |most: usize| json!({"maxLength": most, "pattern": PRINTABLE});
    let name = json!({"minLength": 1, "maxLength": 100, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x1f\x7f-\x9f\s][^\x00-\x1f\x7f-\x9f]*$"});
    let tags = json!({
        "maxItems": 20,
        "items": {"minLength": 1, "maxLength": 64, "pattern": PRINTABLE},
    });
    let metadata = metadata();
    let number = |least: f64, most: f64| json!({"minimum": least, "maximum": most});
    json!({
        "PushPrompt": {"properties": {
            "name": name,
            "description": text(1000),
            "tags": tags,
            "metadata": metadata,
            "messages": {"minItems": 1, "maxItems": MOST_MESSAGES},
            "variables": {"maxItems": MOST_VARIABLES},
            "tools": {"maxItems": 128},
            "change_description": text(500),
            "after": {"maximum": u32::MAX, "format": "int64"},
        }},
        "UpdatePrompt": {"properties": {
            "name": name,
            "description": text(1000),
            "tags": tags,
            "metadata": metadata,
            "protected_labels": {
                "maxItems": 20, "items": {"maxLength": MAX_PROMPT_LABEL, "pattern": LABEL},
            },
        }},
        "Variable": {"properties": {"name": {"pattern": VARIABLE}}},
        "DefaultConfig": {"properties": {
            "temperature": number(0.0, 2.0),
            "top_p": number(0.0, 1.0),
            "frequency_penalty": number(-2.0, 2.0),
            "presence_penalty": number(-2.0, 2.0),
            "max_tokens": {"minimum": 1, "maximum": u32::MAX, "format": "int64"},
            "seed": {"minimum": i64::MIN, "maximum": i64::MAX},
            "stop": {"maxItems": 16, "items": {"minLength": 1}},
        }},
        "PutLabel": {"properties": {
            "version": {"pattern": VERSION},
            "from": {"maximum": u32::MAX, "format": "int64"},
            "reason": text(500),
        }},
    })
}
