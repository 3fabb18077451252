//! The body of a request for a response, written as that of a Chat Completions request.

mod input;
mod parts;
mod settings;
pub(super) mod tools;

use self::input::read_input;
use self::settings::{Format, Verbosity, check_include, read_reasoning, read_text};
use self::tools::{ToolSet, read_choice, read_tools};
use crate::gateway::translation::fields::{Node, Untranslatable};
use crate::gateway::translation::request::chat_body::{Body, JsonSchema, ResponseFormat};
use crate::gateway::translation::request::{ChatTarget, Request, ToolChoice, chat_writer};

/// Fields that are left out; the documentation of the translation says why.
const LEFT_OUT: &[&str] = &[
    "client_metadata",
    "max_tool_calls",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "store",
    "stream_options",
    "truncation",
];

/// Values that ask for nothing, as clients send them.
const NEUTRAL: &[(&str, &[&str])] =
    &[("background", &["false"]), ("context_management", &["[]"]), ("top_logprobs", &["0"])];

pub(super) const UNKNOWN: &str =
    "has no counterpart in Chat Completions; leave it out for this model";

/// A request, as far as a target of Chat Completions can serve it.
pub(super) struct ResponsesRequest<'a> {
    chat: Request<'a>,
    format: Option<Format<'a>>,
    verbosity: Option<Verbosity>,
    service_tier: Option<String>,
}

pub(super) fn read<'a>(body: &Node<'_, 'a>) -> Result<ResponsesRequest<'a>, Untranslatable> {
    let mut fields = body.object()?;
    for stored in ["previous_response_id", "conversation", "prompt"] {
        if let Some(node) = fields.take(stored) {
            return Err(node.refuse(
                "refers to something stored, which this model's server does not have; \
                 send the whole conversation in `input`",
            ));
        }
    }
    let model = fields.require("model")?.string()?;
    let instructions = fields.string("instructions")?;
    let (mut system, turns) = read_input(&fields.require("input")?)?;
    system.splice(0..0, instructions);

    let tool_node = fields.take("tools");
    let tools = tool_node.as_ref().map_or(Ok(ToolSet::default()), read_tools)?.tools;
    let tool_choice = match fields.take("tool_choice") {
        None => None,
        Some(node) => match read_choice(&node)? {
            ToolChoice::Any | ToolChoice::Named(_) if tools.is_empty() => {
                return Err(node.refuse("needs at least one tool in `tools`"));
            }
            choice => Some(choice),
        },
    };
    let single_call = fields.boolean("parallel_tool_calls")? == Some(false);
    // OpenAI's Chat Completions refuses both where there are no tools.
    let has_tools = !tools.is_empty();
    let (tool_choice, single_call) =
        if has_tools { (tool_choice, single_call) } else { (None, false) };

    let text = fields.take("text").map(|node| read_text(&node)).transpose()?.unwrap_or_default();
    if let Some(node) = fields.take("include") {
        check_include(&node)?;
    }
    let mut request = ResponsesRequest {
        chat: Request {
            model,
            system,
            turns,
            continues: false,
            max_tokens: fields.whole_number("max_output_tokens")?,
            temperature: fields.number("temperature")?,
            top_p: fields.number("top_p")?,
            top_k: None,
            stop: Vec::new(),
            stream: fields.boolean("stream")?,
            user: fields.string("safety_identifier")?,
            tools,
            tool_choice,
            single_call,
            schema: None,
            effort: fields.take("reasoning").map_or(Ok(None), |node| read_reasoning(&node))?,
            thinking: None,
        },
        format: text.format,
        verbosity: text.verbosity,
        service_tier: fields.string("service_tier")?,
    };
    // The older name of `safety_identifier`.
    if let Some(user) = fields.string("user")? {
        request.chat.user.get_or_insert(user);
    }
    fields.leave_out(LEFT_OUT);
    fields.leave_out_if(NEUTRAL);
    fields.finish(UNKNOWN)?;
    Ok(request)
}

pub(super) fn write<'a>(
    request: &'a ResponsesRequest<'a>,
    target: ChatTarget,
) -> Result<Body<'a>, Untranslatable> {
    let mut body = chat_writer::write(&request.chat, target)?;
    body.response_format = request.format.as_ref().map(|format| match format {
        Format::Json => ResponseFormat::JsonObject,
        Format::Schema { name, description, strict, schema } => ResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name,
                description: description.as_deref(),
                strict: *strict,
                schema,
            },
        },
    });
    match target {
        ChatTarget::Engine { .. } => {}
        ChatTarget::Hosted => {
            body.verbosity = request.verbosity;
            body.service_tier = match request.service_tier.as_deref() {
                Some("auto" | "default") | None => None,
                tier => tier,
            };
        }
    }
    Ok(body)
}
