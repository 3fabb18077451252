use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Answer, BadAnswer, Block, Stop, UNSIGNED, Usage};

#[derive(Deserialize)]
struct Message<'a> {
    id: String,
    model: String,
    #[serde(borrow)]
    content: Vec<ContentBlock<'a>>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<StopDetails>,
    usage: Option<MessagesTokens>,
}

/// The fields of all kinds of blocks: a tagged enum could not keep the input as it is written.
#[derive(Deserialize)]
struct ContentBlock<'a> {
    r#type: String,
    text: Option<String>,
    thinking: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(in super::super) struct StopDetails {
    pub(in super::super) explanation: Option<String>,
}

pub(super) fn read(body: &[u8]) -> Result<Answer<'_>, BadAnswer> {
    let message: Message<'_> = serde_json::from_slice(body)
        .map_err(|source| BadAnswer::Malformed { expected: "message", source })?;
    let reason = message.stop_reason.ok_or(BadAnswer::NoStop)?;
    let stop = Stop::of_messages(&reason, message.stop_sequence)?;
    let blocks = message.content.into_iter().filter_map(|block| read_block(block).transpose());
    Ok(Answer {
        id: message.id,
        model: message.model,
        blocks: blocks.collect::<Result<_, _>>()?,
        refusal: message.stop_details.and_then(|details| details.explanation),
        stop,
        usage: message.usage.unwrap_or_default().into(),
    })
}

fn read_block(block: ContentBlock<'_>) -> Result<Option<Block<'_>>, BadAnswer> {
    Ok(match block.r#type.as_str() {
        "text" => Some(Block::Text(block.text.unwrap_or_default())),
        "thinking" => Some(Block::Thinking(block.thinking.unwrap_or_default())),
        // Nobody but Anthropic can read it.
        "redacted_thinking" => None,
        "tool_use" => {
            let name = block.name.unwrap_or_default();
            let Some(input) = block.input.filter(|input| input.get().starts_with('{')) else {
                return Err(BadAnswer::Arguments { tool: name });
            };
            let id = block.id.unwrap_or_default();
            Some(Block::Call { id, name, input: Cow::Borrowed(input) })
        }
        _ => return Err(BadAnswer::UnknownPart(block.r#type)),
    })
}

#[derive(Serialize)]
pub(super) struct WrittenMessage<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<WrittenBlock<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: MessagesTokens,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WrittenBlock<'a> {
    Thinking { thinking: &'a str, signature: &'static str },
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: &'a RawValue },
}

pub(super) fn write<'a>(answer: &'a Answer<'_>) -> WrittenMessage<'a> {
    let blocks = answer.blocks.iter().map(|block| match block {
        Block::Thinking(thinking) => WrittenBlock::Thinking { thinking, signature: UNSIGNED },
        Block::Text(text) => WrittenBlock::Text { text },
        Block::Call { id, name, input } => WrittenBlock::ToolUse { id, name, input },
    });
    let refusal = answer.refusal.iter().map(|text| WrittenBlock::Text { text });
    let (stop_reason, stop_sequence) = answer.stop.stop_reason();
    WrittenMessage {
        id: &answer.id,
        r#type: "message",
        role: "assistant",
        model: &answer.model,
        content: blocks.chain(refusal).collect(),
        stop_reason,
        stop_sequence,
        usage: answer.usage.into(),
    }
}

/// `usage` of Messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(in super::super) struct MessagesTokens {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputTokens>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct OutputTokens {
    thinking_tokens: Option<u64>,
}

impl From<MessagesTokens> for Usage {
    fn from(tokens: MessagesTokens) -> Self {
        Self {
            input: tokens.input_tokens,
            cache_read: tokens.cache_read_input_tokens,
            cache_write: tokens.cache_creation_input_tokens,
            output: tokens.output_tokens,
            thinking: tokens.output_tokens_details.and_then(|details| details.thinking_tokens),
        }
    }
}

impl From<Usage> for MessagesTokens {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            cache_creation_input_tokens: usage.cache_write,
            cache_read_input_tokens: usage.cache_read,
            output_tokens: usage.output,
            output_tokens_details: usage
                .thinking
                .map(|tokens| OutputTokens { thinking_tokens: Some(tokens) }),
        }
    }
}
