use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::DatasetProblem;
use super::example::ExampleContent;
use super::shape::Shape;
use crate::json_schema::{BoundedSchema, Misfit};

/// The largest declared schema, in bytes of its JSON.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// What inputs and expected answers of a dataset look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "origin")]
pub enum DatasetSchema {
    /// Somebody said so: every example fits.
    Declared(DeclaredSchema),
    /// It was told from the examples, and grows with them.
    Inferred {
        #[serde(default)]
        input: Shape,
        #[serde(default)]
        expected: Shape,
    },
}

/// Two JSON Schemas, either of which may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeclaredSchema {
    /// The JSON Schema of every input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub input: Option<Value>,
    /// The JSON Schema of every expected answer; an example without one is fit for `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub expected: Option<Value>,
}

impl Default for DatasetSchema {
    fn default() -> Self {
        Self::Inferred { input: Shape::default(), expected: Shape::default() }
    }
}

impl DatasetSchema {
    /// The JSON Schema of inputs, as far as something is known of them.
    pub fn input(&self) -> Option<Value> {
        match self {
            Self::Declared(declared) => declared.input.clone(),
            Self::Inferred { input, .. } => input.schema(),
        }
    }

    /// The JSON Schema of expected answers, as far as something is known of them.
    pub fn expected(&self) -> Option<Value> {
        match self {
            Self::Declared(declared) => declared.expected.clone(),
            Self::Inferred { expected, .. } => expected.schema(),
        }
    }

    pub fn is_declared(&self) -> bool {
        matches!(self, Self::Declared(_))
    }

    /// Widens an inferred schema so that it fits.
    pub fn widen(&mut self, content: &ExampleContent) {
        match self {
            Self::Declared(_) => {}
            Self::Inferred { input, expected } => {
                input.widen(&content.input);
                if let Some(value) = &content.expected {
                    expected.widen(value);
                }
            }
        }
    }
}

impl DatasetSchema {
    /// Widens an inferred schema so that it fits what `other`, which was inferred as well, fits.
    pub fn merge(&mut self, other: &Self) {
        if let (
            Self::Inferred { input, expected },
            Self::Inferred { input: their_input, expected: their_expected },
        ) = (self, other)
        {
            input.merge(their_input);
            expected.merge(their_expected);
        }
    }
}

/// Checks examples: what fits no schema, and what is too much.
pub struct Checks {
    input: Option<BoundedSchema>,
    expected: Option<BoundedSchema>,
}

impl Checks {
    /// The checks of a dataset with this schema.
    ///
    /// # Errors
    /// When it is not one, or refers to one elsewhere: nothing is fetched.
    pub fn of(schema: &DatasetSchema) -> Result<Self, DatasetProblem> {
        match schema {
            DatasetSchema::Declared(declared) => Self::declared(declared),
            DatasetSchema::Inferred { .. } => Ok(Self { input: None, expected: None }),
        }
    }

    /// The checks of a declared schema.
    ///
    /// # Errors
    /// When it is not one.
    pub fn declared(declared: &DeclaredSchema) -> Result<Self, DatasetProblem> {
        let bytes = serde_json::to_vec(declared).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_SCHEMA_BYTES {
            let problem = format!("must have at most {MAX_SCHEMA_BYTES} bytes");
            return Err(DatasetProblem::new("schema", problem));
        }
        let compiled = |field: &str, schema: &Option<Value>| {
            schema.as_ref().map(|schema| compiled(field, schema)).transpose()
        };
        Ok(Self {
            input: compiled("schema.input", &declared.input)?,
            expected: compiled("schema.expected", &declared.expected)?,
        })
    }

    /// Refuses an example that does not fit.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub fn check(&self, content: &ExampleContent) -> Result<(), DatasetProblem> {
        content.check()?;
        if let Some(schema) = &self.input {
            fits(schema, "input", &content.input)?;
        }
        if let Some(schema) = &self.expected {
            fits(schema, "expected", content.expected.as_ref().unwrap_or(&Value::Null))?;
        }
        Ok(())
    }
}

fn compiled(field: &str, schema: &Value) -> Result<BoundedSchema, DatasetProblem> {
    BoundedSchema::new(schema).map_err(|problem| DatasetProblem::new(field, problem))
}

fn fits(schema: &BoundedSchema, field: &str, value: &Value) -> Result<(), DatasetProblem> {
    let misfits = schema.misfits(value, 1).map_err(|error| {
        DatasetProblem::new(field, format!("{error}; store it without a declared schema"))
    })?;
    let Some(Misfit { path, problem }) = misfits.first() else { return Ok(()) };
    let mut place = field.to_owned();
    for segment in path.split('/').skip(1) {
        let is_index = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        let segment = segment.replace("~1", "/").replace("~0", "~");
        let (before, after) = if is_index { ("[", "]") } else { (".", "") };
        place.extend([before, &segment, after]);
    }
    Err(DatasetProblem::new(place, format!("does not fit the schema of the dataset: {problem}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(input: Value) -> Result<Checks, DatasetProblem> {
        Checks::declared(&DeclaredSchema { input: Some(input), expected: None })
    }

    fn content(input: Value) -> ExampleContent {
        ExampleContent { input, ..ExampleContent::default() }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let schema = json!({
            "type": "object",
            "properties": {"turns": {"type": "array", "items": {"type": "string"}}},
        });
        let checks = declared(schema).unwrap();
        assert!(checks.check(&content(json!({"turns": ["a"]}))).is_ok());
        let error = checks.check(&content(json!({"turns": ["a", 2]}))).unwrap_err();
        assert_eq!(error.field, "input.turns[1]");
        assert!(error.problem.contains("2 is not of type \"string\""), "{error}");
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        for bad in [json!({"type": "strung"}), json!(3), json!({"pattern": "("})] {
            let Err(error) = declared(bad.clone()) else { panic!("{bad}") };
            assert_eq!(error.field, "schema.input");
        }
        let big = json!({"description": "x".repeat(MAX_SCHEMA_BYTES)});
        assert_eq!(declared(big).err().unwrap().field, "schema");
    }

    #[test]
    fn a_schema_whose_check_would_never_end_is_refused() {
        let mut doubling = json!({"$defs": {"a0": {}}, "$ref": "#/$defs/a40"});
        for level in 1..=40 {
            let before = json!({"$ref": format!("#/$defs/a{}", level - 1)});
            doubling["$defs"][format!("a{level}")] = json!({"allOf": [before, before]});
        }
        let Err(error) = declared(doubling) else { panic!("it is taken") };
        assert!(error.problem.contains("more than 1000 schemas"), "{error}");
    }

    #[test]
    fn nothing_is_fetched() {
        for target in ["http://127.0.0.1:1/x", "https://example.com/s.json", "file:///etc/passwd"] {
            let Err(error) = declared(json!({"properties": {"a": {"$ref": target}}})) else {
                panic!("{target}")
            };
            assert!(error.problem.contains("is not fetched"), "{error}");
        }
        let Err(error) = declared(json!({"$ref": "other.json"})) else { panic!() };
        assert_eq!(error.field, "schema.input");
        let local = json!({"$defs": {"t": {"type": "string"}}, "$ref": "#/$defs/t"});
        assert!(declared(local).unwrap().check(&content(json!(1))).is_err());
    }

    #[test]
    fn a_pattern_that_backtracks_is_not_slow() {
        let checks = declared(json!({"type": "string", "pattern": "^(a+)+$"})).unwrap();
        let began = std::time::Instant::now();
        assert!(checks.check(&content(json!("a".repeat(100_000) + "b"))).is_err());
        assert!(began.elapsed().as_secs() < 5);
    }
}
