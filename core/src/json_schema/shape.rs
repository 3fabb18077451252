//! Whether a schema can be checked in good time: one that refers to itself in place never ends, and one whose parts
//! look at the same child twice takes twice as long with every level of the value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// How many schemas may be applied to one value.
const MOST_IN_PLACE: u64 = 1_000;
/// How often a value may be looked at through its ancestors.
const MOST_LOOKS: f64 = 1e6;
/// How deep JSON nests that can be read at all.
const DEEPEST: usize = 127;

/// Keywords whose schemas apply to the same value, in a list and alone.
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
const IN_PLACE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords whose schemas apply to items.
const OF_ITEMS: [&str; 4] = ["items", "contains", "additionalItems", "unevaluatedItems"];
/// Keywords whose schemas apply to whatever fields.
const OF_FIELDS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];
/// Keywords that hold no schemas.
const PLAIN: [&str; 4] = ["const", "enum", "default", "examples"];

/// What a schema demands of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How deep they may nest.
    pub(super) depth: usize,
}

/// The shape of a schema, or what is wrong with it.
pub(super) fn shape(root: &Value) -> Result<Shape, String> {
    references(root, true)?;
    let mut survey = Survey { root, known: BTreeMap::new(), visited: BTreeSet::new(), most: 1 };
    survey.visit(root)?;
    let depth = if survey.most <= 1 {
        DEEPEST
    } else {
        let depth = (MOST_LOOKS.ln() / (survey.most as f64).ln()).floor();
        (1..=DEEPEST).rev().find(|level| *level as f64 <= depth).unwrap_or(1)
    };
    Ok(Shape { depth })
}

/// Refuses references that lead out of the schema.
fn references(schema: &Value, is_root: bool) -> Result<(), String> {
    match schema {
        Value::Array(items) => items.iter().try_for_each(|item| references(item, false)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(to)) if !(to == "#" || to.starts_with("#/")) => {
                        return Err(format!(
                            "refers to `{}`, which is not fetched; put it below `$defs` and refer to `#/$defs/…`",
                            to.chars().take(100).collect::<String>().escape_debug()
                        ));
                    }
                    ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                        return Err(format!("has `{name}`; use `$ref` with `#/…`"));
                    }
                    ("$id", Value::String(_)) if !is_root => {
                        return Err(
                            "has an `$id` inside; only the whole schema may have one".into()
                        );
                    }
                    (name, value) if !PLAIN.contains(&name) => references(value, false)?,
                    _ => {}
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How often the schemas that apply to a value look at its children.
#[derive(Clone, Debug, Default)]
struct Looks {
    /// How many schemas apply to the value.
    schemas: u64,
    fields: BTreeMap<String, u64>,
    patterns: u64,
    other_fields: u64,
    items: u64,
}

impl Looks {
    fn add(&mut self, other: &Self) {
        self.schemas += other.schemas;
        self.patterns += other.patterns;
        self.other_fields += other.other_fields;
        self.items += other.items;
        for (name, count) in &other.fields {
            *self.fields.entry(name.clone()).or_default() += count;
        }
    }

    /// The most looks at one child.
    fn most(&self) -> u64 {
        let named = self.fields.values().max().map_or(0, |most| most + self.patterns);
        named.max(self.patterns + self.other_fields).max(self.items)
    }
}

struct Survey<'a> {
    root: &'a Value,
    /// `None` while it is being looked at.
    known: BTreeMap<*const Value, Option<Looks>>,
    visited: BTreeSet<*const Value>,
    most: u64,
}

impl<'a> Survey<'a> {
    /// Looks at a schema and at everything below it.
    fn visit(&mut self, schema: &'a Value) -> Result<(), String> {
        let mut waiting = vec![schema];
        while let Some(schema) = waiting.pop() {
            let place = std::ptr::from_ref(schema);
            let Value::Object(fields) = schema else { continue };
            if !self.visited.insert(place) {
                continue;
            }
            self.most = self.most.max(self.looks(schema)?.most());
            waiting.extend(self.in_place(fields)?);
            for name in OF_ITEMS.iter().chain(&OF_FIELDS).chain(&["propertyNames"]) {
                match fields.get(*name) {
                    Some(Value::Array(list)) => waiting.extend(list),
                    Some(one) => waiting.push(one),
                    None => {}
                }
            }
            if let Some(Value::Array(list)) = fields.get("prefixItems") {
                waiting.extend(list);
            }
            for name in ["properties", "patternProperties"] {
                waiting.extend(
                    fields.get(name).and_then(Value::as_object).into_iter().flat_map(Map::values),
                );
            }
        }
        Ok(())
    }

    fn looks(&mut self, schema: &'a Value) -> Result<Looks, String> {
        let Value::Object(fields) = schema else {
            return Ok(Looks { schemas: 1, ..Looks::default() });
        };
        let place = std::ptr::from_ref(schema);
        match self.known.get(&place) {
            Some(Some(looks)) => return Ok(looks.clone()),
            Some(None) => {
                return Err("refers to itself without going deeper into the value".into());
            }
            None => {}
        }
        self.known.insert(place, None);
        let has = |name: &str| u64::from(fields.contains_key(name));
        let object = |name: &str| fields.get(name).and_then(Value::as_object);
        let mut looks = Looks {
            schemas: 1,
            fields: object("properties")
                .into_iter()
                .flat_map(Map::keys)
                .map(|name| (name.clone(), 1))
                .collect(),
            patterns: object("patternProperties").map_or(0, |patterns| patterns.len() as u64),
            other_fields: OF_FIELDS.iter().map(|name| has(name)).sum(),
            items: OF_ITEMS.iter().chain(&["prefixItems"]).map(|name| has(name)).sum(),
        };
        // Items have one schema, or, after the first ones, another one.
        if looks.items > 1 && has("contains") + has("unevaluatedItems") == 0 {
            looks.items = 1;
        }
        for inner in self.in_place(fields)? {
            looks.add(&self.looks(inner)?);
            if looks.schemas > MOST_IN_PLACE {
                return Err(format!(
                    "applies more than {MOST_IN_PLACE} schemas to one value; write it with fewer"
                ));
            }
        }
        self.known.insert(place, Some(looks.clone()));
        Ok(looks)
    }

    /// The schemas that apply to the same value.
    fn in_place(&self, fields: &'a Map<String, Value>) -> Result<Vec<&'a Value>, String> {
        let mut all = Vec::new();
        for name in IN_PLACE_LISTS {
            all.extend(fields.get(name).and_then(Value::as_array).into_iter().flatten());
        }
        all.extend(IN_PLACE.iter().filter_map(|name| fields.get(*name)));
        for name in IN_PLACE_MAPS {
            all.extend(
                fields.get(name).and_then(Value::as_object).into_iter().flat_map(Map::values),
            );
        }
        if let Some(Value::String(to)) = fields.get("$ref") {
            let pointer = to.strip_prefix('#').unwrap_or(to).replace("%25", "%");
            let found = self.root.pointer(&pointer);
            all.push(found.ok_or_else(|| format!("refers to `{to}`, which is not in it"))?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn depth(schema: &Value) -> usize {
        shape(schema).unwrap().depth
    }

    #[test]
    fn schemas_as_people_write_them_know_no_bound() {
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert_eq!(depth(&tree), DEEPEST);
        let any = json!({"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"$ref": "#"}},
            {"type": "object", "additionalProperties": {"$ref": "#"}},
        ]});
        assert_eq!(depth(&any), DEEPEST);
        let plain = json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/a"}},
            "additionalProperties": false, "$defs": {"a": {"type": "array", "prefixItems": [true], "items": {"type": "string"}}}});
        assert_eq!(depth(&plain), DEEPEST);
        assert_eq!(depth(&json!({"enum": [{"$ref": "http://example.com"}]})), DEEPEST);
    }

    #[test]
    fn what_looks_twice_at_a_child_is_bounded() {
        let twice = json!({"anyOf": [
            {"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}},
        ]});
        assert_eq!(depth(&twice), 19);
    }

    #[test]
    fn what_never_ends_is_refused() {
        for endless in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}),
        ] {
            assert!(shape(&endless).unwrap_err().contains("refers to itself"), "{endless}");
        }
        let mut doubling = json!({"$defs": {"a0": {}}, "$ref": "#/$defs/a40"});
        for level in 1..=40 {
            let before = json!({"$ref": format!("#/$defs/a{}", level - 1)});
            doubling["$defs"][format!("a{level}")] = json!({"allOf": [before, before]});
        }
        assert!(shape(&doubling).unwrap_err().contains("more than 1000 schemas"));
    }

    #[test]
    fn references_stay_inside() {
        for (schema, told) in [
            (json!({"$ref": "http://example.com/a.json"}), "not fetched"),
            (json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), "not fetched"),
            (json!({"items": {"$ref": "other.json#/a"}}), "not fetched"),
            (json!({"$ref": "#/$defs/gone"}), "not in it"),
            (json!({"$dynamicRef": "#node"}), "$dynamicRef"),
            (json!({"properties": {"a": {"$id": "http://example.com/"}}}), "`$id` inside"),
        ] {
            let problem = shape(&schema).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
        assert!(shape(&json!({"$id": "https://example.com/x.json", "type": "string"})).is_ok());
    }
}
