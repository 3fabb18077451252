use std::borrow::Cow;

use super::chat_body::{
    Body, CalledFunction, Choice, Content, ContentPart, Function, FunctionName, ImageUrl,
    JsonSchema, Message, ResponseFormat, StreamOptions, TemplateArguments, ToolCall, Typed,
};
use super::{Call, ChatTarget, Image, Part, Request, Thinking, Tool, ToolChoice, ToolResult, Turn};
use crate::gateway::translation::fields::{Path, Untranslatable};

/// What stands before the text of a tool's error: a `tool` message has no field for it.
const ERROR_MARK: &str = "Error: ";

pub(in super::super) fn write<'a>(
    request: &'a Request<'a>,
    target: ChatTarget,
) -> Result<Body<'a>, Untranslatable> {
    let refuse = |field, problem: &str| Err(Path::Field(&Path::Body, field).refuse(problem));
    let is_engine = match target {
        ChatTarget::Engine { .. } => true,
        ChatTarget::Hosted => false,
    };
    if request.continues && !is_engine {
        return refuse(
            "messages",
            "must not end with an assistant message; this model does not continue one",
        );
    }
    if request.top_k.is_some() && !is_engine {
        return refuse("top_k", "has no counterpart at this model's provider; leave it out");
    }
    let streams = request.stream == Some(true);
    Ok(Body {
        model: &request.model,
        messages: messages(request, is_engine),
        // Engines of all ages know the old name; OpenAI's reasoning models refuse it.
        max_tokens: request.max_tokens.filter(|_| is_engine),
        max_completion_tokens: request.max_tokens.filter(|_| !is_engine),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        stop: &request.stop,
        stream: request.stream,
        stream_options: streams.then(|| StreamOptions {
            include_usage: true,
            continuous_usage_stats: is_engine.then_some(true),
        }),
        user: request.user.as_deref(),
        tools: request.tools.iter().map(function).collect(),
        tool_choice: request.tool_choice.as_ref().map(choice),
        parallel_tool_calls: request.single_call.then_some(false),
        response_format: request.schema.map(|schema| ResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name: "response",
                description: None,
                strict: Some(true),
                schema,
            },
        }),
        reasoning_effort: request.effort,
        verbosity: None,
        service_tier: None,
        thinking_token_budget: match (&request.thinking, target) {
            (Some(Thinking::Budget(tokens)), ChatTarget::Engine { reasoning_parser: true }) => {
                Some(*tokens)
            }
            // There the budget is a wish that `max_tokens` bounds.
            (
                Some(Thinking::Budget(_)),
                ChatTarget::Engine { reasoning_parser: false } | ChatTarget::Hosted,
            )
            | (Some(Thinking::Adaptive | Thinking::Disabled) | None, _) => None,
        },
        chat_template_kwargs: match &request.thinking {
            Some(Thinking::Disabled) if is_engine => {
                Some(TemplateArguments { enable_thinking: false })
            }
            Some(Thinking::Disabled | Thinking::Adaptive | Thinking::Budget(_)) | None => None,
        },
        continue_final_message: request.continues.then_some(true),
        add_generation_prompt: request.continues.then_some(false),
    })
}

fn messages<'a>(request: &'a Request<'a>, is_engine: bool) -> Vec<Message<'a>> {
    let mut messages = Vec::new();
    if !request.system.is_empty() {
        messages.push(Message::System { content: request.system.join("\n\n") });
    }
    for turn in &request.turns {
        match turn {
            Turn::System(text) => messages.push(Message::System { content: text.clone() }),
            Turn::User { results, parts } => {
                messages.extend(results.iter().map(tool_message));
                // A `tool` message holds text alone.
                let images =
                    results.iter().flat_map(|result| &result.parts).filter(|part| is_image(part));
                let content: Vec<ContentPart<'_>> = images.chain(parts).map(content_part).collect();
                if !content.is_empty() || results.is_empty() {
                    messages.push(Message::User { content: content_of(content) });
                }
            }
            Turn::Assistant { thinking, texts, calls } => {
                let texts = texts.iter().map(|text| ContentPart::Text { text: text.into() });
                let content = content_of(texts.collect());
                let is_empty = matches!(&content, Content::Text(text) if text.is_empty());
                messages.push(Message::Assistant {
                    reasoning: (is_engine && !thinking.is_empty()).then_some(thinking),
                    content: (!is_empty || calls.is_empty()).then_some(content),
                    tool_calls: calls.iter().map(tool_call).collect(),
                });
            }
        }
    }
    messages
}

fn tool_message(result: &ToolResult) -> Message<'_> {
    let mut content: Vec<ContentPart<'_>> =
        result.parts.iter().filter(|part| !is_image(part)).map(content_part).collect();
    if result.is_error {
        match content.first_mut() {
            Some(ContentPart::Text { text }) => text.to_mut().insert_str(0, ERROR_MARK),
            _ => content.insert(0, ContentPart::Text { text: ERROR_MARK.into() }),
        }
    }
    Message::Tool { tool_call_id: &result.call, content: content_of(content) }
}

fn is_image(part: &Part) -> bool {
    match part {
        Part::Image { .. } => true,
        Part::Text(_) => false,
    }
}

/// A single text is written as such, which every chat template understands.
fn content_of(mut parts: Vec<ContentPart<'_>>) -> Content<'_> {
    match parts.pop() {
        None => Content::Text(Cow::Borrowed("")),
        Some(ContentPart::Text { text }) if parts.is_empty() => Content::Text(text),
        Some(last) => {
            parts.push(last);
            Content::Parts(parts)
        }
    }
}

fn content_part(part: &Part) -> ContentPart<'_> {
    match part {
        Part::Text(text) => ContentPart::Text { text: text.into() },
        Part::Image { image, detail } => ContentPart::ImageUrl {
            image_url: ImageUrl {
                detail: *detail,
                url: match image {
                    Image::Url(url) => url.clone(),
                    Image::Base64 { media_type, data } => {
                        format!("data:{media_type};base64,{data}")
                    }
                },
            },
        },
    }
}

fn tool_call<'a>(call: &'a Call<'_>) -> ToolCall<'a> {
    ToolCall {
        id: &call.id,
        r#type: "function",
        function: CalledFunction { name: &call.name, arguments: call.input.get() },
    }
}

fn function<'a>(tool: &'a Tool<'a>) -> Typed<Function<'a>> {
    Typed {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.schema,
            strict: tool.strict,
        },
    }
}

fn choice(choice: &ToolChoice) -> Choice<'_> {
    match choice {
        ToolChoice::Auto => Choice::Mode("auto"),
        ToolChoice::Any => Choice::Mode("required"),
        ToolChoice::None => Choice::Mode("none"),
        ToolChoice::Named(name) => {
            Choice::Named(Typed { r#type: "function", function: FunctionName { name } })
        }
    }
}
