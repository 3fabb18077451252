use serde_json::value::RawValue;

use super::messages_blocks::{UNKNOWN, read_text};
use super::messages_turns::read_turns;
use super::{Effort, Request, Thinking, Tool, ToolChoice, Turn};
use crate::gateway::translation::fields::{Node, Untranslatable};

/// Fields that are left out: what they ask for concerns Anthropic's own caches, tiers and
/// scheduling, and no answer depends on it.
const LEFT_OUT: &[&str] = &["cache_control", "service_tier"];

/// The beginning of the block in which Claude Code tells Anthropic how to bill it. It differs from
/// request to request, and so spoils the prefix caches of an engine.
const BILLING_HEADER: &str = "x-anthropic-billing-header";

pub(super) fn read<'a>(body: &Node<'_, 'a>) -> Result<Request<'a>, Untranslatable> {
    let mut fields = body.object()?;
    let model = fields.require("model")?.string()?;
    let max_tokens = fields.require("max_tokens")?;
    let max_tokens = match max_tokens.whole_number()? {
        0 => {
            return Err(max_tokens.refuse(
                "must be at least 1; only Anthropic's cache can be filled without an answer",
            ));
        }
        limit => limit,
    };
    let system = fields.take("system").map_or(Ok(Vec::new()), |node| read_system(&node))?;
    let messages = fields.require("messages")?;
    let turns = read_turns(&messages)?;
    let continues = match turns.last() {
        Some(Turn::Assistant { calls, .. }) if !calls.is_empty() => {
            return Err(messages.refuse("must not end with a tool call; add its `tool_result`"));
        }
        Some(Turn::Assistant { .. }) => true,
        Some(Turn::User { .. } | Turn::System(_)) | None => false,
    };
    let (tool_choice, single_call) =
        fields.take("tool_choice").map_or(Ok((None, false)), |node| read_choice(&node))?;
    let mut request = Request {
        model,
        system,
        turns,
        continues,
        max_tokens: Some(max_tokens),
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.whole_number("top_k")?,
        stop: fields.take("stop_sequences").map_or(Ok(Vec::new()), |node| strings(&node))?,
        stream: fields.boolean("stream")?,
        user: fields.take("metadata").map_or(Ok(None), |node| read_user(&node))?,
        tools: fields.take("tools").map_or(Ok(Vec::new()), |node| read_tools(&node))?,
        tool_choice,
        single_call,
        schema: fields.take("output_format").map(|node| read_format(&node)).transpose()?,
        effort: None,
        thinking: fields.take("thinking").map(|node| read_thinking(&node)).transpose()?,
    };
    if let Some(node) = fields.take("output_config") {
        read_output_config(&node, &mut request)?;
    }
    if let Some(node) = fields.take("context_management") {
        check_context_management(&node)?;
    }
    fields.leave_out(LEFT_OUT);
    fields.finish(UNKNOWN)?;
    Ok(request)
}

fn read_system(node: &Node<'_, '_>) -> Result<Vec<String>, Untranslatable> {
    if node.is_string() {
        return Ok(vec![node.string()?]);
    }
    let mut texts = Vec::new();
    for block in node.list()? {
        let text = read_text(&mut block.object()?, &block)?;
        if !text.starts_with(BILLING_HEADER) {
            texts.push(text);
        }
    }
    Ok(texts)
}

fn strings(node: &Node<'_, '_>) -> Result<Vec<String>, Untranslatable> {
    node.list()?.map(|item| item.string()).collect()
}

fn read_user(node: &Node<'_, '_>) -> Result<Option<String>, Untranslatable> {
    let mut fields = node.object()?;
    let user = fields.string("user_id")?;
    fields.finish(UNKNOWN)?;
    Ok(user)
}

fn read_choice(node: &Node<'_, '_>) -> Result<(Option<ToolChoice>, bool), Untranslatable> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?;
    let choice = match kind.string()?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(fields.require("name")?.string()?),
        _ => return Err(kind.refuse("must be one of `auto`, `any`, `tool` and `none`")),
    };
    let single_call = fields.boolean("disable_parallel_tool_use")?.unwrap_or(false);
    fields.finish(UNKNOWN)?;
    Ok((Some(choice), single_call))
}

fn read_tools<'a>(node: &Node<'_, 'a>) -> Result<Vec<Tool<'a>>, Untranslatable> {
    node.list()?.map(|tool| read_tool(&tool)).collect()
}

fn read_tool<'a>(node: &Node<'_, 'a>) -> Result<Tool<'a>, Untranslatable> {
    let mut fields = node.object()?;
    if let Some(kind) = fields.string("type")?
        && kind != "custom"
    {
        return Err(node.refuse(format!(
            "is Anthropic's own tool `{kind}`; only tools that come with a schema can be used"
        )));
    }
    let tool = Tool {
        name: fields.require("name")?.string()?,
        description: fields.string("description")?,
        schema: Some(fields.require("input_schema")?.raw_object()?),
        strict: fields.boolean("strict")?,
    };
    // How eagerly the input is streamed is for the target to decide.
    fields.leave_out(&["cache_control", "eager_input_streaming"]);
    fields.leave_out_if(&[
        ("defer_loading", &["false"]),
        ("allowed_callers", &["[]", r#"["direct"]"#]),
        ("input_examples", &["[]"]),
    ]);
    fields.finish(UNKNOWN)?;
    Ok(tool)
}

fn read_format<'a>(node: &Node<'_, 'a>) -> Result<&'a RawValue, Untranslatable> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?;
    if kind.string()? != "json_schema" {
        return Err(kind.refuse("must be `json_schema`"));
    }
    let schema = fields.require("schema")?.raw_object()?;
    fields.finish(UNKNOWN)?;
    Ok(schema)
}

fn read_output_config<'a>(
    node: &Node<'_, 'a>,
    request: &mut Request<'a>,
) -> Result<(), Untranslatable> {
    let mut fields = node.object()?;
    request.effort = fields.take("effort").map(|node| Effort::read(&node)).transpose()?;
    if let Some(format) = fields.take("format") {
        request.schema = Some(read_format(&format)?);
    }
    fields.finish(UNKNOWN)
}

fn read_thinking(node: &Node<'_, '_>) -> Result<Thinking, Untranslatable> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?;
    let thinking = match kind.string()?.as_str() {
        "adaptive" => Thinking::Adaptive,
        "disabled" => Thinking::Disabled,
        "enabled" => Thinking::Budget(fields.require("budget_tokens")?.whole_number()?),
        _ => return Err(kind.refuse("must be one of `adaptive`, `enabled` and `disabled`")),
    };
    // Whether thinking is summarized: a target of Chat Completions shows all of it or none.
    fields.leave_out(&["display"]);
    fields.finish(UNKNOWN)?;
    Ok(thinking)
}

/// Old thinking may be cleared: engines leave it out of the prompt by themselves. Anything else
/// would change the conversation.
fn check_context_management(node: &Node<'_, '_>) -> Result<(), Untranslatable> {
    let mut fields = node.object()?;
    if let Some(edits) = fields.take("edits") {
        for edit in edits.list()? {
            let kind = edit.object()?.require("type")?.string()?;
            if !kind.starts_with("clear_thinking_") {
                return Err(edit.refuse(UNKNOWN));
            }
        }
    }
    fields.finish(UNKNOWN)
}
