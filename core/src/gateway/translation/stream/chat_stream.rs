//! The chunks of a chat completion, whatever API they are translated into.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::blocks::{Blocks, CallDelta};
use super::writer::{AnswerWriter, End, Head};
use super::{BadEvent, Phase};
use crate::gateway::translation::answer::{BadAnswer, ChatTokens, Stop, Usage, full};
use crate::gateway::translation::error_object::ErrorObject;

/// Reads chunks and has their content written in the events of another API.
#[derive(Debug)]
pub(in super::super) struct ChatStream<W> {
    writer: W,
    phase: Phase,
    blocks: Blocks,
    stop: Option<Stop>,
    refuses: bool,
    usage: Usage,
    pieces: u64,
}

impl<W: AnswerWriter> ChatStream<W> {
    pub(in super::super) fn new(writer: W) -> Self {
        Self {
            writer,
            phase: Phase::Before,
            blocks: Blocks::default(),
            stop: None,
            refuses: false,
            usage: Usage::default(),
            pieces: 0,
        }
    }

    /// Takes the name and the data of one event.
    pub(in super::super) fn push(
        &mut self,
        event: Option<&str>,
        data: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), BadEvent> {
        if self.phase == Phase::Ended {
            return Err(BadEvent::AfterEnd);
        }
        if data.trim() == "[DONE]" {
            return self.end(out);
        }
        let malformed = |source| BadAnswer::Malformed { expected: "chat completion chunk", source };
        if event == Some("error") {
            let error = ErrorObject::read(data.as_bytes(), None);
            return Err(
                error.map_or_else(|| BadEvent::OutOfOrder("error".into()), BadEvent::Failed)
            );
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|source| {
            ErrorObject::read(data.as_bytes(), None)
                .map_or_else(|| malformed(source).into(), BadEvent::Failed)
        })?;
        if let Some(usage) = chunk.usage {
            self.usage.update(usage.into());
        }
        let Some(choice) = single(chunk.choices)? else { return Ok(()) };
        if self.phase == Phase::Before {
            self.phase = Phase::Open;
            let head = Head { id: &chunk.id, model: &chunk.model, usage: self.usage };
            self.writer.begin(out, head)?;
        }
        self.take(choice)?;
        self.blocks.write(out, &mut self.writer, self.stop.as_ref())
    }

    /// Tells whether the stream came to its end.
    pub(in super::super) fn finish(&self) -> Result<(), BadEvent> {
        self.phase.finish()
    }

    pub(in super::super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Ends the stream early. The writer is there to say why.
    pub(in super::super) fn abandon(&mut self) -> &mut W {
        self.phase = Phase::Ended;
        &mut self.writer
    }

    fn take(&mut self, choice: Choice) -> Result<(), BadEvent> {
        let delta = choice.delta.unwrap_or_default();
        if delta.function_call.is_some() {
            return Err(BadAnswer::UnknownPart("function_call".into()).into());
        }
        let reasoning = full(delta.reasoning).or(full(delta.reasoning_content));
        let (content, refusal) = (full(delta.content), full(delta.refusal));
        let calls = delta.tool_calls.unwrap_or_default();
        let says_something =
            reasoning.is_some() || content.is_some() || refusal.is_some() || !calls.is_empty();
        if says_something {
            if self.stop.is_some() {
                return Err(BadEvent::AfterEnd);
            }
            self.pieces += 1;
        }
        if let Some(text) = reasoning {
            self.blocks.push_thinking(text);
        }
        if let Some(text) = content {
            self.blocks.push_text(text);
        }
        if let Some(text) = refusal {
            self.refuses = true;
            self.blocks.push_refusal(text);
        }
        for call in calls {
            self.blocks.push_call(call.read()?)?;
        }
        if let Some(reason) = choice.finish_reason {
            let sequence = match choice.stop_reason {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let stop = Stop::of_chat(&reason, sequence)?;
            self.phase = Phase::Stopped;
            self.stop.get_or_insert(stop);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let Some(stop) = &self.stop else { return Err(BadAnswer::NoStop.into()) };
        self.phase = Phase::Ended;
        let end = End {
            stop,
            has_calls: self.blocks.has_calls(),
            refuses: self.refuses,
            usage: self.usage,
            pieces: self.pieces,
        };
        self.writer.end(out, end)
    }
}

/// The choice of a chunk; the chunk that tells usage has none.
fn single(mut choices: Vec<Choice>) -> Result<Option<Choice>, BadEvent> {
    let count = choices.len();
    match choices.pop() {
        Some(choice) if count > 1 || choice.index != 0 => {
            Err(BadAnswer::Choices(count.max(choice.index.saturating_add(1))).into())
        }
        choice => Ok(choice),
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    choices: Vec<Choice>,
    usage: Option<ChatTokens>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    delta: Option<Delta>,
    finish_reason: Option<String>,
    /// vLLM's: a stop sequence, or the id of a token.
    stop_reason: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    /// The older name of `reasoning`.
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    function_call: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    index: u64,
    id: Option<String>,
    r#type: Option<String>,
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl ToolCall {
    fn read(self) -> Result<CallDelta, BadAnswer> {
        if let Some(kind) = self.r#type.filter(|kind| kind != "function") {
            return Err(BadAnswer::UnknownPart(kind));
        }
        let function = self.function.unwrap_or_default();
        Ok(CallDelta {
            index: self.index,
            id: full(self.id),
            name: full(function.name),
            arguments: function.arguments.unwrap_or_default(),
        })
    }
}
