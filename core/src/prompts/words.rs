//! What has changed between two texts, word by word.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use similar::{Algorithm, ChangeTag};

/// Beyond so many bytes on either side lines are compared and not words.
const MOST_WORDS_BYTES: usize = 16 * 1024;

/// What happened to a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WordChange {
    Equal,
    Insert,
    Delete,
}

/// A piece of text, and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WordEdit {
    pub change: WordChange,
    pub text: String,
}

/// The pieces that make `new` of `old`.
pub(super) fn edits(old: &str, new: &str) -> Vec<WordEdit> {
    let mut edits: Vec<WordEdit> = Vec::new();
    for (tag, text) in pieces(old, new) {
        let change = match tag {
            ChangeTag::Equal => WordChange::Equal,
            ChangeTag::Insert => WordChange::Insert,
            ChangeTag::Delete => WordChange::Delete,
        };
        match edits.last_mut() {
            Some(last) if last.change == change => last.text.push_str(text),
            _ => edits.push(WordEdit { change, text: text.to_owned() }),
        }
    }
    edits
}

/// How alike two texts are, 0 to 1: twice the words that they share over all words, however ordered.
pub(super) fn similarity(old: &str, new: &str) -> f64 {
    let (mut all, mut shared) = (0usize, 0usize);
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in words(old) {
        *left.entry(word).or_default() += 1;
        all += 1;
    }
    for word in words(new) {
        all += 1;
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    if all == 0 { 1.0 } else { (2 * shared) as f64 / all as f64 }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn pieces<'a>(old: &'a str, new: &'a str) -> Vec<(ChangeTag, &'a str)> {
    if old.len().max(new.len()) > MOST_WORDS_BYTES {
        similar::utils::diff_lines(Algorithm::Myers, old, new)
    } else {
        similar::utils::diff_words(Algorithm::Myers, old, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_word_is_told_within_its_text() {
        let edits = edits("Be very brief now.", "Be quite brief now.");
        let told: Vec<_> = edits.iter().map(|edit| (edit.change, edit.text.as_str())).collect();
        assert_eq!(
            told,
            [
                (WordChange::Equal, "Be "),
                (WordChange::Delete, "very"),
                (WordChange::Insert, "quite"),
                (WordChange::Equal, " brief now."),
            ]
        );
    }

    #[test]
    fn similarity_is_one_for_the_same_and_none_for_nothing_in_common() {
        assert!((similarity("a b", "a b") - 1.0).abs() < f64::EPSILON);
        assert!((similarity("", "") - 1.0).abs() < f64::EPSILON);
        assert!(similarity("alpha", "beta") < f64::EPSILON);
        assert!((similarity("alpha beta", "alpha gamma") - 0.5).abs() < f64::EPSILON);
    }
}
