//! JSON Schemas that callers write: checked in bounded time, and nothing is fetched.

mod shape;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use shape::Shape;

/// The most that a regular expression of a schema may take in memory, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// The longest text of what is wrong, in characters.
const MAX_PROBLEM: usize = 300;

/// A JSON Schema whose check of any value ends in good time.
#[derive(Debug)]
pub(crate) struct BoundedSchema {
    validator: Validator,
    /// How deep a value may nest for that.
    depth: usize,
}

/// What of a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// A JSON Pointer into the value; empty for the whole of it.
    pub(crate) path: String,
    pub(crate) problem: String,
}

/// A value nests too deep for its check to end in good time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nests deeper than {depth}, which this schema cannot be checked for")]
pub(crate) struct TooDeep {
    pub(crate) depth: usize,
}

impl BoundedSchema {
    /// Prepares a schema.
    ///
    /// # Errors
    /// What is wrong with it, as it follows the schema's name: "refers to …".
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        let Shape { depth } = shape::shape(schema)?;
        jsonschema::meta::validate(schema).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { String::new() } else { format!(" at `{place}`") };
            format!("is not a JSON Schema{place}: {}", shortened(&error.to_string()))
        })?;
        // Of the two engines this is the one whose time is bounded.
        let patterns =
            PatternOptions::regex().size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED);
        let options = jsonschema::options().with_pattern_options(patterns).offline();
        let validator = options
            .build(schema)
            .map_err(|error| format!("cannot be used: {}", shortened(&error.to_string())))?;
        Ok(Self { validator, depth })
    }

    /// At most so many places where a value does not fit; none where it does.
    pub(crate) fn misfits(&self, value: &Value, most: usize) -> Result<Vec<Misfit>, TooDeep> {
        if depth_of(value) > self.depth {
            return Err(TooDeep { depth: self.depth });
        }
        if self.validator.is_valid(value) {
            return Ok(Vec::new());
        }
        let misfits = self.validator.iter_errors(value).take(most).map(|error| Misfit {
            path: shortened(&error.instance_path().to_string()),
            problem: shortened(&error.to_string()),
        });
        Ok(misfits.collect())
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
    text.chars().take(MAX_PROBLEM).collect()
}
