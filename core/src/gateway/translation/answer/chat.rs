use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answer, BadAnswer, Block, Stop, Usage, arguments_object, call_id};

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    choices: Vec<Choice>,
    usage: Option<ChatTokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
    /// vLLM's: a stop sequence, or the id of a token.
    stop_reason: Option<Value>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    /// The older name of `reasoning`.
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    /// The form of a single call before there were tools.
    function_call: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: Option<String>,
    r#type: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

/// A chat completion with one choice, its empty texts left out.
pub(in super::super) struct ChatAnswer {
    pub(in super::super) id: String,
    pub(in super::super) model: String,
    pub(in super::super) reasoning: Option<String>,
    pub(in super::super) content: Option<String>,
    pub(in super::super) refusal: Option<String>,
    pub(in super::super) calls: Vec<ChatCall>,
    /// As its `finish_reason` says.
    pub(in super::super) stop: Stop,
    pub(in super::super) usage: Usage,
}

pub(in super::super) struct ChatCall {
    pub(in super::super) id: Option<String>,
    pub(in super::super) name: String,
    /// As the model wrote them, which need not be JSON.
    pub(in super::super) arguments: String,
}

impl ChatAnswer {
    pub(in super::super) fn read(body: &[u8]) -> Result<Self, BadAnswer> {
        let completion: Completion = serde_json::from_slice(body)
            .map_err(|source| BadAnswer::Malformed { expected: "chat completion", source })?;
        let Completion { id, model, mut choices, usage } = completion;
        let count = choices.len();
        let Some(choice) = choices.pop().filter(|_| count == 1) else {
            return Err(BadAnswer::Choices(count));
        };
        let reason = choice.finish_reason.ok_or(BadAnswer::NoStop)?;
        let sequence = match choice.stop_reason {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let stop = Stop::of_chat(&reason, sequence)?;
        let message = choice.message;
        if message.function_call.is_some() {
            return Err(BadAnswer::UnknownPart("function_call".into()));
        }
        let calls = message.tool_calls.unwrap_or_default().into_iter().map(ToolCall::read);
        Ok(Self {
            id,
            model,
            reasoning: full(message.reasoning).or(full(message.reasoning_content)),
            content: full(message.content),
            refusal: full(message.refusal),
            calls: calls.collect::<Result<_, _>>()?,
            stop,
            usage: usage.unwrap_or_default().into(),
        })
    }
}

impl ToolCall {
    fn read(self) -> Result<ChatCall, BadAnswer> {
        let Some(Function { name, arguments }) = self.function else {
            return Err(BadAnswer::UnknownPart(self.r#type.unwrap_or_default()));
        };
        let name = full(name).ok_or(BadAnswer::NamelessCall)?;
        Ok(ChatCall { id: full(self.id), name, arguments: arguments.unwrap_or_default() })
    }
}

/// Servers write an empty text where they mean none.
pub(in super::super) fn full(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(super) fn read(body: &[u8]) -> Result<Answer<'static>, BadAnswer> {
    let ChatAnswer { id, model, reasoning, content, refusal, calls, stop, usage } =
        ChatAnswer::read(body)?;
    let stop = stop.with_calls(!calls.is_empty()).with_refusal(refusal.is_some());
    let mut blocks: Vec<Block<'_>> = Vec::new();
    blocks.extend(reasoning.map(Block::Thinking));
    blocks.extend(content.map(Block::Text));
    for (index, call) in calls.into_iter().enumerate() {
        let input = match arguments_object(&call.arguments) {
            Ok(input) => Cow::Owned(input),
            Err(_) if stop == Stop::Limit => {
                return Err(BadAnswer::CutArguments { tool: call.name });
            }
            Err(_) => return Err(BadAnswer::Arguments { tool: call.name }),
        };
        let call_id = call.id.unwrap_or_else(|| call_id(&id, index));
        blocks.push(Block::Call { id: call_id, name: call.name, input });
    }
    Ok(Answer { id, model, blocks, refusal, stop, usage })
}

#[derive(Serialize)]
pub(super) struct WrittenCompletion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [WrittenChoice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<ChatTokens>,
}

#[derive(Serialize)]
struct WrittenChoice<'a> {
    index: u32,
    message: WrittenMessage<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WrittenMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning: String,
    content: Option<String>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WrittenCall<'a>>,
}

#[derive(Serialize)]
struct WrittenCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: WrittenFunction<'a>,
}

#[derive(Serialize)]
struct WrittenFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

pub(super) fn write<'a>(answer: &'a Answer<'_>, created: i64) -> WrittenCompletion<'a> {
    let (mut reasoning, mut content, mut tool_calls) = (String::new(), String::new(), Vec::new());
    for block in &answer.blocks {
        match block {
            Block::Thinking(text) => reasoning.push_str(text),
            Block::Text(text) => content.push_str(text),
            Block::Call { id, name, input } => tool_calls.push(WrittenCall {
                id,
                r#type: "function",
                function: WrittenFunction { name, arguments: input.get() },
            }),
        }
    }
    let says_nothing = content.is_empty() && !(tool_calls.is_empty() && answer.refusal.is_none());
    WrittenCompletion {
        id: &answer.id,
        object: "chat.completion",
        created,
        model: &answer.model,
        choices: [WrittenChoice {
            index: 0,
            message: WrittenMessage {
                role: "assistant",
                reasoning,
                content: (!says_nothing).then_some(content),
                refusal: answer.refusal.as_deref(),
                tool_calls,
            },
            logprobs: None,
            finish_reason: answer.stop.finish_reason(),
        }],
        usage: ChatTokens::of(&answer.usage),
    }
}

/// `usage` of Chat Completions.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(in super::super) struct ChatTokens {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptTokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionTokens>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
struct PromptTokens {
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
struct CompletionTokens {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<u64>,
}

impl From<ChatTokens> for Usage {
    fn from(tokens: ChatTokens) -> Self {
        let prompt = tokens.prompt_tokens_details.unwrap_or_default();
        let cached = prompt.cached_tokens.unwrap_or(0);
        let cached = cached.saturating_add(prompt.cache_write_tokens.unwrap_or(0));
        Self {
            input: tokens.prompt_tokens.map(|tokens| tokens.saturating_sub(cached)),
            cache_read: prompt.cached_tokens,
            cache_write: prompt.cache_write_tokens,
            output: tokens.completion_tokens,
            thinking: tokens.completion_tokens_details.unwrap_or_default().reasoning_tokens,
        }
    }
}

impl ChatTokens {
    /// None where nothing is known.
    pub(in super::super) fn of(usage: &Usage) -> Option<Self> {
        let prompt =
            PromptTokens { cached_tokens: usage.cache_read, cache_write_tokens: usage.cache_write };
        let completion = CompletionTokens { reasoning_tokens: usage.thinking };
        (*usage != Usage::default()).then(|| Self {
            prompt_tokens: usage.prompt(),
            completion_tokens: usage.output,
            total_tokens: usage
                .prompt()
                .zip(usage.output)
                .map(|(prompt, output)| prompt.saturating_add(output)),
            prompt_tokens_details: (prompt != PromptTokens::default()).then_some(prompt),
            completion_tokens_details: (completion != CompletionTokens::default())
                .then_some(completion),
        })
    }
}
