use std::borrow::Cow;

use super::messages_blocks::{finish_block, read_text, take_text};
use super::{Call, Image, Part, ToolResult, Turn};
use crate::gateway::translation::fields::{Node, Object, Untranslatable};

const SERVER_SIDE: &str =
    "was made by a tool or file that only Anthropic's servers have; leave it out for this model";

pub(super) fn read_turns<'a>(messages: &Node<'_, 'a>) -> Result<Vec<Turn<'a>>, Untranslatable> {
    messages.list()?.map(|message| read_turn(&message)).collect()
}

fn read_turn<'a>(message: &Node<'_, 'a>) -> Result<Turn<'a>, Untranslatable> {
    let mut fields = message.object()?;
    let role = fields.require("role")?;
    let content = fields.require("content")?;
    fields.finish("is not a field of a message")?;
    match role.string()?.as_str() {
        "user" => read_user(&content),
        "assistant" => read_assistant(&content),
        "system" => Ok(Turn::System(read_texts(&content)?.join("\n\n"))),
        _ => Err(role.refuse("must be one of `user`, `assistant` and `system`")),
    }
}

fn read_user<'a>(content: &Node<'_, '_>) -> Result<Turn<'a>, Untranslatable> {
    let (mut results, mut parts) = (Vec::new(), Vec::new());
    if content.is_string() {
        parts.push(Part::Text(content.string()?));
    } else {
        for block in content.list()? {
            let mut fields = block.object()?;
            match fields.require("type")?.string()?.as_str() {
                "tool_result" => results.push(read_result(fields)?),
                kind => parts.push(read_part(kind, &mut fields, &block)?),
            }
        }
    }
    Ok(Turn::User { results, parts })
}

fn read_part(
    kind: &str,
    fields: &mut Object<'_, '_>,
    block: &Node<'_, '_>,
) -> Result<Part, Untranslatable> {
    match kind {
        "text" => Ok(Part::Text(take_text(fields)?)),
        "image" => {
            let image = read_image(&fields.require("source")?)?;
            finish_block(fields)?;
            Ok(Part::Image { image, detail: None })
        }
        "document" | "search_result" | "container_upload" => {
            Err(block.refuse("is a document; send its text instead"))
        }
        _ => Err(block.refuse(format!("is a `{kind}` block, which {SERVER_SIDE}"))),
    }
}

fn read_image(source: &Node<'_, '_>) -> Result<Image, Untranslatable> {
    let mut fields = source.object()?;
    let kind = fields.require("type")?;
    let image = match kind.string()?.as_str() {
        "url" => Image::Url(fields.require("url")?.string()?),
        "base64" => Image::Base64 {
            media_type: fields.require("media_type")?.string()?,
            data: fields.require("data")?.string()?,
        },
        _ => return Err(kind.refuse("must be `url` or `base64`")),
    };
    fields.finish("is not a field of an image")?;
    Ok(image)
}

fn read_result(mut fields: Object<'_, '_>) -> Result<ToolResult, Untranslatable> {
    let call = fields.require("tool_use_id")?.string()?;
    let is_error = fields.boolean("is_error")?.unwrap_or(false);
    let mut parts = Vec::new();
    if let Some(content) = fields.take("content") {
        if content.is_string() {
            parts.push(Part::Text(content.string()?));
        } else {
            for block in content.list()? {
                let mut fields = block.object()?;
                let kind = fields.require("type")?.string()?;
                parts.push(read_part(&kind, &mut fields, &block)?);
            }
        }
    }
    finish_block(&mut fields)?;
    Ok(ToolResult { call, is_error, parts })
}

/// Chat Completions has an assistant's text before its calls, so the text of a turn is taken
/// together, whatever stands between.
fn read_assistant<'a>(content: &Node<'_, 'a>) -> Result<Turn<'a>, Untranslatable> {
    let (mut thinking, mut texts, mut calls) = (String::new(), Vec::new(), Vec::new());
    if content.is_string() {
        texts.push(content.string()?);
        return Ok(Turn::Assistant { thinking, texts, calls });
    }
    for block in content.list()? {
        let mut fields = block.object()?;
        match fields.require("type")?.string()?.as_str() {
            "text" => texts.push(take_text(&mut fields)?),
            "thinking" => {
                thinking.push_str(&fields.require("thinking")?.string()?);
                // It proves to Anthropic alone that the text is Claude's.
                fields.leave_out(&["signature"]);
                finish_block(&mut fields)?;
            }
            "redacted_thinking" => {}
            "tool_use" => {
                calls.push(Call {
                    id: fields.require("id")?.string()?,
                    name: fields.require("name")?.string()?,
                    input: Cow::Borrowed(fields.require("input")?.raw_object()?),
                });
                finish_block(&mut fields)?;
            }
            kind => return Err(block.refuse(format!("is a `{kind}` block, which {SERVER_SIDE}"))),
        }
    }
    Ok(Turn::Assistant { thinking, texts, calls })
}

fn read_texts(content: &Node<'_, '_>) -> Result<Vec<String>, Untranslatable> {
    if content.is_string() {
        return Ok(vec![content.string()?]);
    }
    content.list()?.map(|block| read_text(&mut block.object()?, &block)).collect()
}
