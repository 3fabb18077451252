//! Requests: read from either API into one form, and written from it.

pub(super) mod chat_body;
mod chat_reader;
mod chat_turns;
pub(super) mod chat_writer;
mod messages_blocks;
mod messages_reader;
mod messages_turns;
mod messages_writer;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

pub(super) use chat_turns::{push_result, push_user};

use super::fields::{Node, Path, Untranslatable};

/// What a target of Chat Completions understands beside OpenAI's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatTarget {
    /// OpenAI, or a provider that refuses fields which OpenAI does not have.
    Hosted,
    /// vLLM, SGLang or llama.cpp: `top_k`, reasoning in the conversation, the continuation of the
    /// last message.
    Engine {
        /// Whether it has a reasoning parser. vLLM refuses a thinking budget without one.
        reasoning_parser: bool,
    },
}

/// Translates the body of a Messages request into that of a Chat Completions request.
///
/// A streamed request asks for usage, which Messages always tells.
///
/// # Errors
/// A field that is missing, malformed, or has no counterpart at the target.
pub fn messages_to_chat(body: &[u8], target: ChatTarget) -> Result<String, Untranslatable> {
    let request = messages_reader::read(&body_of(body)?)?;
    write(&chat_writer::write(&request, target)?)
}

/// Translates the body of a Chat Completions request into that of a Messages request.
///
/// `default_max_tokens` holds where the request sets no limit, since Messages requires one.
///
/// # Errors
/// A field that is malformed or has no counterpart in Messages.
pub fn chat_to_messages(body: &[u8], default_max_tokens: u64) -> Result<String, Untranslatable> {
    let request = chat_reader::read(&body_of(body)?)?;
    write(&messages_writer::write(&request, default_max_tokens))
}

pub(super) fn body_of(body: &[u8]) -> Result<Node<'static, '_>, Untranslatable> {
    let raw = serde_json::from_slice(body)
        .map_err(|error| Path::Body.refuse(format!("must be valid JSON: {error}")))?;
    Ok(Node { path: Path::Body, raw })
}

pub(super) fn write(body: &impl Serialize) -> Result<String, Untranslatable> {
    serde_json::to_string(body)
        .map_err(|error| Path::Body.refuse(format!("cannot be written: {error}")))
}

/// A request as far as both APIs can express it.
pub(super) struct Request<'a> {
    pub(super) model: String,
    pub(super) system: Vec<String>,
    pub(super) turns: Vec<Turn<'a>>,
    /// Whether the last turn, which is the assistant's, is to be continued.
    pub(super) continues: bool,
    pub(super) max_tokens: Option<u64>,
    pub(super) temperature: Option<&'a RawValue>,
    pub(super) top_p: Option<&'a RawValue>,
    pub(super) top_k: Option<u64>,
    pub(super) stop: Vec<String>,
    pub(super) stream: Option<bool>,
    pub(super) user: Option<String>,
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) tool_choice: Option<ToolChoice>,
    /// Whether an answer may call one tool at most.
    pub(super) single_call: bool,
    /// The schema that the answer has to follow.
    pub(super) schema: Option<&'a RawValue>,
    pub(super) effort: Option<Effort>,
    pub(super) thinking: Option<Thinking>,
}

pub(super) enum Turn<'a> {
    /// An instruction in the middle of the conversation.
    System(String),
    User {
        results: Vec<ToolResult>,
        parts: Vec<Part>,
    },
    Assistant {
        thinking: String,
        texts: Vec<String>,
        calls: Vec<Call<'a>>,
    },
}

pub(super) enum Part {
    Text(String),
    Image { image: Image, detail: Option<Detail> },
}

/// The resolution of an image; none leaves it to the target.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Detail {
    Low,
    High,
}

pub(super) enum Image {
    Url(String),
    Base64 { media_type: String, data: String },
}

pub(super) struct Call<'a> {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) input: Cow<'a, RawValue>,
}

pub(super) struct ToolResult {
    pub(super) call: String,
    pub(super) is_error: bool,
    pub(super) parts: Vec<Part>,
}

pub(super) struct Tool<'a> {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) schema: Option<&'a RawValue>,
    pub(super) strict: Option<bool>,
}

pub(super) enum ToolChoice {
    Auto,
    Any,
    None,
    Named(String),
}

pub(super) enum Thinking {
    Adaptive,
    Disabled,
    Budget(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    pub(super) fn read(node: &Node<'_, '_>) -> Result<Self, Untranslatable> {
        match node.string()?.as_str() {
            "none" => Ok(Self::None),
            "minimal" => Ok(Self::Minimal),
            "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            "xhigh" => Ok(Self::Xhigh),
            "max" => Ok(Self::Max),
            _ => Err(node.refuse("must be one of `low`, `medium`, `high`, `xhigh` and `max`")),
        }
    }
}

#[cfg(test)]
pub(super) use properties::{json_value, put};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
