//! JSON Schema.

use serde::Deserialize;
use serde_json::{Value, json};

use super::case::Case;
use super::scored::Scored;
use super::spec::EvaluatorProblem;
use super::text::quoted;
use crate::json_schema::{BoundedSchema, Misfit};

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
    schema: BoundedSchema,
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
        let schema = BoundedSchema::new(schema).map_err(wrong)?;
        Ok(Self { schema, fenced: *fenced })
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
        let misfits = match self.schema.misfits(&answer, MOST_TOLD) {
            Ok(misfits) => misfits,
            Err(error) => return Scored::unmeasured(format!("the answer {error}")),
        };
        let Some(Misfit { path, problem }) = misfits.first() else {
            return Scored::is(true, "");
        };
        let place = if path.is_empty() { "the answer".to_owned() } else { format!("`{path}`") };
        let told: Vec<_> = misfits
            .iter()
            .map(|Misfit { path, problem }| json!({"path": path, "problem": problem}))
            .collect();
        Scored::is(false, format!("{place}: {problem}")).with_details(json!({"failures": told}))
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
