use super::UNKNOWN;
use crate::gateway::translation::fields::{Node, Object, Untranslatable};
use crate::gateway::translation::request::{Detail, Image, Part};

/// The content of a message or the output of a tool: a string, or a list of parts.
pub(super) fn read_parts(content: &Node<'_, '_>) -> Result<Vec<Part>, Untranslatable> {
    if content.is_string() {
        return Ok(vec![Part::Text(content.string()?)]);
    }
    content.list()?.map(|part| read_part(&part)).collect()
}

/// Content that must be text.
pub(super) fn read_texts(content: &Node<'_, '_>) -> Result<Vec<String>, Untranslatable> {
    let text = |part| match part {
        Part::Text(text) => Ok(text),
        Part::Image { .. } => Err(content.refuse("must be text")),
    };
    read_parts(content)?.into_iter().map(text).collect()
}

fn read_part(part: &Node<'_, '_>) -> Result<Part, Untranslatable> {
    let mut fields = part.object()?;
    let read = match fields.require("type")?.string()?.as_str() {
        "input_text" => Part::Text(fields.require("text")?.string()?),
        "output_text" => {
            let text = fields.require("text")?.string()?;
            // How likely the words of an earlier answer were.
            fields.leave_out(&["logprobs"]);
            fields.leave_out_if(&[("annotations", &["[]"])]);
            Part::Text(text)
        }
        "refusal" => Part::Text(fields.require("refusal")?.string()?),
        "input_image" => read_image(&mut fields)?,
        kind => {
            return Err(part.refuse(format!("is of type `{kind}`; send text or an `input_image`")));
        }
    };
    fields.leave_out(&["prompt_cache_breakpoint"]);
    fields.finish(UNKNOWN)?;
    Ok(read)
}

fn read_image(fields: &mut Object<'_, '_>) -> Result<Part, Untranslatable> {
    if let Some(file) = fields.take("file_id") {
        return Err(file.refuse(
            "is a file stored at OpenAI, which this model cannot read; send an \
                         `image_url`",
        ));
    }
    let url = fields.require("image_url")?.string()?;
    let detail = match fields.take("detail") {
        None => None,
        Some(detail) => match detail.string()?.as_str() {
            "auto" => None,
            "low" => Some(Detail::Low),
            // The highest that Chat Completions knows.
            "high" | "original" => Some(Detail::High),
            _ => return Err(detail.refuse("must be one of `auto`, `low`, `high` and `original`")),
        },
    };
    Ok(Part::Image { image: Image::Url(url), detail })
}
