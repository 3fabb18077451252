use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::PromptProblem;

/// The most messages of a version.
pub const MOST_MESSAGES: usize = 100;
/// The longest template of a message in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// The most variables of a version.
pub const MOST_VARIABLES: usize = 100;
/// The largest version, in bytes of its JSON.
pub const MAX_CONTENT_BYTES: usize = 200 * 1024;

const MOST_TOOLS: usize = 128;
const MOST_STOPS: usize = 16;
const MAX_VARIABLE: usize = 64;

/// Words of templates, which no variable can be called.
const RESERVED: [&str; 18] = [
    "true",
    "True",
    "false",
    "False",
    "none",
    "None",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "loop",
    "self",
    "range",
    "namespace",
];

/// What a version says: everything that is not about who wrote it when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptContent {
    /// The messages that a request begins with, each a template.
    pub messages: Vec<PromptMessage>,
    /// What may stand in the templates.
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// The model or route for requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Parameters for requests that do not say otherwise.
    #[serde(default)]
    pub default_config: DefaultConfig,
    /// Tools in the form of Chat Completions, for requests that bring none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
}

/// One message of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PromptMessage {
    pub role: Role,
    /// A template in the language of Jinja; `{{ name }}` is where a variable goes.
    pub content: String,
}

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Something that a request fills in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Variable {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its values are; `string` when absent.
    #[serde(default, rename = "type")]
    pub kind: VariableType,
    /// Whether a request must give it. When absent: yes, unless it has a default value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Its value where a request gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub default_value: Option<Value>,
}

impl Variable {
    pub fn is_required(&self) -> bool {
        self.required.unwrap_or(self.default_value.is_none())
    }
}

/// What the values of a variable are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VariableType {
    #[default]
    String,
    Number,
    Boolean,
    /// Anything; a template reaches into it, as in `{{ user.name }}`.
    Json,
}

impl VariableType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Json => "json",
        }
    }

    /// Whether `value` is of this type.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Json => true,
        }
    }
}

/// Parameters of generation that a request may override one by one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DefaultConfig {
    /// 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Above 0, at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// The most tokens of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Texts that end an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// The format of an answer, in the form of Chat Completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub response_format: Option<Value>,
    /// The JSON Schema of an answer; short for a `response_format` of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub output_schema: Option<Value>,
}

impl PromptContent {
    /// What is wrong with everything but the templates, if anything is.
    pub(super) fn problem(&self) -> Option<PromptProblem> {
        let problem = |field: String, problem: String| Some(PromptProblem::new(field, problem));
        if !(1..=MOST_MESSAGES).contains(&self.messages.len()) {
            let text = format!("must have 1 to {MOST_MESSAGES} messages");
            return problem("messages".into(), text);
        }
        for (index, message) in self.messages.iter().enumerate() {
            if message.content.len() > MAX_MESSAGE_BYTES {
                let text = format!("must have at most {MAX_MESSAGE_BYTES} bytes");
                return problem(format!("messages[{index}].content"), text);
            }
        }
        if self.variables.len() > MOST_VARIABLES {
            return problem("variables".into(), format!("must be at most {MOST_VARIABLES}"));
        }
        let mut names = BTreeSet::new();
        for (index, variable) in self.variables.iter().enumerate() {
            let field = format!("variables[{index}]");
            if !is_variable(&variable.name) {
                let text = format!(
                    "`{}` is not a name for a variable; use 1 to {MAX_VARIABLE} of A–Z a–z 0–9 _, \
                     starting with a letter or `_`, and no word of the template language",
                    variable.name.escape_debug()
                );
                return problem(format!("{field}.name"), text);
            }
            if !names.insert(&variable.name) {
                let text = format!("`{}` is declared twice; remove one of them", variable.name);
                return problem(format!("{field}.name"), text);
            }
            let default = variable.default_value.as_ref();
            if let Some(value) = default.filter(|value| !variable.kind.takes(value)) {
                let text = format!("`{value}` is not a {}", variable.kind.as_str());
                return problem(format!("{field}.default_value"), text);
            }
            if default.is_some() && variable.required == Some(true) {
                let text = "a required variable has no default value; remove one of them".into();
                return problem(format!("{field}.required"), text);
            }
        }
        if self.model.as_ref().is_some_and(|model| model.parse::<crate::name::ModelName>().is_err())
        {
            return problem("model".into(), "must be the name of a model or a route".into());
        }
        if self.tools.len() > MOST_TOOLS {
            return problem("tools".into(), format!("must be at most {MOST_TOOLS}"));
        }
        if let Some(index) = self.tools.iter().position(|tool| !tool.is_object()) {
            return problem(format!("tools[{index}]"), "must be an object".into());
        }
        if let Some((field, text)) = self.default_config.problem() {
            return problem(format!("default_config.{field}"), text);
        }
        let bytes = serde_json::to_vec(self).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_CONTENT_BYTES {
            let text = format!("must have at most {MAX_CONTENT_BYTES} bytes with everything else");
            return problem("messages".into(), text);
        }
        None
    }
}

impl DefaultConfig {
    fn problem(&self) -> Option<(&'static str, String)> {
        let within = |field, value: Option<f64>, least: f64, most: f64| {
            let is_outside = value.is_some_and(|value| !(least..=most).contains(&value));
            is_outside.then(|| (field, format!("must be {least} to {most}")))
        };
        let numbers = within("temperature", self.temperature, 0.0, 2.0)
            .or_else(|| within("top_p", self.top_p, 0.0, 1.0))
            .or_else(|| within("frequency_penalty", self.frequency_penalty, -2.0, 2.0))
            .or_else(|| within("presence_penalty", self.presence_penalty, -2.0, 2.0));
        if numbers.is_some() {
            return numbers;
        }
        if self.max_tokens == Some(0) {
            return Some(("max_tokens", "must be at least 1".into()));
        }
        if self.stop.len() > MOST_STOPS || self.stop.iter().any(String::is_empty) {
            return Some((
                "stop",
                format!("must be at most {MOST_STOPS} texts, none of them empty"),
            ));
        }
        let is_object = |value: &Option<Value>| value.as_ref().is_none_or(Value::is_object);
        if !is_object(&self.response_format) {
            return Some(("response_format", "must be an object".into()));
        }
        if !is_object(&self.output_schema) {
            return Some(("output_schema", "must be a JSON Schema that is an object".into()));
        }
        if self.response_format.is_some() && self.output_schema.is_some() {
            let text = "stands beside `response_format`; remove one of them";
            return Some(("output_schema", text.into()));
        }
        None
    }
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= MAX_VARIABLE
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&name)
}
