//! What values look like that nobody has described: a schema that grows with them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The most fields of a shape; an object with more has any.
const MOST_FIELDS: usize = 200;
/// How deep objects are looked into.
const DEEPEST: usize = 3;

/// What all values so far have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    kinds: BTreeSet<Kind>,
    /// The fields of objects, where they are not too many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, Field>,
    /// Whether objects have other fields, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_open: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Field {
    #[serde(flatten)]
    shape: Shape,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_optional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

impl Shape {
    /// Widens it so that it fits `value`.
    pub(super) fn widen(&mut self, value: &Value) {
        self.widen_to(value, DEEPEST);
    }

    fn widen_to(&mut self, value: &Value, deepest: usize) {
        let kind = Kind::of(value);
        if let (Value::Object(object), false) = (value, deepest == 0) {
            self.widen_fields(object, deepest - 1);
        }
        if !self.kinds.contains(&kind) {
            self.kinds.insert(kind);
        }
    }

    fn widen_fields(&mut self, object: &Map<String, Value>, deepest: usize) {
        if self.is_open {
            return;
        }
        let is_first = !self.kinds.contains(&Kind::Object);
        for (name, field) in &mut self.fields {
            if !field.is_optional && !object.contains_key(name) {
                field.is_optional = true;
            }
        }
        for (name, value) in object {
            if let Some(field) = self.fields.get_mut(name) {
                field.shape.widen_to(value, deepest);
            } else {
                let mut field = Field { is_optional: !is_first, ..Field::default() };
                field.shape.widen_to(value, deepest);
                self.fields.insert(name.clone(), field);
            }
        }
        if self.fields.len() > MOST_FIELDS {
            self.fields.clear();
            self.is_open = true;
        }
    }

    /// Widens it so that it fits what `other` fits, too.
    pub(super) fn merge(&mut self, other: &Self) {
        let here = self.kinds.contains(&Kind::Object);
        let there = other.kinds.contains(&Kind::Object);
        self.kinds.extend(&other.kinds);
        for (name, field) in &mut self.fields {
            if there && !other.fields.contains_key(name) {
                field.is_optional = true;
            }
        }
        for (name, theirs) in &other.fields {
            if let Some(field) = self.fields.get_mut(name) {
                field.shape.merge(&theirs.shape);
                field.is_optional |= theirs.is_optional;
            } else {
                let mut field = theirs.clone();
                field.is_optional |= here;
                self.fields.insert(name.clone(), field);
            }
        }
        self.is_open |= other.is_open;
        if self.is_open || self.fields.len() > MOST_FIELDS {
            self.fields.clear();
            self.is_open = true;
        }
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// It as a JSON Schema; `None` where nothing was seen yet.
    pub fn schema(&self) -> Option<Value> {
        let number_too = self.kinds.contains(&Kind::Number);
        let kinds = self.kinds.iter().filter(|kind| !(number_too && **kind == Kind::Integer));
        let kinds: Vec<_> = kinds.map(|kind| json!(kind)).collect();
        let mut schema = Map::new();
        match &kinds[..] {
            [] => return None,
            [one] => schema.insert("type".into(), one.clone()),
            some => schema.insert("type".into(), json!(some)),
        };
        if !self.fields.is_empty() {
            let fields = self.fields.iter();
            let properties: Map<_, _> = fields
                .filter_map(|(name, field)| Some((name.clone(), field.shape.schema()?)))
                .collect();
            schema.insert("properties".into(), Value::Object(properties));
            let required = self.fields.iter().filter(|(_, field)| !field.is_optional);
            let required: Vec<_> = required.map(|(name, _)| name).collect();
            if !required.is_empty() {
                schema.insert("required".into(), json!(required));
            }
        }
        Some(Value::Object(schema))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(values: &[Value]) -> Option<Value> {
        let mut shape = Shape::default();
        for value in values {
            shape.widen(value);
        }
        let read: Shape = serde_json::from_value(json!(shape)).unwrap();
        assert_eq!(read, shape);
        shape.schema()
    }

    #[test]
    fn a_shape_fits_everything_that_was_seen() {
        assert_eq!(shape(&[]), None);
        assert_eq!(shape(&[json!("a"), json!("b")]), Some(json!({"type": "string"})));
        assert_eq!(shape(&[json!(1), json!(1.5)]), Some(json!({"type": "number"})));
        assert_eq!(
            shape(&[json!({"a": 1, "b": "x"}), json!({"a": null, "c": [1]})]),
            Some(json!({
                "type": "object",
                "properties": {
                    "a": {"type": ["null", "integer"]},
                    "b": {"type": "string"},
                    "c": {"type": "array"},
                },
                "required": ["a"],
            }))
        );
    }

    #[test]
    fn to_merge_shapes_is_to_see_everything() {
        let values = [
            json!({"a": 1, "b": {"c": "x"}}),
            json!("text"),
            json!({"b": {"d": null}}),
            json!(null),
        ];
        for split in 0..=values.len() {
            let (left, right) = values.split_at(split);
            let of = |values: &[Value]| {
                let mut shape = Shape::default();
                for value in values {
                    shape.widen(value);
                }
                shape
            };
            let mut merged = of(left);
            merged.merge(&of(right));
            assert_eq!(merged, of(&values), "{split}");
        }
    }

    #[test]
    fn an_object_with_too_many_fields_has_any() {
        let many: Map<_, _> = (0..=MOST_FIELDS).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(shape(&[Value::Object(many), json!({"a": 1})]), Some(json!({"type": "object"})));
    }
}
