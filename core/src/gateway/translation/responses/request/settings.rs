use serde_json::value::RawValue;

use super::UNKNOWN;
use crate::gateway::translation::fields::{Node, Untranslatable};
use crate::gateway::translation::request::Effort;
pub(super) use crate::gateway::translation::request::chat_body::Verbosity;

/// More to be told with an answer. Most of it concerns tools that are refused, or is encrypted for
/// OpenAI's servers; then there is nothing to tell.
const NOTHING_TO_INCLUDE: &[&str] = &[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
];

/// `text` of a request.
#[derive(Default)]
pub(super) struct TextSettings<'a> {
    pub(super) format: Option<Format<'a>>,
    pub(super) verbosity: Option<Verbosity>,
}

/// A format other than free text.
pub(super) enum Format<'a> {
    Json,
    Schema { name: String, description: Option<String>, strict: Option<bool>, schema: &'a RawValue },
}

pub(super) fn read_text<'a>(node: &Node<'_, 'a>) -> Result<TextSettings<'a>, Untranslatable> {
    let mut fields = node.object()?;
    let format = fields.take("format").map_or(Ok(None), |format| read_format(&format))?;
    let verbosity = match fields.take("verbosity") {
        None => None,
        Some(verbosity) => match verbosity.string()?.as_str() {
            "low" => Some(Verbosity::Low),
            "medium" => None,
            "high" => Some(Verbosity::High),
            _ => return Err(verbosity.refuse("must be one of `low`, `medium` and `high`")),
        },
    };
    fields.finish(UNKNOWN)?;
    Ok(TextSettings { format, verbosity })
}

fn read_format<'a>(node: &Node<'_, 'a>) -> Result<Option<Format<'a>>, Untranslatable> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?;
    let format = match kind.string()?.as_str() {
        "text" => None,
        "json_object" => Some(Format::Json),
        "json_schema" => Some(Format::Schema {
            name: fields.require("name")?.string()?,
            description: fields.string("description")?,
            strict: fields.boolean("strict")?,
            schema: fields.require("schema")?.raw_object()?,
        }),
        _ => return Err(kind.refuse("must be one of `text`, `json_object` and `json_schema`")),
    };
    fields.finish(UNKNOWN)?;
    Ok(format)
}

pub(super) fn read_reasoning(node: &Node<'_, '_>) -> Result<Option<Effort>, Untranslatable> {
    let mut fields = node.object()?;
    let effort = fields.take("effort").map(|node| Effort::read(&node)).transpose()?;
    // The reasoning itself is told instead of a summary, and chat templates decide by themselves
    // how much of it they keep.
    fields.leave_out(&["summary", "generate_summary", "context"]);
    fields.leave_out_if(&[("mode", &[r#""standard""#])]);
    fields.finish(UNKNOWN)?;
    Ok(effort)
}

pub(super) fn check_include(node: &Node<'_, '_>) -> Result<(), Untranslatable> {
    for item in node.list()? {
        let name = item.string()?;
        if !NOTHING_TO_INCLUDE.contains(&name.as_str()) {
            return Err(item.refuse(format!("is `{name}`, which this model cannot report")));
        }
    }
    Ok(())
}
