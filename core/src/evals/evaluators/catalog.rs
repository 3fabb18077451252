use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kinds of evaluators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EvaluatorType {
    ExactMatch,
    Contains,
    Regex,
    JsonSchema,
    SemanticSimilarity,
    LlmJudge,
    Webhook,
}

/// What a type of evaluators is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvaluatorTypeInfo {
    #[serde(rename = "type")]
    pub kind: EvaluatorType,
    pub description: String,
    /// Whether it gives scores between 0 and 1, and not only passes and failures.
    pub is_graded: bool,
    /// Whether every example needs an expected output.
    pub needs_expected: bool,
    pub params: Vec<ParamInfo>,
}

/// A parameter of a type of evaluators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ParamInfo {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub required: bool,
    pub description: String,
}

impl EvaluatorType {
    /// Every type.
    pub const ALL: [Self; 7] = [
        Self::ExactMatch,
        Self::Contains,
        Self::Regex,
        Self::JsonSchema,
        Self::SemanticSimilarity,
        Self::LlmJudge,
        Self::Webhook,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactMatch => "exact_match",
            Self::Contains => "contains",
            Self::Regex => "regex",
            Self::JsonSchema => "json_schema",
            Self::SemanticSimilarity => "semantic_similarity",
            Self::LlmJudge => "llm_judge",
            Self::Webhook => "webhook",
        }
    }

    /// Whether it gives scores between 0 and 1, and not only passes and failures.
    pub fn is_graded(self) -> bool {
        matches!(self, Self::SemanticSimilarity | Self::LlmJudge | Self::Webhook)
    }

    /// What it is for, and what it takes.
    pub fn info(self) -> EvaluatorTypeInfo {
        let normalize = param(
            "normalize",
            "list",
            false,
            "what not to mind: `trim` (the default), `whitespace`, `lowercase`, `punctuation`; `[]` minds everything",
        );
        let (description, needs_expected, params) = match self {
            Self::ExactMatch => (
                "the answer is the expected output; JSON that is expected is compared as JSON",
                true,
                vec![normalize],
            ),
            Self::Contains => (
                "the answer has texts in it: `values`, or the expected output",
                false,
                vec![
                    param("values", "list of texts", false, "the expected output when absent"),
                    param("mode", "all | any | none", false, "how many of them; `all` when absent"),
                    normalize,
                ],
            ),
            Self::Regex => (
                "the answer matches a regular expression; without look-around and back-references",
                false,
                vec![
                    param("pattern", "text", true, "the expression"),
                    param(
                        "mode",
                        "find | full | absent",
                        false,
                        "whether it is found (the default), is the whole answer, or must not be found",
                    ),
                    param("ignore_case", "boolean", false, "false when absent"),
                ],
            ),
            Self::JsonSchema => (
                "the answer is JSON of a schema; what is not, is told with its path",
                false,
                vec![
                    param("schema", "object", true, "a JSON Schema; its `$ref` stay within it"),
                    param(
                        "fenced",
                        "boolean",
                        false,
                        "whether JSON in a code fence counts; false when absent",
                    ),
                ],
            ),
            Self::SemanticSimilarity => (
                "how near the answer is to the expected output, by the cosine of their embeddings",
                true,
                vec![param("model", "text", true, "a model that makes embeddings")],
            ),
            Self::LlmJudge => (
                "a model grades the answer by a rubric",
                false,
                vec![
                    param("model", "text", true, "the model or route that judges"),
                    param("rubric", "text", true, "what a good answer is"),
                    param(
                        "scale",
                        "object",
                        false,
                        "`{min, max}`, whole numbers; 1 to 5 when absent",
                    ),
                    param(
                        "show_expected",
                        "boolean",
                        false,
                        "whether the judge sees the expected output; true when absent",
                    ),
                    param("temperature", "number", false, "0 when absent"),
                    param("max_tokens", "number", false, "of the verdict; 1024 when absent"),
                    param(
                        "structured",
                        "boolean",
                        false,
                        "whether the verdict's schema is sent as `response_format`; true when absent",
                    ),
                ],
            ),
            Self::Webhook => (
                "an HTTP service of yours scores the answer",
                false,
                vec![param("url", "text", true, "where each case is sent by POST")],
            ),
        };
        EvaluatorTypeInfo {
            kind: self,
            description: description.into(),
            is_graded: self.is_graded(),
            needs_expected,
            params,
        }
    }
}

fn param(name: &str, kind: &str, required: bool, description: &str) -> ParamInfo {
    ParamInfo { name: name.into(), kind: kind.into(), required, description: description.into() }
}

impl fmt::Display for EvaluatorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EvaluatorType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(|kind| format!("`{kind}`")).join(", ");
            let shown: String = text.chars().take(64).collect();
            format!("`{}` is not an evaluator; use one of {names}", shown.escape_debug())
        })
    }
}
