//! Requests: read from either API into one form, and written from it.

mod chat_body;
mod chat_reader;
mod chat_turns;
mod chat_writer;
mod messages_reader;
mod messages_turns;
mod messages_writer;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

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

fn body_of(body: &[u8]) -> Result<Node<'static, '_>, Untranslatable> {
    let raw = serde_json::from_slice(body)
        .map_err(|error| Path::Body.refuse(format!("must be valid JSON: {error}")))?;
    Ok(Node { path: Path::Body, raw })
}

fn write(body: &impl Serialize) -> Result<String, Untranslatable> {
    serde_json::to_string(body)
        .map_err(|error| Path::Body.refuse(format!("cannot be written: {error}")))
}

/// A request as far as both APIs can express it.
struct Request<'a> {
    model: String,
    system: Vec<String>,
    turns: Vec<Turn<'a>>,
    /// Whether the last turn, which is the assistant's, is to be continued.
    continues: bool,
    max_tokens: Option<u64>,
    temperature: Option<&'a RawValue>,
    top_p: Option<&'a RawValue>,
    top_k: Option<u64>,
    stop: Vec<String>,
    stream: Option<bool>,
    user: Option<String>,
    tools: Vec<Tool<'a>>,
    tool_choice: Option<ToolChoice>,
    /// Whether an answer may call one tool at most.
    single_call: bool,
    /// The schema that the answer has to follow.
    schema: Option<&'a RawValue>,
    effort: Option<Effort>,
    thinking: Option<Thinking>,
}

enum Turn<'a> {
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

enum Part {
    Text(String),
    Image(Image),
}

enum Image {
    Url(String),
    Base64 { media_type: String, data: String },
}

struct Call<'a> {
    id: String,
    name: String,
    input: Cow<'a, RawValue>,
}

struct ToolResult {
    call: String,
    is_error: bool,
    parts: Vec<Part>,
}

struct Tool<'a> {
    name: String,
    description: Option<String>,
    schema: Option<&'a RawValue>,
    strict: Option<bool>,
}

enum ToolChoice {
    Auto,
    Any,
    None,
    Named(String),
}

enum Thinking {
    Adaptive,
    Disabled,
    Budget(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    fn read(node: &Node<'_, '_>) -> Result<Self, Untranslatable> {
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
