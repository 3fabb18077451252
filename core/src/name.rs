//! Names, parsed at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest model name in bytes.
pub const MAX_MODEL_NAME: usize = 128;

/// The name of a model as callers send it: 1 to 128 of `A–Z a–z 0–9 . _ : / @ + -`, beginning
/// with a letter or a digit, no empty part between slashes; such as `Qwen/Qwen3-8B` or `llama3.1:8b`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before its first `/`, if it has one: the provider of a hosted model.
    pub fn prefix(&self) -> Option<&str> {
        self.0.split_once('/').map(|(prefix, _)| prefix)
    }
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a model name; use 1 to {MAX_MODEL_NAME} of A–Z a–z 0–9 . _ : / @ + -, \
     starting with a letter or digit",
    .0.escape_debug()
)]
pub struct InvalidName(String);

impl FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
        // No URL path can name `a/../b` or `a//b`.
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let fits = text.len() <= MAX_MODEL_NAME
            && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && text.bytes().all(allowed)
            && text.split('/').all(is_segment);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(MAX_MODEL_NAME + 1).collect()))
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ModelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The candidate that `wanted` most likely meant, if one is near enough.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison takes quadratic time, and the text is a stranger's.
    if wanted.len() > MAX_MODEL_NAME {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::jaro_winkler(&wanted.to_lowercase(), &candidate.to_lowercase());
            (candidate, distance)
        })
        .filter(|(_, similarity)| *similarity > 0.7)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_models_are_accepted() {
        for name in ["demo", "Qwen/Qwen3-8B", "llama3.1:8b", "org/model@rev", "gpt-4o+lora"] {
            assert!(name.parse::<ModelName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_bad_name_says_what_is_allowed() {
        for name in ["", " demo", "-x", "a b", "a#b", "é", "a\nb", "a/../b", "a//b", "a/"] {
            assert!(name.parse::<ModelName>().is_err(), "{name:?}");
        }
        assert!("x".repeat(129).parse::<ModelName>().is_err());
    }

    #[test]
    fn the_nearest_name_is_found() {
        assert_eq!(nearest("dmeo", ["demo", "qwen"]), Some("demo"));
        assert_eq!(nearest("qwen3-8b", ["Qwen/Qwen3-8B", "demo"]), Some("Qwen/Qwen3-8B"));
        assert_eq!(nearest("gpt-4o", ["demo"]), None);
    }
}
