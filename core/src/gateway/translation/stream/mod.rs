//! Streams: one event in, the events of the other API out, as they become ready.

mod blocks;
mod chat_stream;
mod chat_to_messages;
mod chunk;
mod event;
mod messages_to_chat;
mod writer;

use serde::Serialize;

pub(super) use chat_stream::ChatStream;
pub use chat_to_messages::ChatToMessages;
pub use messages_to_chat::MessagesToChat;
pub(super) use writer::{AnswerWriter, Closing, End, Head, Opening, Piece};

use super::answer::BadAnswer;
use super::error_object::ErrorObject;

/// Why a stream cannot be translated any further. What was written before stands; the caller ends
/// the stream with an error event.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// What the stream holds cannot be expressed.
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    /// The target told an error in the middle of its answer.
    #[error("the target failed in the middle of its answer: {}", .0.message)]
    Failed(ErrorObject),
    /// Two calls have the same index, so that it is unknown whose arguments come.
    #[error("two tool calls have the index {0}")]
    DuplicateCall(u64),
    /// An event where it cannot be, such as a delta without its block.
    #[error("the event `{0}` is out of order")]
    OutOfOrder(String),
    /// More content after the answer was said to be over.
    #[error("the answer went on after its end")]
    AfterEnd,
    /// The stream ended before the answer did.
    #[error("the answer ended before it was complete")]
    Cut,
}

/// Where a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was written.
    Before,
    /// The answer has begun.
    Open,
    /// It has said why it stopped.
    Stopped,
    /// Its last event was written.
    Ended,
}

impl Phase {
    fn finish(self) -> Result<(), BadEvent> {
        match self {
            Self::Ended => Ok(()),
            Self::Before | Self::Open | Self::Stopped => Err(BadEvent::Cut),
        }
    }
}

/// Writes an event of Messages or Responses, which is named.
pub(super) fn write_named(
    out: &mut Vec<u8>,
    name: &str,
    data: &impl Serialize,
) -> Result<(), BadEvent> {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    write_data(out, data)
}

fn write_data(out: &mut Vec<u8>, data: &impl Serialize) -> Result<(), BadEvent> {
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, data)
        .map_err(|source| BadAnswer::Malformed { expected: "event", source })?;
    out.extend_from_slice(b"\n\n");
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
