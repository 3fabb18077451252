use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Call, Image, Part, ToolResult, Turn};
use crate::gateway::translation::answer::{BrokenArguments, arguments_object};
use crate::gateway::translation::fields::{Node, Object, Untranslatable};

/// What is wrong with a field that nobody knows.
pub(super) const UNKNOWN: &str =
    "has no counterpart in Anthropic Messages; leave it out for this model";

/// The system messages and the turns. Messages has its instructions at the top, so those in the
/// middle of the conversation join them there.
pub(super) fn read_messages<'a>(
    messages: &Node<'_, 'a>,
) -> Result<(Vec<String>, Vec<Turn<'a>>), Untranslatable> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for message in messages.list()? {
        let mut fields = message.object()?;
        let role = fields.require("role")?;
        match role.string()?.as_str() {
            "system" | "developer" => system.extend(texts_of(&fields.require("content")?)?),
            "user" => push_user(&mut turns, parts_of(&fields.require("content")?)?),
            "assistant" => turns.push(read_assistant(&mut fields)?),
            "tool" => push_result(&mut turns, read_result(&mut fields)?),
            _ => {
                return Err(role.refuse(
                    "must be one of `system`, `developer`, `user`, `assistant` and `tool`",
                ));
            }
        }
        fields.finish(UNKNOWN)?;
    }
    Ok((system, turns))
}

/// What a user says behind the results of tools belongs to their turn.
pub(in super::super) fn push_user(turns: &mut Vec<Turn<'_>>, said: Vec<Part>) {
    match turns.last_mut() {
        Some(Turn::User { results, parts }) if !results.is_empty() && parts.is_empty() => {
            *parts = said;
        }
        _ => turns.push(Turn::User { results: Vec::new(), parts: said }),
    }
}

pub(in super::super) fn push_result(turns: &mut Vec<Turn<'_>>, result: ToolResult) {
    match turns.last_mut() {
        Some(Turn::User { results, parts }) if !results.is_empty() && parts.is_empty() => {
            results.push(result);
        }
        _ => turns.push(Turn::User { results: vec![result], parts: Vec::new() }),
    }
}

fn parts_of(content: &Node<'_, '_>) -> Result<Vec<Part>, Untranslatable> {
    if content.is_string() {
        return Ok(vec![Part::Text(content.string()?)]);
    }
    content.list()?.map(|part| read_part(&part)).collect()
}

fn read_part(part: &Node<'_, '_>) -> Result<Part, Untranslatable> {
    let mut fields = part.object()?;
    let read = match fields.require("type")?.string()?.as_str() {
        "text" => Part::Text(fields.require("text")?.string()?),
        "refusal" => Part::Text(fields.require("refusal")?.string()?),
        "image_url" => {
            let image = fields.require("image_url")?;
            let mut fields = image.object()?;
            let url = fields.require("url")?;
            let image = image_at(url.string()?).map_err(|problem| url.refuse(problem))?;
            // A hint at the resolution, which Anthropic chooses by itself.
            fields.leave_out(&["detail"]);
            fields.finish(UNKNOWN)?;
            Part::Image { image, detail: None }
        }
        kind => {
            return Err(part.refuse(format!("is of type `{kind}`; send text or an `image_url`")));
        }
    };
    fields.leave_out(&["prompt_cache_breakpoint"]);
    fields.finish(UNKNOWN)?;
    Ok(read)
}

fn image_at(url: String) -> Result<Image, &'static str> {
    let Some(rest) = url.strip_prefix("data:") else { return Ok(Image::Url(url)) };
    match rest.split_once(";base64,") {
        Some((media_type, data)) => {
            Ok(Image::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
        }
        None => Err("must be of the form `data:image/png;base64,…` or a URL"),
    }
}

fn read_assistant<'a>(fields: &mut Object<'_, 'a>) -> Result<Turn<'a>, Untranslatable> {
    let mut texts = Vec::new();
    if let Some(content) = fields.take("content") {
        texts.extend(texts_of(&content)?);
    }
    texts.extend(fields.string("refusal")?);
    let mut calls = Vec::new();
    if let Some(list) = fields.take("tool_calls") {
        for call in list.list()? {
            calls.push(read_call(&call)?);
        }
    }
    // Anthropic takes no thinking back that it has not signed.
    fields.leave_out(&["reasoning", "reasoning_content"]);
    fields.leave_out_if(&[("annotations", &["[]"])]);
    Ok(Turn::Assistant { thinking: String::new(), texts, calls })
}

fn texts_of(content: &Node<'_, '_>) -> Result<Vec<String>, Untranslatable> {
    let text = |part| match part {
        Part::Text(text) => Ok(text),
        Part::Image { .. } => Err(content.refuse("must be text")),
    };
    parts_of(content)?.into_iter().map(text).collect()
}

fn read_call<'a>(node: &Node<'_, 'a>) -> Result<Call<'a>, Untranslatable> {
    let mut fields = node.object()?;
    let id = fields.require("id")?.string()?;
    let function = take_function(node, &mut fields)?;
    // Clients that put a message together from a stream leave it there.
    fields.leave_out(&["index"]);
    fields.finish(UNKNOWN)?;
    let mut fields = function.object()?;
    let name = fields.require("name")?.string()?;
    let arguments = fields.require("arguments")?;
    let input: Box<RawValue> = arguments_object(&arguments.string()?)
        .map_err(|BrokenArguments| arguments.refuse("must be a JSON object"))?;
    fields.finish(UNKNOWN)?;
    Ok(Call { id, name, input: Cow::Owned(input) })
}

fn read_result(fields: &mut Object<'_, '_>) -> Result<ToolResult, Untranslatable> {
    let call = fields.require("tool_call_id")?.string()?;
    let parts = parts_of(&fields.require("content")?)?;
    // The name of the function, which the call has told already.
    fields.leave_out(&["name"]);
    Ok(ToolResult { call, is_error: false, parts })
}

/// The `function` of a tool, a call or a choice; its `type` is checked and taken, too.
pub(super) fn take_function<'p, 'a>(
    node: &Node<'_, 'a>,
    fields: &mut Object<'p, 'a>,
) -> Result<Node<'p, 'a>, Untranslatable> {
    match fields.string("type")?.as_deref() {
        Some("function") | None => fields.require("function"),
        Some(kind) => Err(node.refuse(format!("must be of type `function`, not `{kind}`"))),
    }
}
