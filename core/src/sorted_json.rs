use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A value whose objects are written with their fields sorted by name, so that what is the same has the
/// same text. The order in which `serde_json` keeps them depends on its features, which other crates of a
/// build choose.
pub(crate) struct SortedJson<'a>(pub(crate) &'a Value);

impl Serialize for SortedJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                serializer.collect_map(fields.into_iter().map(|(name, value)| (name, Self(value))))
            }
            Value::Array(values) => serializer.collect_seq(values.iter().map(Self)),
            plain => plain.serialize(serializer),
        }
    }
}

impl fmt::Display for SortedJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_sorted_at_every_depth_and_nothing_else_is() {
        let value = json!({"b": [{"d": 1, "c": 2}, "z", "a"], "a": null});
        assert_eq!(SortedJson(&value).to_string(), r#"{"a":null,"b":[{"c":2,"d":1},"z","a"]}"#);
    }
}
