//! Texts held against texts.

use serde::Deserialize;
use serde_json::Value;

use super::case::Case;
use super::normalization::{Normalization, normalized, usual};
use super::scored::Scored;
use super::spec::EvaluatorProblem;

/// The most texts that an answer is searched for.
const MOST_VALUES: usize = 100;
/// How much of a text an explanation shows, in characters.
const SHOWN: usize = 80;

/// The answer is the expected output.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExactMatch {
    #[serde(default = "usual")]
    normalize: Vec<Normalization>,
}

impl ExactMatch {
    pub(super) fn score(&self, case: &Case<'_>) -> Scored {
        let Some(expected) = case.expected else { return nothing_expected() };
        let is_same = match expected {
            Value::String(expected) => self.is_same(expected, case.answer),
            // As JSON, in which the order of fields and the spelling of numbers do not matter.
            expected => serde_json::from_str::<Value>(case.answer)
                .is_ok_and(|answer| is_equal(&answer, expected)),
        };
        if is_same {
            return Scored::is(true, "");
        }
        Scored::is(false, format!("expected {}, got {}", shown(expected), quoted(case.answer)))
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        normalized(one, &self.normalize) == normalized(other, &self.normalize)
    }
}

/// Whether two pieces of JSON mean the same: 1 and 1.0 do.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other
                || one
                    .as_f64()
                    .zip(other.as_f64())
                    .is_some_and(|(one, other)| one.total_cmp(&other).is_eq())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| {
                    other.get(name).is_some_and(|other| is_equal(value, other))
                })
        }
        (one, other) => one == other,
    }
}

/// The answer has texts in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contains {
    #[serde(default)]
    values: Option<Vec<String>>,
    #[serde(default)]
    mode: Mode,
    #[serde(default = "usual")]
    normalize: Vec<Normalization>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    All,
    Any,
    None,
}

impl Contains {
    pub(super) fn problem(&self) -> Option<EvaluatorProblem> {
        let values = self.values.as_ref()?;
        let is_empty = |value: &String| normalized(value, &self.normalize).is_empty();
        let is_bad = values.is_empty() || values.len() > MOST_VALUES || values.iter().any(is_empty);
        is_bad.then(|| {
            let text = format!("must be 1 to {MOST_VALUES} texts, none of them empty");
            EvaluatorProblem::new("params.values", text)
        })
    }

    pub(super) fn score(&self, case: &Case<'_>) -> Scored {
        let of_case;
        let values = if let Some(values) = &self.values {
            values
        } else {
            let Some(expected) = case.expected else { return nothing_expected() };
            let Some(texts) = texts(expected).filter(|texts| !texts.is_empty()) else {
                let why = "the expected output is neither a text nor a list of texts";
                return Scored::unmeasured(why);
            };
            of_case = texts;
            &of_case
        };
        let answer = normalized(case.answer, &self.normalize);
        let is_in = |value: &&String| answer.contains(&*normalized(value, &self.normalize));
        match self.mode {
            Mode::All => match values.iter().find(|value| !is_in(value)) {
                None => Scored::is(true, ""),
                Some(missing) => Scored::is(false, format!("{} is missing", quoted(missing))),
            },
            Mode::Any => match values.iter().find(is_in) {
                Some(found) => Scored::is(true, format!("{} is there", quoted(found))),
                None => Scored::is(false, format!("none of {} is there", listed(values))),
            },
            Mode::None => match values.iter().find(is_in) {
                None => Scored::is(true, ""),
                Some(found) => Scored::is(false, format!("{} is there", quoted(found))),
            },
        }
    }
}

/// A text, or a list of them.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

pub(super) fn nothing_expected() -> Scored {
    Scored::unmeasured("the example has no expected output")
}

/// A text as explanations show it.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return format!("`{}`", text.escape_debug());
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("`{}…`", start.escape_debug())
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        value => quoted(&value.to_string()),
    }
}

fn listed(values: &[String]) -> String {
    let shown: Vec<String> = values.iter().take(5).map(|value| quoted(value)).collect();
    let more = if values.len() > 5 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
