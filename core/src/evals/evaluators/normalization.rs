use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What a comparison of texts does not mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// White space at both ends.
    Trim,
    /// How much white space there is between words, and at both ends.
    Whitespace,
    /// Upper and lower case.
    Lowercase,
    /// ASCII punctuation.
    Punctuation,
}

/// What is not minded where nobody says.
pub(super) fn usual() -> Vec<Normalization> {
    vec![Normalization::Trim]
}

/// A text without what is not minded.
pub(super) fn normalized<'a>(text: &'a str, what: &[Normalization]) -> Cow<'a, str> {
    let has = |one: Normalization| what.contains(&one);
    let mut text = Cow::Borrowed(text);
    if has(Normalization::Lowercase) {
        text = Cow::Owned(text.to_lowercase());
    }
    if has(Normalization::Punctuation) && text.contains(|c: char| c.is_ascii_punctuation()) {
        text = Cow::Owned(text.replace(|c: char| c.is_ascii_punctuation(), ""));
    }
    if has(Normalization::Whitespace) {
        let words: Vec<&str> = text.split_whitespace().collect();
        text = Cow::Owned(words.join(" "));
    }
    if has(Normalization::Trim) {
        text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
    }
    text
}
