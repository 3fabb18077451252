//! Whole answers: read from either API into one form, and written from it.

mod chat;
mod messages;
mod stop;
mod usage;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

pub(super) use chat::{ChatAnswer, ChatCall, ChatTokens, full};
pub(super) use messages::{MessagesTokens, StopDetails};
pub(super) use stop::Stop;
pub(super) use usage::Usage;

/// The signature of thinking that Anthropic did not sign, where Messages requires one. Whoever
/// sends such a block to Anthropic gets a 400; leave the block out there.
pub const UNSIGNED: &str = "diogenes-unsigned";

/// An answer that cannot be passed on as one of the other API. The target is to blame.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// It is not JSON, or a field of it is missing or of another type.
    #[error("the answer is not a {expected}")]
    Malformed {
        /// What it should be.
        expected: &'static str,
        /// Where it differs.
        source: serde_json::Error,
    },
    /// It has none or several choices; one was asked for.
    #[error("the answer has {0} choices instead of one")]
    Choices(usize),
    /// A model called a tool with arguments that are not a JSON object.
    #[error("the arguments of the call to `{tool}` are not a JSON object")]
    Arguments {
        /// The name of the tool.
        tool: String,
    },
    /// The limit of tokens was reached in the middle of a call. A stream is passed on as it is
    /// instead, with `max_tokens` as its stop reason.
    #[error(
        "the answer reached its limit in the middle of the call to `{tool}`; raise \
             `max_tokens`"
    )]
    CutArguments {
        /// The name of the tool.
        tool: String,
    },
    /// A model called a tool without saying which.
    #[error("the answer calls a tool without its name")]
    NamelessCall,
    /// A block or a call of a kind that the other API does not have.
    #[error("the answer has a part of the unknown kind `{0}`")]
    UnknownPart(String),
    /// A stop reason that the other API does not have.
    #[error("the answer stopped for the unknown reason `{0}`")]
    UnknownStop(String),
    /// It does not say why it stopped, so nobody knows whether it is whole.
    #[error("the answer does not say why it stopped")]
    NoStop,
    /// Anthropic paused a long turn with tools of its own, which Chat Completions cannot resume.
    #[error("the answer paused (`pause_turn`), which Chat Completions cannot express")]
    Paused,
}

/// Translates a whole `chat.completion` into a `message`.
///
/// # Errors
/// See [`BadAnswer`].
pub fn completion_to_message(body: &[u8]) -> Result<String, BadAnswer> {
    write("chat completion", &messages::write(&chat::read(body)?))
}

/// Translates a whole `message` into a `chat.completion`. `created` is in seconds since the epoch,
/// which a message does not tell.
///
/// # Errors
/// See [`BadAnswer`].
pub fn message_to_completion(body: &[u8], created: i64) -> Result<String, BadAnswer> {
    write("message", &chat::write(&messages::read(body)?, created))
}

fn write(expected: &'static str, answer: &impl Serialize) -> Result<String, BadAnswer> {
    serde_json::to_string(answer).map_err(|source| BadAnswer::Malformed { expected, source })
}

/// An answer as far as both APIs can express it.
struct Answer<'a> {
    id: String,
    model: String,
    blocks: Vec<Block<'a>>,
    /// Why the model, or who watches it, refused.
    refusal: Option<String>,
    stop: Stop,
    usage: Usage,
}

enum Block<'a> {
    Thinking(String),
    Text(String),
    Call { id: String, name: String, input: Cow<'a, RawValue> },
}

/// Arguments of a tool call that are not a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenArguments;

/// The arguments of a tool call as an object, written as they came; none at all are `{}`.
pub(super) fn arguments_object(arguments: &str) -> Result<Box<RawValue>, BrokenArguments> {
    let text = arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    let raw = RawValue::from_string(text.to_owned()).map_err(|_| BrokenArguments)?;
    if raw.get().starts_with('{') { Ok(raw) } else { Err(BrokenArguments) }
}

/// The id of a call for which the target gave none. It has to differ from those of the answers
/// before it.
pub(super) fn call_id(answer: &str, call: usize) -> String {
    format!("call_{answer}_{call}")
}

#[cfg(test)]
mod tests;
