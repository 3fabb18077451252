//! Which column goes where in an example, and as what.

use std::str::FromStr;

use diogenes_core::datasets::{DatasetSchema, ExampleContent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{BadRow, FormatError};
use crate::rows::{Cells, Row};

/// The most pairs of a mapping.
const MOST_PAIRS: usize = 200;

/// Where columns go: pairs such as `input=question`. Without any, columns are called what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Mapping(Vec<(Target, String)>);

/// A mapping that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("`{}` does not map a column; write it as in `input=question`", .0.escape_debug())]
    NoPair(String),
    #[error(
        "nothing in an example is called `{}`; use `input`, `expected`, a field of one of them such as \
         `input.question`, `metadata`, `metadata.NAME`, `tags`, `split` or `source`", .0.escape_debug()
    )]
    NoTarget(String),
    #[error("two columns are mapped to `{0}`; map one, or each to a field of its own")]
    Twice(String),
    #[error("no column is mapped to `input`; add `input=COLUMN`")]
    NoInput,
    #[error("there are more than {MOST_PAIRS} pairs")]
    TooMany,
}

/// A place in an example.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Input,
    InputField(String),
    Expected,
    ExpectedField(String),
    Metadata,
    MetadataField(String),
    Tags,
    Split,
    Source,
}

impl FromStr for Target {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let (name, field) = match text.split_once('.') {
            Some((name, field)) if !field.is_empty() => (name, Some(field.to_owned())),
            Some(_) => return Err(no_target(text)),
            None => (text, None),
        };
        match (name, field) {
            ("input", None) => Ok(Self::Input),
            ("input", Some(field)) => Ok(Self::InputField(field)),
            // What other programs call it.
            ("expected" | "expected_output", None) => Ok(Self::Expected),
            ("expected", Some(field)) => Ok(Self::ExpectedField(field)),
            ("metadata", None) => Ok(Self::Metadata),
            ("metadata", Some(field)) => Ok(Self::MetadataField(field)),
            ("tags", None) => Ok(Self::Tags),
            ("split", None) => Ok(Self::Split),
            ("source", None) => Ok(Self::Source),
            _ => Err(no_target(text)),
        }
    }
}

fn no_target(text: &str) -> MappingError {
    MappingError::NoTarget(text.chars().take(80).collect())
}

impl Target {
    fn text(&self) -> String {
        match self {
            Self::Input => "input".into(),
            Self::InputField(field) => format!("input.{field}"),
            Self::Expected => "expected".into(),
            Self::ExpectedField(field) => format!("expected.{field}"),
            Self::Metadata => "metadata".into(),
            Self::MetadataField(field) => format!("metadata.{field}"),
            Self::Tags => "tags".into(),
            Self::Split => "split".into(),
            Self::Source => "source".into(),
        }
    }

    fn is_input(&self) -> bool {
        matches!(self, Self::Input | Self::InputField(_))
    }

    /// Whether both are the same place, or one is within the other.
    fn meets(&self, other: &Self) -> bool {
        let whole = |a: &Self, b: &Self| {
            matches!(
                (a, b),
                (Self::Input, Self::InputField(_)) | (Self::Expected, Self::ExpectedField(_))
            )
        };
        self == other || whole(self, other) || whole(other, self)
    }
}

impl TryFrom<Vec<String>> for Mapping {
    type Error = MappingError;

    fn try_from(pairs: Vec<String>) -> Result<Self, MappingError> {
        if pairs.len() > MOST_PAIRS {
            return Err(MappingError::TooMany);
        }
        let mut mapping: Vec<(Target, String)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let shortened = || MappingError::NoPair(pair.chars().take(80).collect());
            let (target, column) = pair.split_once('=').ok_or_else(shortened)?;
            if column.is_empty() {
                return Err(shortened());
            }
            let target: Target = target.trim().parse()?;
            if mapping.iter().any(|(known, _)| known.meets(&target)) {
                return Err(MappingError::Twice(target.text()));
            }
            mapping.push((target, column.to_owned()));
        }
        if !mapping.is_empty() && !mapping.iter().any(|(target, _)| target.is_input()) {
            return Err(MappingError::NoInput);
        }
        Ok(Self(mapping))
    }
}

impl From<Mapping> for Vec<String> {
    fn from(mapping: Mapping) -> Self {
        let pairs = mapping.0.into_iter();
        pairs.map(|(target, column)| format!("{}={column}", target.text())).collect()
    }
}

impl Mapping {
    /// Whether two places take from the same column, or one from within that of the other.
    fn is_shared(&self) -> bool {
        let meet = |one: &str, other: &str| {
            let rest = one.strip_prefix(other);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let columns = self.0.iter().map(|(_, column)| column);
        columns.enumerate().any(|(place, column)| {
            let others = self.0.iter().skip(place + 1).map(|(_, other)| other);
            others.into_iter().any(|other| meet(column, other) || meet(other, column))
        })
    }
}

/// Makes examples of rows.
#[derive(Debug)]
pub struct Mapper {
    /// Of a file with columns: where each of those that are taken stands, and where it goes.
    placed: Vec<(usize, Target, Wanted)>,
    columns: Vec<String>,
    /// Of a file without: what is looked for in each row; empty for what is called as in examples.
    named: Vec<(String, Target)>,
    /// Whether a column goes to several places, or a part of it to another one.
    is_shared: bool,
    /// What the file is called, for the source of those that say nothing of it.
    file: Option<String>,
}

/// What the text of a field is read as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// JSON of one of these types, and not a text.
    types: Vec<String>,
    /// Whether a text will do, too, where it is none.
    is_guess: bool,
}

impl Mapper {
    /// The mapper of a file with these columns into a dataset with this schema, which says what fields
    /// are read as.
    ///
    /// # Errors
    /// When a column is not there, or none is the input.
    pub fn new(
        mapping: &Mapping,
        columns: Option<&[String]>,
        schema: &DatasetSchema,
    ) -> Result<Self, FormatError> {
        let is_shared = mapping.is_shared();
        let Some(columns) = columns else {
            let named = mapping.0.iter().map(|(target, column)| (column.clone(), target.clone()));
            let (named, columns) = (named.collect(), Vec::new());
            return Ok(Self { placed: Vec::new(), columns, named, is_shared, file: None });
        };
        let shown = || {
            let names = columns.iter().take(20).map(|name| format!("`{}`", name.escape_debug()));
            names.collect::<Vec<_>>().join(", ")
        };
        let mut placed = Vec::new();
        for (target, column) in &mapping.0 {
            let Some(place) = columns.iter().position(|name| name == column) else {
                return Err(FormatError::unusable(format!(
                    "there is no column `{}`; the columns are {}",
                    column.escape_debug(),
                    shown()
                )));
            };
            placed.push((place, target.clone(), Wanted::of(target, schema)));
        }
        if mapping.0.is_empty() {
            for (place, name) in columns.iter().enumerate() {
                if let Ok(target) = name.parse::<Target>() {
                    let wanted = Wanted::of(&target, schema);
                    placed.push((place, target, wanted));
                }
            }
            if !placed.iter().any(|(_, target, _)| target.is_input()) {
                return Err(FormatError::unusable(format!(
                    "no column is called `input`; say which one it is with `--map input=COLUMN`; the columns are {}",
                    shown()
                )));
            }
        }
        let columns = columns.to_vec();
        Ok(Self { placed, columns, named: Vec::new(), is_shared, file: None })
    }

    /// Gives examples whose rows say nothing of it the source `FILE:LINE`.
    #[must_use]
    pub fn with_file(self, file: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The columns that are not taken.
    pub fn left_out(&self) -> Vec<&str> {
        let is_taken = |place: usize| self.placed.iter().any(|(taken, ..)| *taken == place);
        let columns = self.columns.iter().enumerate();
        columns.filter(|(place, _)| !is_taken(*place)).map(|(_, name)| name.as_str()).collect()
    }

    /// The example that a row is.
    ///
    /// # Errors
    /// When it is none, with the column.
    pub fn example(&self, row: Row<'_>) -> Result<ExampleContent, BadRow> {
        let line = row.line;
        let mut parts = Parts::default();
        match row.cells {
            Cells::Texts { text, ends } => {
                for (place, target, wanted) in &self.placed {
                    let cell = Cells::text(text, ends, *place).unwrap_or_default();
                    let taken = parts.take_text(target, wanted, cell);
                    taken.map_err(|reason| BadRow::new(line, self.column(*place), reason))?;
                }
            }
            Cells::Values(mut values) => {
                for (place, target, _) in &self.placed {
                    let value = values.get_mut(*place).map(|value| self.taken(value));
                    let value = value.unwrap_or_default();
                    let taken = parts.take_value(target, value);
                    taken.map_err(|reason| BadRow::new(line, self.column(*place), reason))?;
                }
            }
            Cells::Object(mut fields) if self.named.is_empty() => {
                for (name, value) in std::mem::take(&mut fields) {
                    if let Ok(target) = name.parse::<Target>() {
                        let taken = parts.take_value(&target, value);
                        taken.map_err(|reason| BadRow::new(line, Some(&name), reason))?;
                    }
                }
            }
            Cells::Object(mut fields) => {
                for (name, target) in &self.named {
                    let value = found(&mut fields, name).map(|value| self.taken(value));
                    let value = value.unwrap_or_default();
                    let taken = parts.take_value(target, value);
                    taken.map_err(|reason| BadRow::new(line, Some(name), reason))?;
                }
            }
        }
        if !parts.has_input {
            let reason = "has no `input`; say what it is with `--map input=NAME`";
            return Err(BadRow::new(line, None, reason));
        }
        let mut content = parts.content;
        content.expected = content.expected.filter(|_| parts.has_expected);
        if let (None, Some(file)) = (&content.source, &self.file) {
            content.source = Some(format!("{file}:{line}"));
        }
        Ok(content)
    }

    fn taken(&self, value: &mut Value) -> Value {
        if self.is_shared { value.clone() } else { value.take() }
    }

    fn column(&self, place: usize) -> Option<&str> {
        self.columns.get(place).map(String::as_str)
    }
}

/// The value of this name: a field, or one within fields.
fn found<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Value> {
    if fields.contains_key(name) {
        return fields.get_mut(name);
    }
    let (outer, inner) = name.split_once('.')?;
    found(fields.get_mut(outer)?.as_object_mut()?, inner)
}

/// An example that is being put together.
#[derive(Default)]
struct Parts {
    content: ExampleContent,
    has_input: bool,
    /// Whether somebody has filled in a part of what is expected.
    has_expected: bool,
}

impl Parts {
    fn take_text(&mut self, target: &Target, wanted: &Wanted, cell: &str) -> Result<(), String> {
        match target {
            Target::Input | Target::InputField(_) => match wanted.value(cell)? {
                Some(value) => self.take_value(target, value),
                None if *target == Target::Input => {
                    Err("is empty, and an example needs an input".into())
                }
                None => Ok(()),
            },
            // A field that nobody filled in is no answer, and nothing to remember.
            Target::Expected | Target::MetadataField(_) | Target::Split | Target::Source
                if cell.is_empty() =>
            {
                Ok(())
            }
            // By itself it makes no answer, beside others it is a part of one.
            Target::ExpectedField(field) if cell.is_empty() => {
                if let Some(value) = wanted.value(cell)? {
                    insert(self.content.expected.get_or_insert_default(), field, value);
                }
                Ok(())
            }
            Target::Expected | Target::ExpectedField(_) => match wanted.value(cell)? {
                Some(value) => self.take_value(target, value),
                None => Ok(()),
            },
            Target::Metadata
            | Target::MetadataField(_)
            | Target::Tags
            | Target::Split
            | Target::Source => self.take_value(target, Value::String(cell.to_owned())),
        }
    }

    fn take_json(&mut self, target: &Target, text: &str) -> Result<(), String> {
        match serde_json::from_str(text) {
            Ok(Value::String(_)) => Err("must be an object or a list".into()),
            Ok(value) => self.take_value(target, value),
            Err(error) => Err(format!("is not JSON: {error}")),
        }
    }

    fn take_value(&mut self, target: &Target, value: Value) -> Result<(), String> {
        let content = &mut self.content;
        match target {
            Target::Input if value.is_null() => {
                return Err("is null, and an example needs an input".into());
            }
            Target::Input => (content.input, self.has_input) = (value, true),
            Target::InputField(field) => {
                self.has_input = true;
                insert(&mut content.input, field, value);
            }
            Target::Expected => {
                self.has_expected = !value.is_null();
                content.expected = Some(value);
            }
            Target::ExpectedField(field) => {
                self.has_expected |= !value.is_null();
                insert(content.expected.get_or_insert_default(), field, value);
            }
            Target::Metadata => match value {
                Value::Null => {}
                Value::Object(fields) => content.metadata.extend(fields),
                Value::String(text) if text.trim().is_empty() => {}
                // As in tables, whose fields have no parts.
                Value::String(text) => return self.take_json(target, &text),
                _ => return Err("must be an object".into()),
            },
            Target::MetadataField(field) => {
                content.metadata.insert(field.clone(), value);
            }
            Target::Tags => match value {
                Value::Null => {}
                Value::String(text) if text.trim_start().starts_with('[') => {
                    return self.take_json(target, &text);
                }
                Value::String(text) => {
                    let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                    content.tags.extend(tags.map(str::to_owned));
                }
                Value::Array(items) => {
                    for item in items {
                        let Value::String(tag) = item else {
                            return Err("must be a list of texts".into());
                        };
                        content.tags.insert(tag);
                    }
                }
                _ => return Err("must be a list of texts".into()),
            },
            Target::Split => content.split = plain(value)?,
            Target::Source => content.source = plain(value)?,
        }
        Ok(())
    }
}

fn insert(into: &mut Value, field: &str, value: Value) {
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Some(fields) = into.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn plain(value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err("must be a text".into()),
    }
}

impl Wanted {
    fn of(target: &Target, schema: &DatasetSchema) -> Self {
        let whole = match target {
            Target::Input | Target::InputField(_) => schema.input(),
            Target::Expected | Target::ExpectedField(_) => schema.expected(),
            _ => None,
        };
        let field = match target {
            Target::InputField(field) | Target::ExpectedField(field) => Some(field),
            _ => None,
        };
        let described = whole.as_ref().and_then(|whole| match field {
            Some(field) => whole.get("properties")?.get(field),
            None => Some(whole),
        });
        let types: Vec<String> = match described.and_then(|described| described.get("type")) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(some)) => {
                some.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        if types.iter().any(|one| one == "string") {
            return Self::default();
        }
        Self { types, is_guess: !schema.is_declared() }
    }

    /// What a cell says; `None` for nothing.
    fn value(&self, cell: &str) -> Result<Option<Value>, String> {
        if self.types.is_empty() {
            return Ok(Some(Value::String(cell.to_owned())));
        }
        if cell.trim().is_empty() {
            return Ok(None);
        }
        match serde_json::from_str::<Value>(cell.trim()) {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.is_guess => Ok(Some(Value::String(cell.to_owned()))),
            Err(_) => {
                let shown: String = cell.chars().take(40).collect();
                Err(format!(
                    "`{}` is not of the type {}",
                    shown.escape_debug(),
                    self.types.join(" or ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests;
