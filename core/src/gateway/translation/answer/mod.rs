//! Whole answers.

use serde_json::value::RawValue;

/// Arguments of a tool call that are not a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenArguments;

/// The arguments of a tool call as an object, written as they came; none at all are `{}`.
pub(super) fn arguments_object(arguments: &str) -> Result<Box<RawValue>, BrokenArguments> {
    let text = arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    let raw = RawValue::from_string(text.to_owned()).map_err(|_| BrokenArguments)?;
    if raw.get().starts_with('{') { Ok(raw) } else { Err(BrokenArguments) }
}
