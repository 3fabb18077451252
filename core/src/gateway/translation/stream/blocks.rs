//! The content blocks of a stream of Messages: one at a time, while Chat Completions may tell of
//! several calls in turns.

use std::collections::VecDeque;

use serde::Serialize;

use super::{BadEvent, write_named};
use crate::gateway::translation::answer::{
    BadAnswer, BrokenArguments, Stop, UNSIGNED, arguments_object, call_id,
};

/// Blocks in the order in which they began. The first is open and streams; what comes for the
/// others is kept until the ones before them are complete.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    queue: VecDeque<Block>,
    calls: Vec<Call>,
    /// Whether the start of the first block was written.
    is_open: bool,
    /// How many blocks were written whole.
    written: usize,
}

#[derive(Debug)]
enum Block {
    /// Text that is yet to be written.
    Text(String),
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

    pub(super) fn push_text(&mut self, text: &str) {
        match self.queue.back_mut() {
            Some(Block::Text(unwritten)) => unwritten.push_str(text),
            _ => self.queue.push_back(Block::Text(text.to_owned())),
        }
    }

    pub(super) fn push_thinking(&mut self, text: &str) {
        match self.queue.back_mut() {
            Some(Block::Thinking(unwritten)) => unwritten.push_str(text),
            _ => self.queue.push_back(Block::Thinking(text.to_owned())),
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
            return Err(BadAnswer::Arguments { tool: call.name() }.into());
        }
        call.id = call.id.take().or(id);
        call.name = call.name.take().or(name);
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// Writes what can be written. `answer` is the id of the answer; `stop` why it stopped, once
    /// that is known and no more can come.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        answer: &str,
        stop: Option<&Stop>,
    ) -> Result<(), BadEvent> {
        while let Some(mut block) = self.queue.pop_front() {
            if !self.is_open {
                self.is_open = self.start(out, &block, answer)?;
            }
            if self.is_open {
                self.write_deltas(out, &mut block)?;
            } else if stop.is_some() {
                return Err(BadAnswer::NamelessCall.into());
            }
            let can_close = self.is_open && !self.queue.is_empty() && self.is_complete(&block);
            if stop.is_none() && !can_close {
                self.queue.push_front(block);
                return Ok(());
            }
            self.close(out, &block, stop)?;
        }
        Ok(())
    }

    /// False if the name of a call is yet to come.
    fn start(&self, out: &mut Vec<u8>, block: &Block, answer: &str) -> Result<bool, BadEvent> {
        let fallback;
        let content_block = match block {
            Block::Text(_) => Content::Text { text: "" },
            Block::Thinking(_) => Content::Thinking { thinking: "", signature: "" },
            Block::Call(place) => {
                let Some((call, name)) =
                    self.calls.get(*place).and_then(|call| Some((call, call.name.as_deref()?)))
                else {
                    return Ok(false);
                };
                fallback = call_id(answer, *place);
                let id = call.id.as_deref().unwrap_or(&fallback);
                Content::ToolUse { id, name, input: Input {} }
            }
        };
        let r#type = "content_block_start";
        write_named(out, r#type, &Start { r#type, index: self.written, content_block })?;
        Ok(true)
    }

    fn write_deltas(&mut self, out: &mut Vec<u8>, block: &mut Block) -> Result<(), BadEvent> {
        let index = self.written;
        match block {
            Block::Text(text) if !text.is_empty() => {
                write_delta(out, index, &Delta::Text { text })?;
                text.clear();
            }
            Block::Thinking(thinking) if !thinking.is_empty() => {
                write_delta(out, index, &Delta::Thinking { thinking })?;
                thinking.clear();
            }
            Block::Text(_) | Block::Thinking(_) => {}
            Block::Call(place) => {
                let Some(call) = self.calls.get_mut(*place) else { return Ok(()) };
                let partial_json = call.arguments.get(call.written..).unwrap_or_default();
                // White space alone would not be JSON, should nothing follow.
                let is_blank = call.written == 0 && partial_json.trim().is_empty();
                if !is_blank && !partial_json.is_empty() {
                    write_delta(out, index, &Delta::InputJson { partial_json })?;
                    call.written = call.arguments.len();
                }
            }
        }
        Ok(())
    }

    /// Whether nothing more can belong to a block, given that another has begun.
    fn is_complete(&mut self, block: &Block) -> bool {
        match block {
            Block::Text(_) | Block::Thinking(_) => true,
            Block::Call(place) => self.calls.get_mut(*place).is_some_and(Call::is_complete),
        }
    }

    fn close(
        &mut self,
        out: &mut Vec<u8>,
        block: &Block,
        stop: Option<&Stop>,
    ) -> Result<(), BadEvent> {
        let index = self.written;
        match block {
            Block::Text(_) => {}
            Block::Thinking(_) => {
                write_delta(out, index, &Delta::Signature { signature: UNSIGNED })?;
            }
            Block::Call(place) => {
                if let Some(call) = self.calls.get_mut(*place) {
                    call.is_closed = true;
                    if call.written == 0 {
                        write_delta(out, index, &Delta::InputJson { partial_json: "{}" })?;
                    }
                    let is_cut = stop == Some(&Stop::Limit);
                    if let Err(BrokenArguments) = arguments_object(&call.arguments)
                        && !is_cut
                    {
                        return Err(BadAnswer::Arguments { tool: call.name() }.into());
                    }
                }
            }
        }
        let r#type = "content_block_stop";
        write_named(out, r#type, &End { r#type, index })?;
        self.is_open = false;
        self.written += 1;
        Ok(())
    }
}

impl Call {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

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

fn write_delta(out: &mut Vec<u8>, index: usize, delta: &Delta<'_>) -> Result<(), BadEvent> {
    let r#type = "content_block_delta";
    write_named(out, r#type, &DeltaEvent { r#type, index, delta })
}

#[derive(Serialize)]
struct Start<'a> {
    r#type: &'static str,
    index: usize,
    content_block: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text { text: &'static str },
    Thinking { thinking: &'static str, signature: &'static str },
    ToolUse { id: &'a str, name: &'a str, input: Input },
}

/// The input comes in deltas.
#[derive(Serialize)]
struct Input {}

#[derive(Serialize)]
struct DeltaEvent<'a> {
    r#type: &'static str,
    index: usize,
    delta: &'a Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'static str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Serialize)]
struct End {
    r#type: &'static str,
    index: usize,
}
