use serde_json::value::RawValue;

use super::chat_turns::{UNKNOWN, read_messages, take_function};
use super::{Effort, Request, Thinking, Tool, ToolChoice, Turn};
use crate::gateway::translation::fields::{Node, Untranslatable};

/// Fields that are left out: what they ask for concerns OpenAI's own caches and dashboards, and no
/// answer depends on it. `stream_options` is for whoever writes the stream.
const LEFT_OUT: &[&str] = &[
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "stream_options",
];

/// Values that ask for nothing, as clients send them.
const NEUTRAL: &[(&str, &[&str])] = &[
    ("frequency_penalty", &["0", "0.0"]),
    ("include_reasoning", &["true"]),
    ("logit_bias", &["{}"]),
    ("logprobs", &["false"]),
    ("modalities", &[r#"["text"]"#]),
    ("n", &["1"]),
    ("presence_penalty", &["0", "0.0"]),
    ("service_tier", &[r#""auto""#, r#""default""#]),
    ("store", &["false"]),
    ("top_logprobs", &["0"]),
    ("verbosity", &[r#""medium""#]),
];

pub(super) fn read<'a>(body: &Node<'_, 'a>) -> Result<Request<'a>, Untranslatable> {
    let mut fields = body.object()?;
    let model = fields.require("model")?.string()?;
    let messages = fields.require("messages")?;
    let (system, turns) = read_messages(&messages)?;

    let continues = fields.boolean("continue_final_message")?.unwrap_or(false);
    if let Some(prompt) = fields.take("add_generation_prompt")
        && prompt.boolean()? == continues
    {
        return Err(prompt.refuse("must be the opposite of `continue_final_message`"));
    }
    let ends_with_assistant = matches!(turns.last(), Some(Turn::Assistant { .. }));
    if continues != ends_with_assistant {
        return Err(messages.refuse(if continues {
            "must end with the assistant message that `continue_final_message` continues"
        } else {
            "must not end with an assistant message: Anthropic's models would continue it"
        }));
    }

    let limit = fields.whole_number("max_completion_tokens")?;
    let max_tokens = match (limit, fields.take("max_tokens")) {
        (limit, None) => limit,
        (None, Some(old)) => Some(old.whole_number()?),
        (Some(limit), Some(old)) if old.whole_number()? == limit => Some(limit),
        (Some(_), Some(old)) => {
            return Err(old.refuse("must not differ from `max_completion_tokens`"));
        }
    };
    let temperature = fields.take("temperature");
    if let Some(node) = &temperature
        && node.number()?.get().parse::<f64>().is_ok_and(|degree| degree > 1.0)
    {
        return Err(node.refuse("must be at most 1 for this model"));
    }

    let mut request = Request {
        model,
        system,
        turns,
        continues,
        max_tokens,
        temperature: temperature.map(|node| node.number()).transpose()?,
        top_p: fields.number("top_p")?,
        top_k: fields.whole_number("top_k")?,
        stop: fields.take("stop").map_or(Ok(Vec::new()), |node| read_stop(&node))?,
        stream: fields.boolean("stream")?,
        user: fields.string("safety_identifier")?,
        tools: fields.take("tools").map_or(Ok(Vec::new()), |node| read_tools(&node))?,
        tool_choice: fields.take("tool_choice").map(|node| read_choice(&node)).transpose()?,
        single_call: fields.boolean("parallel_tool_calls")? == Some(false),
        schema: fields.take("response_format").map_or(Ok(None), |node| read_format(&node))?,
        effort: fields.take("reasoning_effort").map(|node| Effort::read(&node)).transpose()?,
        thinking: fields.whole_number("thinking_token_budget")?.map(Thinking::Budget),
    };
    // The older name of `safety_identifier`.
    if let Some(user) = fields.string("user")? {
        request.user.get_or_insert(user);
    }
    fields.leave_out(LEFT_OUT);
    fields.leave_out_if(NEUTRAL);
    fields.finish(UNKNOWN)?;
    Ok(request)
}

fn read_stop(node: &Node<'_, '_>) -> Result<Vec<String>, Untranslatable> {
    if node.is_string() {
        return Ok(vec![node.string()?]);
    }
    node.list()?.map(|item| item.string()).collect()
}

fn read_tools<'a>(node: &Node<'_, 'a>) -> Result<Vec<Tool<'a>>, Untranslatable> {
    node.list()?.map(|tool| read_tool(&tool)).collect()
}

fn read_tool<'a>(node: &Node<'_, 'a>) -> Result<Tool<'a>, Untranslatable> {
    let mut fields = node.object()?;
    let function = take_function(node, &mut fields)?;
    fields.finish(UNKNOWN)?;
    let mut fields = function.object()?;
    let tool = Tool {
        name: fields.require("name")?.string()?,
        description: fields.string("description")?,
        schema: fields.take("parameters").map(|node| node.raw_object()).transpose()?,
        strict: fields.boolean("strict")?,
    };
    fields.finish(UNKNOWN)?;
    Ok(tool)
}

fn read_choice(node: &Node<'_, '_>) -> Result<ToolChoice, Untranslatable> {
    if node.is_string() {
        return match node.string()?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Any),
            "none" => Ok(ToolChoice::None),
            _ => Err(node.refuse("must be `auto`, `required`, `none` or a function")),
        };
    }
    let mut fields = node.object()?;
    let function = take_function(node, &mut fields)?;
    fields.finish(UNKNOWN)?;
    let mut fields = function.object()?;
    let name = fields.require("name")?.string()?;
    fields.finish(UNKNOWN)?;
    Ok(ToolChoice::Named(name))
}

fn read_format<'a>(node: &Node<'_, 'a>) -> Result<Option<&'a RawValue>, Untranslatable> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?;
    let schema = match kind.string()?.as_str() {
        "text" => None,
        "json_schema" => {
            let format = fields.require("json_schema")?;
            let mut fields = format.object()?;
            let schema = fields.require("schema")?.raw_object()?;
            // The name is a label, and Anthropic always follows the schema.
            fields.leave_out(&["name", "description", "strict"]);
            fields.finish(UNKNOWN)?;
            Some(schema)
        }
        _ => {
            return Err(
                kind.refuse("must be `json_schema`: Anthropic has no JSON mode without a schema")
            );
        }
    };
    fields.finish(UNKNOWN)?;
    Ok(schema)
}
