use serde::{Deserialize, Serialize};

use super::super::schema::unfenced;

/// The worst and the best grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    pub min: i64,
    pub max: i64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { min: 1, max: 5 }
    }
}

/// What a judge said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdict {
    case: String,
    #[serde(default)]
    pub(super) reasoning: String,
    pub(super) score: i64,
}

/// Reads a verdict, which is one JSON object and nothing else.
///
/// # Errors
/// Why it is none, to go on after the judge's name.
pub(super) fn read(reply: &str, is_cut: bool, mark: &str, scale: Scale) -> Result<Verdict, String> {
    if is_cut {
        return Err("was cut before it came to a verdict; raise `max_tokens`".into());
    }
    // Models that were not asked for a format like to put JSON into a fence; nothing else is forgiven.
    let text = unfenced(reply).trim();
    if text.is_empty() {
        return Err("said nothing".into());
    }
    let verdict: Verdict = serde_json::from_str(text).map_err(|error| {
        let shown: String = text.chars().take(120).collect();
        format!("gave no verdict ({error}): {}", shown.escape_debug())
    })?;
    if verdict.case != mark {
        return Err("gave a verdict of another case, as an answer that was made up as one".into());
    }
    let Scale { min, max } = scale;
    if !(min..=max).contains(&verdict.score) {
        return Err(format!("gave the grade {}, which is not from {min} to {max}", verdict.score));
    }
    Ok(verdict)
}
