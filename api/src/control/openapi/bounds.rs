//! What the types of Rust do not say of a field: bounds and forms, as the server checks them.

use std::time::Duration;

use diogenes_core::duration::LONGEST;
use diogenes_core::jobs::MAX_CRON;
use serde_json::{Map, Value, json};

use super::super::keys::{LONGEST_EXPIRY, LONGEST_GRACE};
use super::super::work::{LONGEST_POLL, MAX_WORKER, MOST_CLAIMED, MOST_QUEUES, SERVER};
use super::job_bounds::{LABEL, create_job, new_job};
use super::{dataset_bounds, deployment_bounds, eval_bounds, prompt_bounds};
use crate::merge::merge;

/// Text without control characters.
pub(super) const PRINTABLE: &str = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*$";
/// Text that a program can be started with.
const NO_NUL: &str = "^[^\u{0}]*$";
/// The names of variables that keys of providers are kept in.
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// The names of models; no part between slashes is empty, `.` or `..`.
const MODEL_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._:@+-]*(/(?!\\.{1,2}(/|$))[A-Za-z0-9._:@+-]+)*$";

/// Where the API of a provider begins: scheme, host, port and path. Of hosts that are names the last
/// part begins with a letter, as one that is a number would make it an address.
const BASE_URL: &str = concat!(
    "^https?://(",
    r"([A-Za-z0-9_-]+\.)*[A-Za-z][A-Za-z0-9_-]*",
    r"|((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])",
    r"|\[([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\]",
    r"|\[([0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f]{1,4}\]",
    r"|\[::([0-9A-Fa-f]{1,4}:){0,6}[0-9A-Fa-f]{1,4}\]",
    ")(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
    r##"(/[!"$->@-~]*)?$"##,
);

/// The ids of budgets.
const BUDGET_ID: &str = "^(key/[A-Za-z0-9]{1,64}|project/[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?|route/[A-Za-z0-9][A-Za-z0-9._:@+-]*(/(?!\\.{1,2}(/|$))[A-Za-z0-9._:@+-]+)*)/(usd|tokens)/(day|month|total)$";

/// Adds the bounds to a document.
pub(super) fn apply(document: &mut Value) {
    bound_parameters(document);
    // An empty body reads as an object without fields.
    for operation in [
        "~1keys~1{id}~1rotate/post",
        "~1queues~1{name}/patch",
        "~1prompts~1{prompt}/patch",
        "~1prompts~1{prompt}~1versions~1{version}~1render/post",
        "~1datasets~1{dataset}/patch",
        "~1datasets~1{dataset}~1export/post",
    ] {
        let body = document.pointer_mut(&format!("/paths/~1api~1v1{operation}/requestBody"));
        if let Some(body) = body.and_then(Value::as_object_mut) {
            body.insert("required".into(), false.into());
        }
    }
    let Some(schemas) = document.pointer_mut("/components/schemas") else { return };
    merge(schemas, bounds());
    merge(schemas, prompt_bounds::bounds());
    merge(schemas, eval_bounds::bounds());
    merge(schemas, dataset_bounds::bounds());
    merge(schemas, deployment_bounds::bounds());
    let target = schemas.pointer_mut("/RouteSpec/properties/targets/items/oneOf");
    if let Some([name, table]) = target.and_then(Value::as_array_mut).map(Vec::as_mut_slice) {
        merge(name, model_name());
        merge(table, json!({"properties": {"model": model_name()}}));
    }
    let key = schemas.pointer_mut("/ProviderSpec/properties/api_key/oneOf");
    if let Some(forms) = key.and_then(Value::as_array_mut) {
        // Anything else may be the key itself.
        let variable = forms.iter_mut().find_map(|form| form.pointer_mut("/properties/env"));
        if let Some(variable) = variable {
            merge(variable, json!({"pattern": VARIABLE}));
        }
        forms.push(json!({"type": "null"}));
    }
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

/// The names of models and ids of budgets in paths and in queries, and numbers of bytes.
fn bound_parameters(document: &mut Value) {
    let operations = document.get_mut("paths").and_then(Value::as_object_mut);
    let operations = operations.into_iter().flat_map(Map::iter_mut).flat_map(|(path, item)| {
        let item = item.as_object_mut().into_iter().flat_map(Map::values_mut);
        item.map(|operation| (path.as_str(), operation))
    });
    for (path, operation) in operations {
        let is_of_model = ["/api/v1/models/", "/api/v1/routes/", "/api/v1/rate-cards/"]
            .iter()
            .any(|area| path.starts_with(area));
        let is_of_provider = path.starts_with("/api/v1/providers/");
        let is_label =
            path.starts_with("/api/v1/queues/") || path.starts_with("/api/v1/schedules/");
        let is_of_budget = path.starts_with("/api/v1/budgets/");
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            let name = parameter.get("name").and_then(Value::as_str);
            let of_area = |name| {
                let of_prompt = prompt_bounds::parameter(path, name);
                let of_prompt = of_prompt.or_else(|| dataset_bounds::parameter(path, name));
                let of_prompt = of_prompt.or_else(|| deployment_bounds::parameter(path, name));
                of_prompt.or_else(|| eval_bounds::parameter(path, name))
            };
            if let Some(bounds) = name.and_then(of_area) {
                merge(parameter, json!({"schema": bounds}));
                continue;
            }
            let bounds = match name {
                // A header is there or not, and never null.
                Some("If-Match" | "If-None-Match") => json!({"type": "string"}),
                Some("offset" | "max_bytes") => json!({"maximum": u64::MAX}),
                Some(name) if name == "model" || (is_of_model && name == "name") => model_name(),
                Some("name") if is_of_provider => json!({"pattern": "^[a-z0-9][a-z0-9-]{0,39}$"}),
                Some("name") if is_label => json!({"pattern": LABEL}),
                Some("id") if is_of_budget => json!({"maxLength": 128, "pattern": BUDGET_ID}),
                _ => continue,
            };
            merge(parameter, json!({"schema": bounds}));
        }
    }
}

fn model_name() -> Value {
    json!({"minLength": 1, "maxLength": 128, "pattern": MODEL_NAME})
}

fn bounds() -> Value {
    let name = model_name();
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
        "PutSchedule": {"properties": {"cron": {"maxLength": MAX_CRON}}},
        "ScheduledJob": new_job(),
        "CreateJob": create_job(),
        "Capacity": {
            "properties": {
                "cpu": {"maximum": u32::MAX, "format": "int64"},
                "memory": {"maximum": u64::MAX},
                "gpu": {"maximum": u32::MAX, "format": "int64"},
            },
        },
        "JobProgress": {
            "properties": {"done": {"maximum": u64::MAX}, "total": {"maximum": u64::MAX}},
        },
        "ClaimWork": {
            "properties": {
                "worker": {
                    "minLength": 1,
                    "maxLength": MAX_WORKER,
                    "pattern": PRINTABLE,
                    "not": {"enum": [SERVER]},
                },
                "queues": {"minItems": 1, "maxItems": MOST_QUEUES, "items": {"pattern": LABEL}},
                "kinds": {
                    "items": {
                        "pattern": LABEL,
                        "not": {"enum": ["batch", "eval", "webhook", "import", "export"]},
                    },
                },
                "most": {"minimum": 1, "maximum": MOST_CLAIMED},
            },
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
                    "prefixItems": [{"type": "string", "pattern": "^[^\u{0}]*[^\u{0}\\s][^\u{0}]*$"}],
                    "items": {"pattern": NO_NUL},
                },
                "env": {
                    "propertyNames": {"minLength": 1, "pattern": "^[^=\u{0}]+$"},
                },
                "working_dir": {"pattern": NO_NUL},
                "health_path": {"pattern": "^/[!-~]*$"},
                "aliases": {"items": name},
                "min_replicas": {"minimum": 0, "maximum": 100},
                "max_replicas": {"minimum": 1, "maximum": 100},
                "target_concurrency": {"minimum": 1, "maximum": u32::MAX, "format": "int64"},
                "max_concurrency": {"minimum": 1, "maximum": u32::MAX, "format": "int64"},
                "max_held": {"minimum": 0, "maximum": u32::MAX, "format": "int64"},
                "max_held_per_key": {"minimum": 1, "maximum": u32::MAX, "format": "int64"},
                "port": {"minimum": 1, "maximum": u16::MAX},
            },
            // The command must learn its port.
            "anyOf": [
                {"properties": {"command": {"contains": {"pattern": r"\{port\}|\$\{?PORT"}}}},
                {
                    "required": ["env"],
                    "properties": {"env": {
                        "required": ["PORT"],
                        "properties": {"PORT": {"enum": ["{port}", "***"]}},
                    }},
                },
                {"required": ["port"], "properties": {"port": {"type": "integer"}}},
            ],
        },
        "ProviderSpec": {
            "additionalProperties": false,
            "properties": {
                "base_url": {"pattern": BASE_URL},
                "default_max_tokens": {"minimum": 1, "maximum": u64::MAX},
            },
        },
        "RateCard": {
            "properties": {
                "version": {"minLength": 1, "maxLength": 64, "pattern": PRINTABLE},
                "price": price(),
            },
        },
        "PriceListForm": {
            "additionalProperties": false,
            "properties": {
                "source": {"minLength": 1, "maxLength": 200, "pattern": r"\S"},
                "providers": {"additionalProperties": prices_of_a_provider()},
            },
        },
        "RouteSpec": {
            "properties": {
                "targets": {"uniqueItems": true},
                "while_cold_budget": {"pattern": r"^\$[0-9]{1,9}(\.[0-9]{1,9})?$"},
            },
            // Somebody must get requests that are shared out by weight.
            "anyOf": [
                {"properties": {
                    "strategy": {"enum": ["ordered", "cost", "latency", "quality"]},
                }},
                {"properties": {"targets": {"contains": {"anyOf": [
                    {"type": "string"},
                    {"properties": {"weight": {"minimum": 1}}},
                ]}}}},
            ],
            "not": {
                "required": ["while_cold", "while_cold_budget"],
                "properties": {
                    "while_cold": {"enum": ["hold"]},
                    "while_cold_budget": {"type": "string"},
                },
            },
        },
        "OrderRequest": {"properties": {"model": {"minLength": 1}}},
    })
}

/// A section of a price list.
fn prices_of_a_provider() -> Value {
    let patterns =
        json!({"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}});
    let mut some = patterns.clone();
    merge(&mut some, json!({"minItems": 1}));
    // Null for models that have none.
    let mut own = price();
    merge(&mut own, json!({"type": ["object", "null"]}));
    json!({
        "type": "object",
        "required": ["models"],
        "additionalProperties": false,
        "properties": {
            "hosts": patterns,
            "fallback": {"type": "array", "items": {"type": "string"}},
            "models": {"type": "array", "items": {
                "type": "object",
                "required": ["match"],
                "additionalProperties": false,
                "properties": {
                    "match": some,
                    "not": patterns,
                    "price": own,
                    "later": {"type": "array", "items": {
                        "type": "object",
                        "required": ["from", "price"],
                        "additionalProperties": false,
                        "properties": {
                            "from": {"type": "string", "format": "date"},
                            "price": price(),
                        },
                    }},
                },
            }},
        },
    })
}

/// Dollars per million tokens of each kind, and for long prompts.
fn price() -> Value {
    let dollars = |types: Value| json!({"type": types, "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$"});
    let kinds = [
        "input",
        "cached_input",
        "cache_write",
        "cache_write_1h",
        "audio_input",
        "output",
        "audio_output",
    ];
    let rate = |kind: &str| {
        let is_needed = ["input", "output"].contains(&kind);
        let types = if is_needed { json!("string") } else { json!(["string", "null"]) };
        (kind.to_owned(), dollars(types))
    };
    let rates: Map<String, Value> = kinds.into_iter().map(rate).collect();
    let object = |properties: Map<String, Value>| {
        json!({
            "type": "object",
            "required": ["input", "output"],
            "additionalProperties": false,
            "properties": properties,
        })
    };
    let mut all = rates.clone();
    all.insert(
        "above".into(),
        json!({
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tokens", "price"],
                "additionalProperties": false,
                "properties": {
                    "tokens": {"type": "integer", "minimum": 0, "maximum": u64::MAX},
                    "price": object(rates),
                },
            },
        }),
    );
    all.insert(
        "services".into(),
        json!({
            "type": "object",
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": u32::MAX},
        }),
    );
    object(all)
}

/// Fields and what their schemas become.
type Fields = Vec<(&'static str, Map<String, Value>)>;

/// The durations of each schema.
fn durations() -> Vec<(&'static str, Fields)> {
    let spec = vec![
        ("idle_timeout", duration(true, LONGEST)),
        ("boot_timeout", duration(true, LONGEST)),
        ("stall_timeout", duration(true, LONGEST)),
        ("answer_timeout", duration(true, LONGEST)),
        ("drain_timeout", duration(false, LONGEST)),
        ("hold_timeout", duration(false, LONGEST)),
        ("hold_event_interval", duration(false, LONGEST)),
        ("max_lifetime", nullable(duration(true, LONGEST))),
    ];
    let timeouts = ["connect_timeout", "first_byte_timeout", "stall_timeout", "timeout"];
    vec![
        ("CreateKey", vec![("expires_in", nullable(duration(true, LONGEST_EXPIRY)))]),
        (
            "CreateJob",
            vec![
                ("delay", nullable(duration(false, LONGEST))),
                ("timeout", nullable(duration(true, LONGEST))),
            ],
        ),
        ("ScheduledJob", vec![("timeout", nullable(duration(true, LONGEST)))]),
        ("ClaimWork", vec![("wait", duration(false, LONGEST_POLL))]),
        ("RotateKey", vec![("grace", duration(false, LONGEST_GRACE))]),
        ("ModelSpec", spec),
        ("ProviderSpec", timeouts.map(|name| (name, duration(true, LONGEST))).to_vec()),
        (
            "RouteSpec",
            vec![
                ("sticky", nullable(duration(true, LONGEST))),
                ("cache_ttl", nullable(duration(true, LONGEST))),
            ],
        ),
    ]
}

/// A duration as people write it, or a number of seconds.
fn duration(is_positive: bool, most: Duration) -> Map<String, Value> {
    let word = "((HOURS)?( ?MINUTES)?( ?SECONDS)?SMALL|LONG( MINUTE)?( SECOND)?SMALL|8784h|DAYS)";
    let word = [
        ("HOURS", "[1-9][0-9]{0,2}h"),
        ("MINUTES", "[1-9][0-9]{0,4}m"),
        ("SECONDS", "[1-9][0-9]{0,6}s"),
        // From here on every text must be below a year.
        ("LONG", "([1-7][0-9]{3}|8[0-6][0-9]{2}|87[0-7][0-9]|878[0-3])h"),
        ("MINUTE", "[1-5]?[0-9]m"),
        ("SECOND", "[1-5]?[0-9]s"),
        ("SMALL", "( ?[1-9][0-9]{0,2}ms)?( ?[1-9][0-9]{0,2}µs)?( ?[1-9][0-9]{0,2}ns)?"),
        ("DAYS", "[1-9][0-9]?d"),
    ]
    .into_iter()
    .fold(word.to_owned(), |word, (name, form)| word.replace(name, form));
    // A number may come as text.
    let number = if is_positive { "0?[1-9][0-9]{0,6}" } else { "[0-9]{1,7}|0s" };
    let pattern = format!("^({number}|{word})$");
    let mut schema = Map::new();
    schema.insert("type".into(), json!(["string", "number"]));
    // Every unit may be absent, and not all of them.
    schema.insert("minLength".into(), 1.into());
    schema.insert("pattern".into(), pattern.into());
    let least = if is_positive { json!(0.001) } else { json!(0) };
    schema.insert("minimum".into(), least);
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

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    /// A field that is renamed or gone would leave its bounds behind.
    #[test]
    fn every_bound_is_of_a_field() {
        let plain = super::super::plain();
        let mut wanted: Vec<(String, String)> = Vec::new();
        let mut all = bounds();
        merge(&mut all, prompt_bounds::bounds());
        merge(&mut all, deployment_bounds::bounds());
        for (schema, bounds) in all.as_object().unwrap() {
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
        assert_eq!(spec["idle_timeout"]["maximum"], LONGEST.as_secs());
        for (pointer, pattern) in [
            ("/paths/~1api~1v1~1models~1{name}/put/parameters", MODEL_NAME),
            ("/paths/~1api~1v1~1budgets~1{id}/put/parameters", BUDGET_ID),
            ("/paths/~1api~1v1~1cluster~1logs/get/parameters", MODEL_NAME),
        ] {
            let parameter = &document.pointer(pointer).unwrap()[0];
            assert_eq!(parameter["schema"]["pattern"], pattern, "{parameter}");
        }
        let key = &document["components"]["schemas"]["ProviderSpec"]["properties"]["api_key"];
        assert_eq!(key["oneOf"][0]["properties"]["env"]["pattern"], VARIABLE);
        let targets = &document["components"]["schemas"]["RouteSpec"]["properties"]["targets"];
        assert_eq!((&targets["uniqueItems"], &targets["minItems"]), (&json!(true), &json!(1)));
        let rotate = &document["paths"]["/api/v1/keys/{id}/rotate"]["post"];
        assert_eq!(rotate["requestBody"]["required"], false);
    }
}
