use serde::Serialize;

use super::chat_stream::ChatStream;
use super::writer::{AnswerWriter, Closing, End, Head, Opening, Piece};
use super::{BadEvent, write_named};
use crate::gateway::translation::answer::{
    BadAnswer, BrokenArguments, MessagesTokens, UNSIGNED, Usage, arguments_object, call_id,
};

/// Translates the chunks of a chat completion into the events of a message.
///
/// Blocks are strictly nested and numbered without gaps; of several calls at once those that are
/// not first wait for the ones before them. Usage comes from the target; what it does not tell is
/// estimated, since clients need numbers: the prompt by the estimate given, which `message_delta`
/// corrects, the output by the number of pieces it came in.
#[derive(Debug)]
pub struct ChatToMessages(ChatStream<MessagesWriter>);

#[derive(Debug)]
struct MessagesWriter {
    input_estimate: u64,
    /// Of the answer.
    id: String,
    /// Of the open block.
    index: usize,
}

impl ChatToMessages {
    /// `input_estimate` is how many tokens the prompt has, as far as the caller can tell. Zero
    /// counts as one: clients take a prompt of no tokens for an error.
    pub fn new(input_estimate: u64) -> Self {
        let input_estimate = input_estimate.max(1);
        Self(ChatStream::new(MessagesWriter { input_estimate, id: String::new(), index: 0 }))
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
        self.0.push(event, data, out)
    }

    /// Tells whether the stream came to its end.
    ///
    /// # Errors
    /// [`BadEvent::Cut`] if it did not.
    pub fn finish(&self) -> Result<(), BadEvent> {
        self.0.finish()
    }
}

impl AnswerWriter for MessagesWriter {
    fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) -> Result<(), BadEvent> {
        head.id.clone_into(&mut self.id);
        let mut usage = Usage { output: head.usage.output.or(Some(1)), ..head.usage };
        usage.input.get_or_insert(self.input_estimate);
        let message = Message {
            id: head.id,
            r#type: "message",
            role: "assistant",
            model: head.model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: usage.into(),
        };
        write_named(out, "message_start", &MessageStart { r#type: "message_start", message })
    }

    fn open(&mut self, out: &mut Vec<u8>, block: Opening<'_>) -> Result<(), BadEvent> {
        let fallback;
        let content_block = match block {
            Opening::Text | Opening::Refusal => Content::Text { text: "" },
            Opening::Thinking => Content::Thinking { thinking: "", signature: "" },
            Opening::Call { place, id, name } => {
                fallback = call_id(&self.id, place);
                Content::ToolUse { id: id.unwrap_or(&fallback), name, input: Input {} }
            }
        };
        let r#type = "content_block_start";
        write_named(out, r#type, &BlockStart { r#type, index: self.index, content_block })
    }

    fn piece(&mut self, out: &mut Vec<u8>, of: Piece, text: &str) -> Result<(), BadEvent> {
        self.write_delta(
            out,
            match of {
                Piece::Text | Piece::Refusal => Delta::Text { text },
                Piece::Thinking => Delta::Thinking { thinking: text },
                Piece::Arguments => Delta::InputJson { partial_json: text },
            },
        )
    }

    fn close(&mut self, out: &mut Vec<u8>, block: Closing<'_>) -> Result<(), BadEvent> {
        match block {
            Closing::Text | Closing::Refusal => {}
            Closing::Thinking => {
                self.write_delta(out, Delta::Signature { signature: UNSIGNED })?;
            }
            Closing::Call { name, arguments, is_cut } => {
                if arguments.trim().is_empty() {
                    self.write_delta(out, Delta::InputJson { partial_json: "{}" })?;
                }
                if let Err(BrokenArguments) = arguments_object(arguments)
                    && !is_cut
                {
                    return Err(BadAnswer::Arguments { tool: name.to_owned() }.into());
                }
            }
        }
        let r#type = "content_block_stop";
        write_named(out, r#type, &BlockStop { r#type, index: self.index })?;
        self.index += 1;
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, end: End<'_>) -> Result<(), BadEvent> {
        let stop = end.stop.clone().with_calls(end.has_calls).with_refusal(end.refuses);
        let (stop_reason, stop_sequence) = stop.stop_reason();
        let usage = Usage { output: end.usage.output.or(Some(end.pieces)), ..end.usage };
        let delta = StopDelta { stop_reason, stop_sequence };
        let event = MessageDelta { r#type: "message_delta", delta, usage: usage.into() };
        write_named(out, "message_delta", &event)?;
        write_named(out, "message_stop", &MessageStop { r#type: "message_stop" })
    }
}

impl MessagesWriter {
    fn write_delta(&self, out: &mut Vec<u8>, delta: Delta<'_>) -> Result<(), BadEvent> {
        let r#type = "content_block_delta";
        write_named(out, r#type, &DeltaEvent { r#type, index: self.index, delta })
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
struct BlockStart<'a> {
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
    delta: Delta<'a>,
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
struct BlockStop {
    r#type: &'static str,
    index: usize,
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
