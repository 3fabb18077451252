use serde_json::value::RawValue;

use super::chunk::{Choice, Chunk, Delta, Function, ToolCall};
use super::event::Event;
use super::{BadEvent, Phase, write_data};
use crate::gateway::translation::answer::{BadAnswer, ChatTokens, Stop, Usage, arguments_object};
use crate::gateway::translation::error_object::ErrorObject;

/// Translates the events of a message into the chunks of a chat completion.
#[derive(Debug)]
pub struct MessagesToChat {
    created: i64,
    include_usage: bool,
    phase: Phase,
    id: String,
    model: String,
    /// The open block.
    block: Option<Block>,
    /// How many blocks are over.
    blocks: u64,
    /// How many calls have begun.
    calls: usize,
    /// The last call whose arguments are not an object; none may be, unless the limit cut it.
    broken: Option<String>,
    stop: Option<Stop>,
    refusal: Option<String>,
    usage: Usage,
}

#[derive(Debug)]
enum Block {
    Text,
    Thinking,
    Redacted,
    Call { place: usize, name: String, input: Option<Box<RawValue>>, arguments: String },
}

impl MessagesToChat {
    /// `created` is in seconds since the epoch, which a message does not tell. `include_usage` is
    /// what the caller asked for by `stream_options`.
    pub fn new(created: i64, include_usage: bool) -> Self {
        Self {
            created,
            include_usage,
            phase: Phase::Before,
            id: String::new(),
            model: String::new(),
            block: None,
            blocks: 0,
            calls: 0,
            broken: None,
            stop: None,
            refusal: None,
            usage: Usage::default(),
        }
    }

    /// Takes the name and the data of one event, and appends what is ready to `out`. The data
    /// tells the kind of the event too, so the name is not looked at. Events of an unknown kind
    /// say nothing, as Anthropic asks of clients.
    ///
    /// # Errors
    /// See [`BadEvent`]. Nothing may be pushed after one.
    pub fn push(
        &mut self,
        _event: Option<&str>,
        data: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), BadEvent> {
        if self.phase == Phase::Ended {
            return Err(BadEvent::AfterEnd);
        }
        let event: Event<'_> = serde_json::from_str(data)
            .map_err(|source| BadAnswer::Malformed { expected: "event of a message", source })?;
        match event.r#type.as_str() {
            "error" => {
                let error = ErrorObject::read(data.as_bytes(), None);
                Err(error.map_or(BadEvent::OutOfOrder(event.r#type), BadEvent::Failed))
            }
            "message_start" => self.begin(event, out),
            "content_block_start" => self.start_block(event, out),
            "content_block_delta" => self.take_delta(event, out),
            "content_block_stop" => self.stop_block(&event, out),
            "message_delta" => self.take_stop(event),
            "message_stop" => self.end(event, out),
            _ => Ok(()),
        }
    }

    /// Tells whether the stream came to its end.
    ///
    /// # Errors
    /// [`BadEvent::Cut`] if it did not.
    pub fn finish(&self) -> Result<(), BadEvent> {
        self.phase.finish()
    }

    fn begin(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let (Phase::Before, Some(message)) = (self.phase, event.message) else {
            return Err(BadEvent::OutOfOrder(event.r#type));
        };
        self.phase = Phase::Open;
        (self.id, self.model) = (message.id, message.model);
        self.usage.update(message.usage.unwrap_or_default().into());
        let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
        self.write(out, delta, None)
    }

    fn start_block(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let (Phase::Open, None, Some(content)) = (self.phase, &self.block, event.content_block)
        else {
            return Err(BadEvent::OutOfOrder(event.r#type));
        };
        if event.index != Some(self.blocks) {
            return Err(BadEvent::OutOfOrder(event.r#type));
        }
        match content.r#type.as_str() {
            "text" => {
                self.block = Some(Block::Text);
                self.write_content(out, &content.text.unwrap_or_default())
            }
            "thinking" => {
                self.block = Some(Block::Thinking);
                self.write_reasoning(out, &content.thinking.unwrap_or_default())
            }
            "redacted_thinking" => {
                self.block = Some(Block::Redacted);
                Ok(())
            }
            "tool_use" => {
                let place = self.calls;
                let name = content.name.ok_or(BadAnswer::NamelessCall)?;
                let id = content.id.unwrap_or_default();
                self.calls += 1;
                let function = Function { name: Some(&name), arguments: "" };
                let call =
                    ToolCall { index: place, id: Some(&id), r#type: Some("function"), function };
                self.write(out, Delta { tool_calls: Some([call]), ..Delta::default() }, None)?;
                let input = content.input.map(ToOwned::to_owned);
                let arguments = String::new();
                self.block = Some(Block::Call { place, name, input, arguments });
                Ok(())
            }
            _ => Err(BadAnswer::UnknownPart(content.r#type).into()),
        }
    }

    fn take_delta(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let (Some(delta), Some(block), true) =
            (event.delta, &mut self.block, event.index == Some(self.blocks))
        else {
            return Err(BadEvent::OutOfOrder(event.r#type));
        };
        match (delta.r#type.as_deref().unwrap_or_default(), block) {
            ("text_delta", Block::Text) => self.write_content(out, &delta.text.unwrap_or_default()),
            ("thinking_delta", Block::Thinking) => {
                self.write_reasoning(out, &delta.thinking.unwrap_or_default())
            }
            ("input_json_delta", Block::Call { place, arguments, .. }) => {
                let part = delta.partial_json.unwrap_or_default();
                arguments.push_str(&part);
                let place = *place;
                self.write_arguments(out, place, &part)
            }
            // A chat completion has no field for them.
            ("signature_delta", Block::Thinking) | ("citations_delta", Block::Text) => Ok(()),
            (
                "text_delta" | "thinking_delta" | "input_json_delta" | "signature_delta"
                | "citations_delta",
                _,
            ) => Err(BadEvent::OutOfOrder(event.r#type)),
            (kind, _) => Err(BadAnswer::UnknownPart(kind.to_owned()).into()),
        }
    }

    fn stop_block(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let (Some(block), true) = (self.block.take(), event.index == Some(self.blocks)) else {
            return Err(BadEvent::OutOfOrder(event.r#type.clone()));
        };
        self.blocks += 1;
        let Block::Call { place, name, input, arguments } = block else { return Ok(()) };
        if arguments.trim().is_empty() {
            // It stood in the start of the block, or there is none.
            return self.write_arguments(out, place, input.as_deref().map_or("{}", RawValue::get));
        }
        if arguments_object(&arguments).is_err() {
            self.broken.get_or_insert(name);
        }
        Ok(())
    }

    fn take_stop(&mut self, event: Event<'_>) -> Result<(), BadEvent> {
        if self.phase == Phase::Before {
            return Err(BadEvent::OutOfOrder(event.r#type));
        }
        self.usage.update(event.usage.unwrap_or_default().into());
        let Some(delta) = event.delta else { return Ok(()) };
        if let Some(details) = delta.stop_details {
            self.refusal = details.explanation;
        }
        let Some(reason) = delta.stop_reason else { return Ok(()) };
        let stop = Stop::of_messages(&reason, delta.stop_sequence)?;
        if stop == Stop::Limit {
            // Anthropic does not stop a block that the limit cut.
            self.block = None;
        } else if self.block.is_some() {
            return Err(BadEvent::OutOfOrder(event.r#type));
        } else if let Some(tool) = &self.broken {
            return Err(BadAnswer::Arguments { tool: tool.clone() }.into());
        }
        self.phase = Phase::Stopped;
        self.stop = Some(stop);
        Ok(())
    }

    fn end(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        if self.block.is_some() || self.phase == Phase::Before {
            return Err(BadEvent::OutOfOrder(event.r#type));
        }
        let Some(stop) = self.stop.take() else { return Err(BadAnswer::NoStop.into()) };
        if let Some(refusal) = self.refusal.take() {
            self.write(out, Delta { refusal: Some(&refusal), ..Delta::default() }, None)?;
        }
        self.write(out, Delta::default(), Some(stop.finish_reason()))?;
        if let (true, Some(usage)) = (self.include_usage, ChatTokens::of(&self.usage)) {
            write_data(out, &Chunk { usage: Some(usage), ..self.chunk(&[]) })?;
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.phase = Phase::Ended;
        Ok(())
    }

    fn write_content(&self, out: &mut Vec<u8>, text: &str) -> Result<(), BadEvent> {
        if text.is_empty() {
            return Ok(());
        }
        self.write(out, Delta { content: Some(text), ..Delta::default() }, None)
    }

    fn write_reasoning(&self, out: &mut Vec<u8>, text: &str) -> Result<(), BadEvent> {
        if text.is_empty() {
            return Ok(());
        }
        self.write(out, Delta { reasoning: Some(text), ..Delta::default() }, None)
    }

    fn write_arguments(&self, out: &mut Vec<u8>, place: usize, part: &str) -> Result<(), BadEvent> {
        if part.is_empty() {
            return Ok(());
        }
        let function = Function { name: None, arguments: part };
        let call = ToolCall { index: place, id: None, r#type: None, function };
        self.write(out, Delta { tool_calls: Some([call]), ..Delta::default() }, None)
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        delta: Delta<'_>,
        finish_reason: Option<&'static str>,
    ) -> Result<(), BadEvent> {
        let choice = Choice { index: 0, delta, logprobs: None, finish_reason };
        write_data(out, &self.chunk(&[choice]))
    }

    fn chunk<'a>(&'a self, choices: &'a [Choice<'a>]) -> Chunk<'a> {
        Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: None,
        }
    }
}
