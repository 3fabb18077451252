//! What the types of Rust do not say of a field: bounds and forms, as the server checks them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::keys::{LONGEST_EXPIRY, LONGEST_GRACE};

/// The longest duration of a spec.
const YEAR: Duration = Duration::from_hours(24 * 366);
/// Text without control characters.
const PRINTABLE: &str = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*$";
/// Text that a program can be started with.
const NO_NUL: &str = "^[^\u{0}]*$";
/// The names of models; no part between slashes is empty, `.` or `..`.
const MODEL_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._:@+-]*(/(?!\\.{1,2}(/|$))[A-Za-z0-9._:@+-]+)*$";

/// Adds the bounds to a document.
pub(super) fn apply(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas") else { return };
    merge(schemas, bounds());
    // A duration is a text or a number, and a number has no pattern.
    for (schema, names) in durations() {
        let properties = format!("/{schema}/properties");
        let Some(properties) = schemas.pointer_mut(&properties) else { continue };
        for (name, duration) in names {
            let Some(property) = properties.get_mut(name).and_then(Value::as_object_mut) else {
                continue;
            };
            property.remove("type");
            property.extend(duration);
        }
    }
}

fn bounds() -> Value {
    let name = json!({"minLength": 1, "maxLength": 128, "pattern": MODEL_NAME});
    let limit = json!({"minimum": 1, "maximum": u32::MAX, "format": "int64"});
    json!({
        "CreateKey": {
            "properties": {
                "email": {
                    "minLength": 1,
                    "maxLength": 254,
                    "pattern": "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*@[^\u{0}-\u{1f}\u{7f}-\u{9f}]*$",
                },
                "name": {"maxLength": 100, "pattern": PRINTABLE},
                "scopes": {"minItems": 1, "items": {"enum": scopes()}},
                "models": {"minItems": 1, "maxItems": 1000, "items": name},
            },
            "not": {"required": ["expires_at", "expires_in"]},
        },
        "LimitsBody": {
            "additionalProperties": false,
            "properties": {
                "requests_per_minute": limit,
                "tokens_per_minute": limit,
                "concurrency": limit,
            },
        },
        "ModelSpec": {
            "properties": {
                "command": {
                    "minItems": 1,
                    "prefixItems": [{"type": "string", "pattern": "\\S"}],
                    "items": {"pattern": NO_NUL},
                },
                "env": {
                    "propertyNames": {"minLength": 1, "pattern": "^[^=\u{0}]+$"},
                },
                "health_path": {"pattern": "^/[!-~]*$"},
                "aliases": {"items": name},
                "min_replicas": {"minimum": 0, "maximum": 100},
                "max_replicas": {"minimum": 1, "maximum": 100},
                "target_concurrency": {"minimum": 1, "maximum": u32::MAX, "format": "int64"},
                "max_held": {"minimum": 0, "maximum": u32::MAX, "format": "int64"},
            },
        },
        "OrderRequest": {"properties": {"model": {"minLength": 1}}},
    })
}

/// Fields and what their schemas become.
type Fields = Vec<(&'static str, Map<String, Value>)>;

/// The durations of each schema.
fn durations() -> Vec<(&'static str, Fields)> {
    let spec = vec![
        ("idle_timeout", duration(true, YEAR)),
        ("boot_timeout", duration(true, YEAR)),
        ("stall_timeout", duration(true, YEAR)),
        ("answer_timeout", duration(true, YEAR)),
        ("drain_timeout", duration(false, YEAR)),
        ("hold_timeout", duration(false, YEAR)),
        ("max_lifetime", nullable(duration(true, YEAR))),
    ];
    vec![
        ("CreateKey", vec![("expires_in", nullable(duration(true, LONGEST_EXPIRY)))]),
        ("RotateKey", vec![("grace", duration(false, LONGEST_GRACE))]),
        ("ModelSpec", spec),
    ]
}

/// A duration as people write it, or a number of seconds.
fn duration(is_positive: bool, most: Duration) -> Map<String, Value> {
    // Every text of this form is below a year.
    let word = "([1-9][0-9]{0,6}s|[1-9][0-9]{0,4}m|[1-9][0-9]{0,2}h|[1-9][0-9]?d)";
    let pattern = if is_positive { format!("^{word}$") } else { format!("^(0s|{word})$") };
    let mut schema = Map::new();
    schema.insert("type".into(), json!(["string", "number"]));
    schema.insert("pattern".into(), pattern.into());
    let least = if is_positive { "exclusiveMinimum" } else { "minimum" };
    schema.insert(least.into(), 0.into());
    schema.insert("maximum".into(), most.as_secs().into());
    schema.insert("examples".into(), json!(["90s", "10m"]));
    schema
}

fn nullable(mut schema: Map<String, Value>) -> Map<String, Value> {
    schema.insert("type".into(), json!(["string", "number", "null"]));
    schema
}

fn scopes() -> Vec<&'static str> {
    diogenes_core::tenancy::Scope::ALL.iter().map(|scope| scope.as_str()).collect()
}

/// Puts the fields of `from` into `into`, at every depth.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    /// A field that is renamed or gone would leave its bounds behind.
    #[test]
    fn every_bound_is_of_a_field() {
        let plain = super::super::plain();
        let mut wanted: Vec<(String, String)> = Vec::new();
        for (schema, bounds) in bounds().as_object().unwrap() {
            let names = bounds["properties"].as_object().unwrap().keys();
            wanted.extend(names.map(|name| (schema.clone(), name.clone())));
        }
        for (schema, names) in durations() {
            wanted.extend(names.into_iter().map(|(name, _)| (schema.into(), name.into())));
        }
        for (schema, name) in wanted {
            let field = plain.pointer(&format!("/components/schemas/{schema}/properties/{name}"));
            assert!(field.is_some(), "{schema}.{name}");
        }
    }

    #[test]
    fn the_document_has_the_bounds() {
        let document = document();
        let spec = &document["components"]["schemas"]["ModelSpec"]["properties"];
        assert_eq!(spec["command"]["minItems"], 1);
        assert_eq!(spec["command"]["items"]["type"], "string");
        assert_eq!(spec["idle_timeout"]["type"], json!(["string", "number"]));
        assert_eq!(spec["idle_timeout"]["maximum"], YEAR.as_secs());
    }
}
