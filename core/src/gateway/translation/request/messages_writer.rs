use serde::Serialize;
use serde_json::value::RawValue;

use super::{Effort, Image, Part, Request, Thinking, Tool, ToolChoice, ToolResult, Turn};

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolDefinition<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: Content<'a>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Url { url: &'a str },
    Base64 { media_type: &'a str, data: &'a str },
}

#[derive(Serialize)]
struct ToolDefinition<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    Given(&'a RawValue),
    /// A function without parameters.
    Empty {
        r#type: &'static str,
        properties: Properties,
    },
}

#[derive(Serialize)]
struct Properties {}

#[derive(Serialize)]
struct Choice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ThinkingConfig {
    Adaptive,
    Disabled,
    Enabled { budget_tokens: u64 },
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    schema: &'a RawValue,
}

pub(super) fn write<'a>(request: &'a Request<'a>, default_max_tokens: u64) -> Body<'a> {
    // Anthropic's scale begins at `low`; to think not at all is a setting of its own.
    let effort = match request.effort {
        Some(Effort::Minimal) => Some(Effort::Low),
        Some(Effort::None) | None => None,
        Some(effort) => Some(effort),
    };
    let format = request.schema.map(|schema| Format { r#type: "json_schema", schema });
    Body {
        model: &request.model,
        max_tokens: request.max_tokens.unwrap_or(default_max_tokens),
        system: (!request.system.is_empty()).then(|| request.system.join("\n\n")),
        messages: request.turns.iter().filter_map(message).collect(),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        stop_sequences: &request.stop,
        stream: request.stream,
        metadata: request.user.as_deref().map(|user_id| Metadata { user_id }),
        tools: request.tools.iter().map(definition).collect(),
        tool_choice: choice(request),
        thinking: match &request.thinking {
            Some(Thinking::Adaptive) => Some(ThinkingConfig::Adaptive),
            Some(Thinking::Disabled) => Some(ThinkingConfig::Disabled),
            Some(Thinking::Budget(budget_tokens)) => {
                Some(ThinkingConfig::Enabled { budget_tokens: *budget_tokens })
            }
            None if request.effort == Some(Effort::None) => Some(ThinkingConfig::Disabled),
            None => None,
        },
        output_config: (effort.is_some() || format.is_some())
            .then_some(OutputConfig { effort, format }),
    }
}

fn message<'a>(turn: &'a Turn<'a>) -> Option<Message<'a>> {
    match turn {
        Turn::System(text) => Some(Message { role: "system", content: Content::Text(text) }),
        Turn::User { results, parts } => {
            let blocks = results.iter().map(result_block).chain(parts.iter().map(part_block));
            Some(Message { role: "user", content: content_of(blocks.collect()) })
        }
        Turn::Assistant { thinking: _, texts, calls } => {
            // Clients write an empty text beside calls; Anthropic refuses it.
            let texts = texts.iter().filter(|text| !text.is_empty());
            let texts = texts.map(|text| Block::Text { text });
            let calls = calls.iter().map(|call| Block::ToolUse {
                id: &call.id,
                name: &call.name,
                input: &call.input,
            });
            let blocks: Vec<Block<'_>> = texts.chain(calls).collect();
            (!blocks.is_empty()).then(|| Message { role: "assistant", content: content_of(blocks) })
        }
    }
}

fn content_of(mut blocks: Vec<Block<'_>>) -> Content<'_> {
    match blocks.pop() {
        Some(Block::Text { text }) if blocks.is_empty() => Content::Text(text),
        last => {
            blocks.extend(last);
            Content::Blocks(blocks)
        }
    }
}

fn result_block(result: &ToolResult) -> Block<'_> {
    Block::ToolResult {
        tool_use_id: &result.call,
        content: content_of(result.parts.iter().map(part_block).collect()),
        is_error: result.is_error,
    }
}

fn part_block(part: &Part) -> Block<'_> {
    match part {
        Part::Text(text) => Block::Text { text },
        // Anthropic chooses the resolution by itself.
        Part::Image { image, detail: _ } => Block::Image {
            source: match image {
                Image::Url(url) => Source::Url { url },
                Image::Base64 { media_type, data } => Source::Base64 { media_type, data },
            },
        },
    }
}

fn definition<'a>(tool: &'a Tool<'a>) -> ToolDefinition<'a> {
    ToolDefinition {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: tool
            .schema
            .map_or(Schema::Empty { r#type: "object", properties: Properties {} }, Schema::Given),
        strict: tool.strict,
    }
}

/// Messages says by the choice whether calls may be parallel, and takes a choice only beside tools.
fn choice<'a>(request: &'a Request<'a>) -> Option<Choice<'a>> {
    let choose = |r#type, name, single: bool| {
        let disable_parallel_tool_use = single.then_some(true);
        Some(Choice { r#type, name, disable_parallel_tool_use })
    };
    let single = request.single_call;
    match &request.tool_choice {
        Some(ToolChoice::Any) => choose("any", None, single),
        Some(ToolChoice::Named(name)) => choose("tool", Some(name), single),
        Some(ToolChoice::Auto | ToolChoice::None) | None if request.tools.is_empty() => None,
        Some(ToolChoice::None) => choose("none", None, false),
        Some(ToolChoice::Auto) => choose("auto", None, single),
        None => single.then(|| choose("auto", None, single)).flatten(),
    }
}
