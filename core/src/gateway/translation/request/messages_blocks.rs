use crate::gateway::translation::fields::{Node, Object, Untranslatable};

/// What is wrong with a field that nobody knows.
pub(super) const UNKNOWN: &str =
    "has no counterpart in Chat Completions; leave it out for this model";

/// Reads a block that must be one of text.
pub(super) fn read_text(
    fields: &mut Object<'_, '_>,
    block: &Node<'_, '_>,
) -> Result<String, Untranslatable> {
    let kind = fields.require("type")?.string()?;
    if kind != "text" {
        return Err(block.refuse(format!("must be a text block, not `{kind}`")));
    }
    take_text(fields)
}

/// The text of a text block, whose type was taken.
pub(super) fn take_text(fields: &mut Object<'_, '_>) -> Result<String, Untranslatable> {
    let text = fields.require("text")?.string()?;
    finish_block(fields)?;
    Ok(text)
}

/// Refuses what is left of a block.
pub(super) fn finish_block(fields: &mut Object<'_, '_>) -> Result<(), Untranslatable> {
    // Only tools on Anthropic's servers call others; their own blocks are refused.
    fields.leave_out(&["cache_control", "caller"]);
    fields.leave_out_if(&[("citations", &["[]"])]);
    fields.finish(UNKNOWN)
}
