use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evals::stats::Outcome;

/// The longest explanation that is kept, in characters.
const MAX_EXPLANATION: usize = 2_000;

/// What an evaluator says of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Scored {
    Measured {
        /// 0 to 1; more is better.
        score: f64,
        passed: bool,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        explanation: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<Value>,
    },
    /// Nobody can tell: the model or the judge failed. This never becomes a number.
    Unmeasured { why: String },
}

impl Scored {
    /// A pass or a failure.
    pub fn is(passed: bool, explanation: impl Into<String>) -> Self {
        let score = if passed { 1.0 } else { 0.0 };
        Self::Measured { score, passed, explanation: shortened(&explanation.into()), details: None }
    }

    /// A score, which passes from `threshold` on. What is not a number from 0 to 1 is unmeasured.
    pub fn graded(score: f64, threshold: f64, explanation: impl Into<String>) -> Self {
        if !(0.0..=1.0).contains(&score) {
            return Self::unmeasured(format!("{score} is not a score from 0 to 1"));
        }
        let passed = score >= threshold;
        Self::Measured { score, passed, explanation: shortened(&explanation.into()), details: None }
    }

    pub fn unmeasured(why: impl Into<String>) -> Self {
        Self::Unmeasured { why: shortened(&why.into()) }
    }

    /// Adds what programs may want to know.
    #[must_use]
    pub fn with_details(self, more: Value) -> Self {
        match self {
            Self::Measured { score, passed, explanation, .. } => {
                Self::Measured { score, passed, explanation, details: Some(more) }
            }
            Self::Unmeasured { why } => Self::Unmeasured { why },
        }
    }

    /// It in at most about so many bytes of JSON: without what programs may want to know, and with
    /// less of its explanation.
    #[must_use]
    pub(in crate::evals) fn within(self, bytes: usize) -> Self {
        let has_details = matches!(self, Self::Measured { details: Some(_), .. });
        // JSON takes at most six times the bytes of a text.
        let may_exceed = has_details || self.explanation().len() * 6 > bytes;
        if !may_exceed || serde_json::to_vec(&self).is_ok_and(|json| json.len() <= bytes) {
            return self;
        }
        let cut = |text: String| beginning(&text, bytes / 6);
        match self {
            Self::Measured { score, passed, explanation, .. } => {
                Self::Measured { score, passed, explanation: cut(explanation), details: None }
            }
            Self::Unmeasured { why } => Self::Unmeasured { why: cut(why) },
        }
    }

    pub fn score(&self) -> Option<f64> {
        match self {
            Self::Measured { score, .. } => Some(*score),
            Self::Unmeasured { .. } => None,
        }
    }

    pub fn passed(&self) -> Option<bool> {
        match self {
            Self::Measured { passed, .. } => Some(*passed),
            Self::Unmeasured { .. } => None,
        }
    }

    /// Why it is so.
    pub fn explanation(&self) -> &str {
        match self {
            Self::Measured { explanation, .. } => explanation,
            Self::Unmeasured { why } => why,
        }
    }

    /// As the statistics count it: as a score, or as a pass or a failure.
    pub fn outcome(&self, is_graded: bool) -> Outcome {
        match self {
            Self::Measured { score, .. } if is_graded => Outcome::Score(*score),
            Self::Measured { passed: true, .. } => Outcome::Pass,
            Self::Measured { passed: false, .. } => Outcome::Fail,
            Self::Unmeasured { .. } => Outcome::Unmeasured,
        }
    }
}

/// The beginning of a text, in at most so many bytes.
pub(in crate::evals) fn beginning(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_EXPLANATION {
        return text.to_owned();
    }
    text.chars().take(MAX_EXPLANATION).chain(['…']).collect()
}
