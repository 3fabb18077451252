use super::BadEvent;
use crate::gateway::translation::answer::{Stop, Usage};

/// Writes a streamed answer in the events of its API. It is told of one block after the other:
/// each is opened, comes in pieces and is closed before the next.
pub(in super::super) trait AnswerWriter {
    fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) -> Result<(), BadEvent>;

    fn open(&mut self, out: &mut Vec<u8>, block: Opening<'_>) -> Result<(), BadEvent>;

    /// More of the open block, never empty.
    fn piece(&mut self, out: &mut Vec<u8>, of: Piece, text: &str) -> Result<(), BadEvent>;

    fn close(&mut self, out: &mut Vec<u8>, block: Closing<'_>) -> Result<(), BadEvent>;

    fn end(&mut self, out: &mut Vec<u8>, end: End<'_>) -> Result<(), BadEvent>;
}

/// What the first chunk tells.
pub(in super::super) struct Head<'a> {
    pub(in super::super) id: &'a str,
    pub(in super::super) model: &'a str,
    pub(in super::super) usage: Usage,
}

pub(in super::super) enum Opening<'a> {
    Text,
    Refusal,
    Thinking,
    Call {
        /// Which of the answer's calls it is, from 0.
        place: usize,
        /// None if the target gave none before the call began.
        id: Option<&'a str>,
        name: &'a str,
    },
}

#[derive(Clone, Copy)]
pub(in super::super) enum Piece {
    Text,
    Refusal,
    Thinking,
    /// A part of the arguments of a call, as the model wrote them.
    Arguments,
}

pub(in super::super) enum Closing<'a> {
    Text,
    Refusal,
    Thinking,
    Call {
        name: &'a str,
        /// All of the arguments. If they are blank, there was no piece of them.
        arguments: &'a str,
        /// Whether the limit of tokens may have cut them.
        is_cut: bool,
    },
}

pub(in super::super) struct End<'a> {
    /// As the `finish_reason` says.
    pub(in super::super) stop: &'a Stop,
    pub(in super::super) has_calls: bool,
    /// Whether the model said that it refuses.
    pub(in super::super) refuses: bool,
    pub(in super::super) usage: Usage,
    /// The number of chunks that said something.
    pub(in super::super) pieces: u64,
}
