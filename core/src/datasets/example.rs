use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::DatasetProblem;
use super::names::ExampleId;
use crate::sorted_json::SortedJson;

/// The largest example in bytes of its JSON.
pub const MAX_EXAMPLE_BYTES: usize = 1 << 20;
/// The most tags of an example.
pub const MOST_EXAMPLE_TAGS: usize = 32;
/// The longest tag and the longest split, in characters.
pub const MAX_EXAMPLE_TAG: usize = 64;
/// The longest source, in characters.
pub const MAX_SOURCE: usize = 500;

/// What an example says, whatever its id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExampleContent {
    /// What a model is asked: a text, or an object with the values of a prompt's variables.
    pub input: Value,
    /// What it should answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// The part of the dataset that it belongs to, such as `train` or `test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Where it is from, such as a file and a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An example of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Example {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: ExampleId,
    #[serde(flatten)]
    pub content: ExampleContent,
}

impl ExampleContent {
    /// Refuses what is too much or not printable.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub fn check(&self) -> Result<(), DatasetProblem> {
        if self.tags.len() > MOST_EXAMPLE_TAGS || self.tags.contains("") {
            let problem = format!("must be at most {MOST_EXAMPLE_TAGS}, none of them empty");
            return Err(DatasetProblem::new("tags", problem));
        }
        self.tags
            .iter()
            .try_for_each(|tag| DatasetProblem::in_text("tags", tag, MAX_EXAMPLE_TAG))?;
        if let Some(split) = &self.split {
            DatasetProblem::in_text("split", split, MAX_EXAMPLE_TAG)?;
            if split.is_empty() {
                return Err(DatasetProblem::new("split", "must not be empty"));
            }
        }
        if let Some(source) = &self.source {
            DatasetProblem::in_text("source", source, MAX_SOURCE)?;
        }
        Ok(())
    }
}

/// What of two examples is compared to find those that are there twice: input and expected, 128 bits
/// of their digest.
pub fn fingerprint(content: &ExampleContent) -> u128 {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    hash_value(&mut hash, &content.input);
    hash.update([0]);
    if let Some(expected) = &content.expected {
        hash_value(&mut hash, expected);
    }
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

fn hash_value(hash: &mut sha2::Sha256, value: &Value) {
    use sha2::Digest;
    struct Sink<'a>(&'a mut sha2::Sha256);
    impl std::io::Write for Sink<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // A value has no keys but texts, and the sink takes everything.
    let _ = serde_json::to_writer(Sink(hash), &SortedJson(value));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn content(value: Value) -> ExampleContent {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn tags_splits_and_sources_are_bounded() {
        assert!(content(json!({"input": 1})).check().is_ok());
        for (bad, field) in [
            (json!({"input": 1, "tags": [""]}), "tags"),
            (json!({"input": 1, "tags": ["x".repeat(65)]}), "tags"),
            (json!({"input": 1, "split": ""}), "split"),
            (json!({"input": 1, "source": "\u{1b}"}), "source"),
        ] {
            assert_eq!(content(bad).check().unwrap_err().field, field);
        }
    }

    #[test]
    fn only_input_and_expected_make_a_duplicate() {
        let one = content(json!({"input": {"a": 1, "b": 2}, "tags": ["x"]}));
        let same = content(json!({"input": {"b": 2, "a": 1}, "source": "elsewhere"}));
        assert_eq!(fingerprint(&one), fingerprint(&same));
        let other = content(json!({"input": {"a": 1, "b": 2}, "expected": null}));
        assert_eq!(fingerprint(&one), fingerprint(&other), "null is nothing");
        let other = content(json!({"input": {"a": 1, "b": 2}, "expected": 1}));
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }
}
