//! The blocks of a streamed answer: one at a time, while Chat Completions may tell of several
//! calls in turns.

use std::collections::VecDeque;

use super::BadEvent;
use super::writer::{AnswerWriter, Closing, Opening, Piece};
use crate::gateway::translation::answer::{BadAnswer, Stop, arguments_object};

/// Blocks in the order in which they began. The first is open and streams; what comes for the
/// others is kept until the ones before them are complete.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    queue: VecDeque<Block>,
    calls: Vec<Call>,
    /// Whether the start of the first block was written.
    is_open: bool,
}

#[derive(Debug)]
enum Block {
    /// Text that is yet to be written.
    Text(String),
    /// A refusal that is yet to be written.
    Refusal(String),
    /// Thinking that is yet to be written.
    Thinking(String),
    /// The place of a call.
    Call(usize),
}

#[derive(Debug)]
struct Call {
    index: u64,
    id: Option<String>,
    name: Option<String>,
    /// All that came.
    arguments: String,
    /// How many bytes of the arguments were written.
    written: usize,
    /// How long the arguments were when they were last found incomplete.
    incomplete: usize,
    is_closed: bool,
}

/// A part of a call, as a chunk tells it.
#[derive(Debug)]
pub(super) struct CallDelta {
    pub(super) index: u64,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}

impl Blocks {
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(super) fn push_text(&mut self, text: String) {
        match self.queue.back_mut() {
            Some(Block::Text(unwritten)) => unwritten.push_str(&text),
            _ => self.queue.push_back(Block::Text(text)),
        }
    }

    pub(super) fn push_refusal(&mut self, text: String) {
        match self.queue.back_mut() {
            Some(Block::Refusal(unwritten)) => unwritten.push_str(&text),
            _ => self.queue.push_back(Block::Refusal(text)),
        }
    }

    pub(super) fn push_thinking(&mut self, text: String) {
        match self.queue.back_mut() {
            Some(Block::Thinking(unwritten)) => unwritten.push_str(&text),
            _ => self.queue.push_back(Block::Thinking(text)),
        }
    }

    pub(super) fn push_call(&mut self, delta: CallDelta) -> Result<(), BadEvent> {
        let CallDelta { index, id, name, arguments } = delta;
        let Some(call) = self.calls.iter_mut().find(|call| call.index == index) else {
            self.queue.push_back(Block::Call(self.calls.len()));
            let (written, incomplete, is_closed) = (0, 0, false);
            self.calls.push(Call { index, id, name, arguments, written, incomplete, is_closed });
            return Ok(());
        };
        // Some servers repeat id and name with every part.
        let differs = |new: &Option<String>, old: &Option<String>| {
            new.as_ref().zip(old.as_ref()).is_some_and(|(new, old)| new != old)
        };
        if differs(&id, &call.id) || differs(&name, &call.name) {
            return Err(BadEvent::DuplicateCall(index));
        }
        if call.is_closed && !arguments.trim().is_empty() {
            return Err(BadAnswer::Arguments { tool: call.name.clone().unwrap_or_default() }.into());
        }
        call.id = call.id.take().or(id);
        call.name = call.name.take().or(name);
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// Writes what can be written. `stop` is why the answer stopped, once that is known and no
    /// more can come.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        writer: &mut impl AnswerWriter,
        stop: Option<&Stop>,
    ) -> Result<(), BadEvent> {
        while let Some(mut block) = self.queue.pop_front() {
            if !self.is_open {
                self.is_open = self.open(out, writer, &block)?;
            }
            if self.is_open {
                self.write_pieces(out, writer, &mut block)?;
            } else if stop.is_some() {
                return Err(BadAnswer::NamelessCall.into());
            }
            let can_close = self.is_open && !self.queue.is_empty() && self.is_complete(&block);
            if stop.is_none() && !can_close {
                self.queue.push_front(block);
                return Ok(());
            }
            self.close(out, writer, &block, stop)?;
        }
        Ok(())
    }

    /// False if the name of a call is yet to come.
    fn open(
        &self,
        out: &mut Vec<u8>,
        writer: &mut impl AnswerWriter,
        block: &Block,
    ) -> Result<bool, BadEvent> {
        let opening = match block {
            Block::Text(_) => Opening::Text,
            Block::Refusal(_) => Opening::Refusal,
            Block::Thinking(_) => Opening::Thinking,
            Block::Call(place) => {
                let call = self.calls.get(*place);
                let Some((call, name)) = call.and_then(|call| Some((call, call.name.as_deref()?)))
                else {
                    return Ok(false);
                };
                Opening::Call { place: *place, id: call.id.as_deref(), name }
            }
        };
        writer.open(out, opening)?;
        Ok(true)
    }

    fn write_pieces(
        &mut self,
        out: &mut Vec<u8>,
        writer: &mut impl AnswerWriter,
        block: &mut Block,
    ) -> Result<(), BadEvent> {
        let (kind, unwritten) = match block {
            Block::Text(unwritten) => (Piece::Text, unwritten),
            Block::Refusal(unwritten) => (Piece::Refusal, unwritten),
            Block::Thinking(unwritten) => (Piece::Thinking, unwritten),
            Block::Call(place) => {
                let Some(call) = self.calls.get_mut(*place) else { return Ok(()) };
                let unwritten = call.arguments.get(call.written..).unwrap_or_default();
                // White space alone would not be JSON, should nothing follow.
                let is_blank = call.written == 0 && unwritten.trim().is_empty();
                if !is_blank && !unwritten.is_empty() {
                    writer.piece(out, Piece::Arguments, unwritten)?;
                    call.written = call.arguments.len();
                }
                return Ok(());
            }
        };
        if !unwritten.is_empty() {
            writer.piece(out, kind, unwritten)?;
            unwritten.clear();
        }
        Ok(())
    }

    /// Whether nothing more can belong to a block, given that another has begun.
    fn is_complete(&mut self, block: &Block) -> bool {
        match block {
            Block::Text(_) | Block::Refusal(_) | Block::Thinking(_) => true,
            Block::Call(place) => self.calls.get_mut(*place).is_some_and(Call::is_complete),
        }
    }

    fn close(
        &mut self,
        out: &mut Vec<u8>,
        writer: &mut impl AnswerWriter,
        block: &Block,
        stop: Option<&Stop>,
    ) -> Result<(), BadEvent> {
        let closing = match block {
            Block::Text(_) => Closing::Text,
            Block::Refusal(_) => Closing::Refusal,
            Block::Thinking(_) => Closing::Thinking,
            Block::Call(place) => {
                let Some(call) = self.calls.get_mut(*place) else { return Ok(()) };
                call.is_closed = true;
                Closing::Call {
                    name: call.name.as_deref().unwrap_or_default(),
                    arguments: &call.arguments,
                    is_cut: stop == Some(&Stop::Limit),
                }
            }
        };
        writer.close(out, closing)?;
        self.is_open = false;
        Ok(())
    }
}

impl Call {
    /// Whether its arguments are a whole object, behind which nothing can follow.
    fn is_complete(&mut self) -> bool {
        let length = self.arguments.len();
        let may_be = length > self.incomplete && self.arguments.trim_end().ends_with('}');
        let is_complete = may_be && arguments_object(&self.arguments).is_ok();
        if !is_complete {
            self.incomplete = length;
        }
        is_complete
    }
}
