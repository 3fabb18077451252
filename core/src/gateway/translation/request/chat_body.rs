//! The body of a Chat Completions request, as it is written.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Detail, Effort};

#[derive(Serialize)]
pub(in super::super) struct Body<'a> {
    pub(in super::super) model: &'a str,
    pub(in super::super) messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(in super::super) stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in super::super) tools: Vec<Typed<Function<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) reasoning_effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) verbosity: Option<Verbosity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) thinking_token_budget: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) chat_template_kwargs: Option<TemplateArguments>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) continue_final_message: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) add_generation_prompt: Option<bool>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Verbosity {
    Low,
    High,
}

#[derive(Serialize)]
pub(in super::super) struct StreamOptions {
    pub(in super::super) include_usage: bool,
    /// Tells the tokens of the prompt with the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) continuous_usage_stats: Option<bool>,
}

#[derive(Serialize)]
pub(in super::super) struct TemplateArguments {
    pub(in super::super) enable_thinking: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(in super::super) enum Message<'a> {
    System {
        content: String,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning: Option<&'a str>,
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Content<'a>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
pub(in super::super) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<ContentPart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in super::super) enum ContentPart<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
pub(in super::super) struct ImageUrl {
    pub(in super::super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) detail: Option<Detail>,
}

/// `{"type": …, "function": …}`.
#[derive(Serialize)]
pub(in super::super) struct Typed<F> {
    pub(in super::super) r#type: &'static str,
    pub(in super::super) function: F,
}

#[derive(Serialize)]
pub(in super::super) struct ToolCall<'a> {
    pub(in super::super) id: &'a str,
    pub(in super::super) r#type: &'static str,
    pub(in super::super) function: CalledFunction<'a>,
}

#[derive(Serialize)]
pub(in super::super) struct CalledFunction<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) arguments: &'a str,
}

#[derive(Serialize)]
pub(in super::super) struct Function<'a> {
    pub(in super::super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(in super::super) enum Choice<'a> {
    Mode(&'static str),
    Named(Typed<FunctionName<'a>>),
}

#[derive(Serialize)]
pub(in super::super) struct FunctionName<'a> {
    pub(in super::super) name: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in super::super) enum ResponseFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

#[derive(Serialize)]
pub(in super::super) struct JsonSchema<'a> {
    pub(in super::super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) strict: Option<bool>,
    pub(in super::super) schema: &'a RawValue,
}
