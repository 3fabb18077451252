//! What the types of Rust do not say of datasets.

use diogenes_core::datasets::{MAX_EXAMPLE_TAG, MAX_SOURCE, MOST_AT_ONCE, MOST_EXAMPLE_TAGS};
use serde_json::{Value, json};

use super::bounds::PRINTABLE;
use crate::merge::merge;

/// The names of datasets, which do not begin as ids do.
const NAME: &str = "^(?!dataset_)[a-z0-9][a-z0-9._-]{0,63}$";
/// Names and ids.
const DATASET: &str = "^((?!dataset_)[a-z0-9][a-z0-9._-]{0,63}|dataset_[0-9a-f]{32})$";
/// `latest`, the numbers of snapshots, and the first digits of their digests.
const SNAPSHOT: &str = "^(latest|v[1-9][0-9]{0,8}|(sha256:)?[0-9a-f]{6,64})$";
const EXAMPLE: &str = "^ex_0{0,10}[1-9][0-9]{0,8}$";
/// The slugs of prompts.
const SLUG: &str = "^(?!prompt_|pmpt_)[a-z0-9][a-z0-9._-]{0,63}$";
const FILE: &str = "^file-[0-9a-f]{32}$";

/// The bounds of a parameter of a path below `/api/v1/datasets/`, or of a query there.
pub(super) fn parameter(path: &str, name: &str) -> Option<Value> {
    if !path.starts_with("/api/v1/datasets/") {
        return None;
    }
    match name {
        "dataset" => Some(json!({"pattern": DATASET})),
        "snapshot" | "from" | "to" => Some(json!({"pattern": SNAPSHOT})),
        "example" => Some(json!({"pattern": EXAMPLE})),
        "file" => Some(json!({"pattern": FILE})),
        "filename" => Some(json!({"minLength": 1, "maxLength": 255, "pattern": PRINTABLE})),
        "after" => Some(json!({"minimum": 0, "maximum": u32::MAX})),
        "seed" => Some(json!({"minimum": 0, "maximum": u64::MAX})),
        _ => None,
    }
}

pub(super) fn bounds() -> Value {
    let text = |most: usize| json!({"maxLength": most, "pattern": PRINTABLE});
    let tags = |most: usize| {
        json!({
            "maxItems": most,
            "items": {"minLength": 1, "maxLength": MAX_EXAMPLE_TAG, "pattern": PRINTABLE},
        })
    };
    let after = json!({"minimum": 0, "maximum": u32::MAX, "format": "int64"});
    let beside = json!({
        "description": text(1000),
        "tags": tags(20),
        "metadata": {
            "maxProperties": 20,
            "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": PRINTABLE},
            "additionalProperties": {"type": "string", "maxLength": 500, "pattern": PRINTABLE},
        },
        "prompts": {"maxItems": 50, "items": {"pattern": SLUG}},
        "keep_snapshots": after,
    });
    let mut with_name = beside.clone();
    merge(&mut with_name, json!({"name": {"pattern": NAME}}));
    json!({
        "CreateDataset": {"properties": with_name},
        "UpdateDataset": {"properties": beside},
        "ExampleContent": {"properties": {
            "tags": tags(MOST_EXAMPLE_TAGS),
            "split": {"minLength": 1, "maxLength": MAX_EXAMPLE_TAG, "pattern": PRINTABLE},
            "source": text(MAX_SOURCE),
        }},
        "AddExamples": {"properties": {
            "examples": {"minItems": 1, "maxItems": MOST_AT_ONCE},
            "after": after,
        }},
        "RemoveExamples": {"properties": {
            "ids": {"minItems": 1, "maxItems": MOST_AT_ONCE, "items": {"pattern": EXAMPLE}},
            "after": after,
        }},
        "ImportExamples": {"properties": {
            "file": {"pattern": FILE},
            "format": {"pattern": "^(csv|jsonl|parquet)$"},
            "map": {"maxItems": 200, "items": {
                "pattern": r"^(input|expected|metadata|tags|split|source)(\.[^=\x00-\x1f]+)?=.+$",
            }},
            "encoding": {"pattern": "^(utf-8|utf-16le|utf-16be|latin1|windows-1252)$"},
            "delimiter": {"pattern": r"^[!#-~\t ]$"},
            "on_error": {"pattern": "^(fail|skip)$"},
        }},
        "ExportExamples": {"properties": {
            "format": {"pattern": "^(csv|jsonl|parquet)$"},
            "snapshot": {"pattern": SNAPSHOT},
        }},
    })
}
