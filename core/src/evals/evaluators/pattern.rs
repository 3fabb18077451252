//! Regular expressions.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::case::Case;
use super::scored::Scored;
use super::spec::EvaluatorProblem;
use super::text::quoted;

/// The longest expression in bytes.
const MAX_PATTERN: usize = 10_000;
/// How large a compiled expression may be, and its cache, in bytes.
const MAX_COMPILED: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatternParams {
    pattern: String,
    #[serde(default)]
    mode: PatternMode,
    #[serde(default)]
    ignore_case: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PatternMode {
    /// Anywhere in the answer.
    #[default]
    Find,
    /// The whole answer.
    Full,
    /// Nowhere in the answer.
    Absent,
}

/// The answer matches an expression.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    mode: PatternMode,
}

impl Pattern {
    pub(super) fn new(params: &PatternParams) -> Result<Self, EvaluatorProblem> {
        let wrong = |problem: String| EvaluatorProblem::new("params.pattern", problem);
        let PatternParams { pattern, mode, ignore_case } = params;
        if pattern.is_empty() || pattern.len() > MAX_PATTERN {
            return Err(wrong(format!("must have 1 to {MAX_PATTERN} bytes")));
        }
        let whole;
        let text = match mode {
            PatternMode::Full => {
                whole = format!(r"\A(?:{pattern})\z");
                whole.as_str()
            }
            PatternMode::Find | PatternMode::Absent => pattern,
        };
        let built = RegexBuilder::new(text)
            .case_insensitive(*ignore_case)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(most) => wrong(format!(
                "needs more than {most} bytes once it is compiled; write smaller repetitions"
            )),
            error => wrong(format!("is not a regular expression: {error}")),
        })?;
        Ok(Self { regex, mode: *mode })
    }

    pub(super) fn score(&self, case: &Case<'_>) -> Scored {
        let found = self.regex.find(case.answer);
        match (self.mode, found) {
            (PatternMode::Find | PatternMode::Full, Some(_)) | (PatternMode::Absent, None) => {
                Scored::is(true, "")
            }
            (PatternMode::Find, None) => Scored::is(false, "the pattern is not found"),
            (PatternMode::Full, None) => {
                Scored::is(false, "the whole answer does not match the pattern")
            }
            (PatternMode::Absent, Some(found)) => {
                Scored::is(false, format!("{} matches the pattern", quoted(found.as_str())))
            }
        }
    }
}
