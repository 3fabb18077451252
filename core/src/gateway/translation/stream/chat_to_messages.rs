use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocks::{Blocks, CallDelta};
use super::{BadEvent, Phase, write_named};
use crate::gateway::translation::answer::{BadAnswer, ChatTokens, MessagesTokens, Stop, Usage};
use crate::gateway::translation::error_object::ErrorObject;

/// Translates the chunks of a chat completion into the events of a message.
///
/// Blocks are strictly nested and numbered without gaps; of several calls at once those that are
/// not first wait for the ones before them. Usage comes from the target; what it does not tell is
/// estimated, since clients need numbers: the prompt by the estimate given, which `message_delta`
/// corrects, the output by the number of pieces it came in.
#[derive(Debug)]
pub struct ChatToMessages {
    input_estimate: u64,
    phase: Phase,
    id: String,
    blocks: Blocks,
    stop: Option<Stop>,
    refuses: bool,
    usage: Usage,
    pieces: u64,
}

impl ChatToMessages {
    /// `input_estimate` is how many tokens the prompt has, as far as the caller can tell. Zero
    /// counts as one: clients take a prompt of no tokens for an error.
    pub fn new(input_estimate: u64) -> Self {
        Self {
            input_estimate: input_estimate.max(1),
            phase: Phase::Before,
            id: String::new(),
            blocks: Blocks::default(),
            stop: None,
            refuses: false,
            usage: Usage::default(),
            pieces: 0,
        }
    }

    /// Takes the name and the data of one event, and appends what is ready to `out`.
    ///
    /// # Errors
    /// See [`BadEvent`]. Nothing may be pushed after one.
    pub fn push(
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
            self.begin(&chunk.id, &chunk.model, out)?;
        }
        self.take(choice)?;
        self.blocks.write(out, &self.id, self.stop.as_ref())
    }

    /// Tells whether the stream came to its end.
    ///
    /// # Errors
    /// [`BadEvent::Cut`] if it did not.
    pub fn finish(&self) -> Result<(), BadEvent> {
        self.phase.finish()
    }

    fn begin(&mut self, id: &str, model: &str, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        id.clone_into(&mut self.id);
        self.phase = Phase::Open;
        let mut usage = Usage { output: self.usage.output.or(Some(1)), ..self.usage };
        usage.input.get_or_insert(self.input_estimate);
        let message = Message {
            id,
            r#type: "message",
            role: "assistant",
            model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: usage.into(),
        };
        write_named(out, "message_start", &MessageStart { r#type: "message_start", message })
    }

    fn take(&mut self, choice: Choice) -> Result<(), BadEvent> {
        let delta = choice.delta.unwrap_or_default();
        if delta.function_call.is_some() {
            return Err(BadAnswer::UnknownPart("function_call".into()).into());
        }
        let full = |text: Option<String>| text.filter(|text| !text.is_empty());
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
            self.blocks.push_thinking(&text);
        }
        for text in content.iter().chain(&refusal) {
            self.blocks.push_text(text);
        }
        self.refuses |= refusal.is_some();
        for call in calls {
            self.blocks.push_call(call.read()?)?;
        }
        if let Some(reason) = choice.finish_reason {
            let sequence = match choice.stop_reason {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let stop = Stop::of_chat(&reason, sequence)?;
            let stop = stop.with_calls(self.blocks.has_calls()).with_refusal(self.refuses);
            self.phase = Phase::Stopped;
            self.stop.get_or_insert(stop);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let Some(stop) = &self.stop else { return Err(BadAnswer::NoStop.into()) };
        self.phase = Phase::Ended;
        let (stop_reason, stop_sequence) = stop.stop_reason();
        let usage = Usage { output: self.usage.output.or(Some(self.pieces)), ..self.usage };
        let delta = StopDelta { stop_reason, stop_sequence };
        let event = MessageDelta { r#type: "message_delta", delta, usage: usage.into() };
        write_named(out, "message_delta", &event)?;
        write_named(out, "message_stop", &MessageStop { r#type: "message_stop" })
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
        let full = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(CallDelta {
            index: self.index,
            id: full(self.id),
            name: full(function.name),
            arguments: function.arguments.unwrap_or_default(),
        })
    }
}

#[derive(Serialize)]
struct MessageStart<'a> {
    r#type: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<()>,
    stop_sequence: Option<()>,
    usage: MessagesTokens,
}

#[derive(Serialize)]
struct MessageDelta<'a> {
    r#type: &'static str,
    delta: StopDelta<'a>,
    usage: MessagesTokens,
}

#[derive(Serialize)]
struct StopDelta<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageStop {
    r#type: &'static str,
}
