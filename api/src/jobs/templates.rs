//! Jobs that the operator has prepared: callers name one and give what differs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::jobs::{JobKind, Priority, QueueName};
use jsonschema::Validator;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::kinds::BadArguments;
use crate::merge::merge;

/// The most problems of arguments that are told at once.
const MOST_PROBLEMS: usize = 3;

/// What a template is, as it is configured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    pub kind: JobKind,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What callers do not give.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// What the whole arguments must be, as a JSON Schema; or the path of a file with one.
    #[serde(default)]
    pub schema: Option<Value>,
    #[serde(default)]
    pub queue: Option<QueueName>,
    #[serde(default)]
    pub priority: Option<Priority>,
    #[serde(default)]
    pub max_attempts: Option<u32>,
    #[serde(default, with = "diogenes_core::duration::option")]
    pub timeout: Option<Duration>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A template that is ready for use.
#[derive(Clone, Debug)]
pub struct Template {
    spec: TemplateSpec,
    schema: Option<Validator>,
}

/// A schema that is none, or that refers to one elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("its `schema` is not a JSON Schema: {0}")]
pub struct InvalidSchema(String);

impl Template {
    /// Makes a template of what is configured, whose schema is not the name of a file any more.
    pub fn new(spec: TemplateSpec) -> Result<Self, InvalidSchema> {
        let schema = spec.schema.as_ref().map(jsonschema::validator_for).transpose();
        let schema = schema.map_err(|error| InvalidSchema(error.to_string()))?;
        Ok(Self { spec, schema })
    }

    pub fn spec(&self) -> &TemplateSpec {
        &self.spec
    }

    /// The template's arguments with those of a caller over them, checked against the schema.
    ///
    /// # Errors
    /// What the schema does not take.
    pub fn fill(&self, given: Map<String, Value>) -> Result<Map<String, Value>, BadArguments> {
        let mut whole = Value::Object(self.spec.arguments.clone());
        merge(&mut whole, Value::Object(given));
        if let Some(schema) = &self.schema {
            let mut problems = schema.iter_errors(&whole).take(MOST_PROBLEMS);
            if let Some(first) = problems.next() {
                let field = field_of(&first.instance_path().to_string());
                let rest = problems.map(|problem| problem.to_string());
                let all: Vec<_> = std::iter::once(first.to_string()).chain(rest).collect();
                let problem = format!("does not match the template's schema: {}", all.join("; "));
                return Err(BadArguments::wrong(field, problem));
            }
        }
        match whole {
            Value::Object(whole) => Ok(whole),
            _ => Ok(Map::new()),
        }
    }
}

/// The templates of an installation.
pub type Templates = BTreeMap<String, Template>;

/// Where the templates of an installation are kept, if not with the program.
#[async_trait]
pub trait TemplateSource: Send + Sync {
    /// The templates as they stand, or as they stood a moment ago.
    async fn templates(&self) -> Result<Arc<Templates>, TemplatesUnavailable>;
}

/// That the templates could not be read; what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the templates of jobs cannot be read: {0}")]
pub struct TemplatesUnavailable(pub String);

/// Templates that stay as they are.
#[async_trait]
impl TemplateSource for Arc<Templates> {
    async fn templates(&self) -> Result<Arc<Templates>, TemplatesUnavailable> {
        Ok(self.clone())
    }
}

/// `/values/rate` as fields are written: `values.rate`.
fn field_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(schema: &Value) -> Result<Template, InvalidSchema> {
        let spec = json!({
            "kind": "command",
            "arguments": {"command": "train", "values": {"rate": "0.1", "data": "all"}},
            "schema": schema,
        });
        Template::new(serde_json::from_value(spec).unwrap())
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_callers_give_is_laid_over_the_template() {
        let template = template(&Value::Null).unwrap();
        let whole = template.fill(object(&json!({"values": {"rate": "1"}}))).unwrap();
        let wanted = json!({"command": "train", "values": {"rate": "1", "data": "all"}});
        assert_eq!(Value::Object(whole), wanted);
    }

    #[test]
    fn what_the_schema_does_not_take_is_told_with_its_field() {
        let template = template(&json!({
            "properties": {
                "command": {"const": "train"},
                "values": {"properties": {"rate": {"pattern": "^[0-9.]+$"}}},
            },
            "additionalProperties": false,
        }))
        .unwrap();
        template.fill(object(&json!({"values": {"rate": "1e"}}))).unwrap_err();
        for (given, field) in [
            (json!({"command": "rm"}), "arguments.command"),
            (json!({"values": {"rate": "fast"}}), "arguments.values.rate"),
            (json!({"shell": true}), "arguments"),
        ] {
            let error = template.fill(object(&given)).unwrap_err();
            let BadArguments::Wrong { field: found, problem } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(format!("arguments.{found}").trim_end_matches('.'), field, "{problem}");
        }
    }

    #[test]
    fn a_schema_that_is_none_or_is_elsewhere_is_refused() {
        for schema in [
            json!({"type": "nothing"}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"pattern": "("}),
        ] {
            let error = template(&schema).unwrap_err();
            assert!(error.to_string().contains("is not a JSON Schema"), "{schema}: {error}");
        }
    }
}
