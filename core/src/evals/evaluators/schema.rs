//! JSON Schema.

use jsonschema::{PatternOptions, Validator};
use serde::Deserialize;
use serde_json::{Value, json};

use super::case::Case;
use super::pattern::MAX_COMPILED;
use super::schema_check::{Shape, shape};
use super::scored::Scored;
use super::spec::EvaluatorProblem;
use super::text::quoted;

/// The largest schema, in bytes of its JSON.
const MAX_SCHEMA: usize = 64 * 1024;
/// How many failures are told.
const MOST_TOLD: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaParams {
    schema: Value,
    #[serde(default)]
    fenced: bool,
}

/// The answer is JSON of a schema.
#[derive(Debug)]
pub(super) struct Schema {
    validator: Validator,
    /// How deep an answer may nest for the check to end in good time.
    depth: usize,
    fenced: bool,
}

impl Schema {
    pub(super) fn new(params: &SchemaParams) -> Result<Self, EvaluatorProblem> {
        let wrong = |problem: String| EvaluatorProblem::new("params.schema", problem);
        let SchemaParams { schema, fenced } = params;
        if !schema.is_object() {
            return Err(wrong("must be an object".into()));
        }
        let bytes = serde_json::to_vec(schema).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_SCHEMA {
            return Err(wrong(format!("must have at most {MAX_SCHEMA} bytes")));
        }
        let Shape { depth } = shape(schema).map_err(wrong)?;
        jsonschema::meta::validate(schema).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { String::new() } else { format!(" at `{place}`") };
            wrong(format!("is not a JSON Schema{place}: {error}"))
        })?;
        let patterns =
            PatternOptions::regex().size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED);
        let validator = jsonschema::options()
            .with_pattern_options(patterns)
            .build(schema)
            .map_err(|error| wrong(format!("cannot be used: {error}")))?;
        Ok(Self { validator, depth, fenced: *fenced })
    }

    pub(super) fn score(&self, case: &Case<'_>) -> Scored {
        let text = if self.fenced { unfenced(case.answer) } else { case.answer };
        let answer: Value = match serde_json::from_str(text) {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("the answer is not JSON: {error}; it is {}", quoted(text));
                return Scored::is(false, text);
            }
        };
        if depth_of(&answer) > self.depth {
            return Scored::unmeasured(format!(
                "the answer nests deeper than {}, which this schema cannot be checked for",
                self.depth
            ));
        }
        let failures: Vec<_> = self
            .validator
            .iter_errors(&answer)
            .take(MOST_TOLD)
            .map(|error| (error.instance_path().to_string(), error.to_string()))
            .collect();
        let Some((path, text)) = failures.first() else { return Scored::is(true, "") };
        let place = if path.is_empty() { "the answer".to_owned() } else { format!("`{path}`") };
        let told: Vec<_> = failures
            .iter()
            .map(|(path, text)| json!({"path": path, "problem": shortened(text)}))
            .collect();
        Scored::is(false, format!("{place}: {}", shortened(text)))
            .with_details(json!({"failures": told}))
    }
}

/// What stands in a code fence that is the whole text; else the text.
pub(super) fn unfenced(text: &str) -> &str {
    let inner = text.trim().strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inner.and_then(|inner| inner.split_once('\n')) {
        Some((language, body)) if !language.contains('`') => body.trim(),
        _ => text,
    }
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}
