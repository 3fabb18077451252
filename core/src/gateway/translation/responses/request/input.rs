use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::UNKNOWN;
use super::parts::{read_parts, read_texts};
use super::tools::{CustomInput, chat_name};
use crate::gateway::translation::answer::{BrokenArguments, arguments_object};
use crate::gateway::translation::fields::{Node, Object, Untranslatable};
use crate::gateway::translation::request::{Call, Part, ToolResult, Turn, push_result, push_user};

/// Fields of items that are left out; the documentation of the translation says why.
const LEFT_OUT: &[&str] =
    &["id", "status", "phase", "caller", "internal_chat_message_metadata_passthrough"];

/// The arguments of a call that are not an object, made one. A model wrote them so and was told by
/// its client; engines would refuse every request that holds them.
#[derive(Serialize)]
struct InvalidArguments<'t> {
    invalid_arguments: &'t str,
}

/// The instructions before the first turn, and the turns.
pub(super) fn read_input<'a>(
    input: &Node<'_, 'a>,
) -> Result<(Vec<String>, Vec<Turn<'a>>), Untranslatable> {
    if input.is_string() {
        let said = vec![Part::Text(input.string()?)];
        return Ok((Vec::new(), vec![Turn::User { results: Vec::new(), parts: said }]));
    }
    let mut conversation = Conversation::default();
    for item in input.list()? {
        conversation.read_item(&item)?;
    }
    conversation.end_answer();
    Ok((conversation.system, conversation.turns))
}

#[derive(Default)]
struct Conversation<'a> {
    system: Vec<String>,
    turns: Vec<Turn<'a>>,
    answer: Answer<'a>,
}

/// The items of one answer, which Chat Completions has in one message.
#[derive(Default)]
struct Answer<'a> {
    thinking: String,
    texts: Vec<String>,
    calls: Vec<Call<'a>>,
}

impl<'a> Conversation<'a> {
    fn read_item(&mut self, item: &Node<'_, 'a>) -> Result<(), Untranslatable> {
        let mut fields = item.object()?;
        match fields.string("type")?.as_deref() {
            Some("message") | None => self.read_message(&mut fields)?,
            Some("reasoning") => self.answer.thinking.push_str(&read_reasoning(&mut fields)?),
            Some("function_call") => self.answer.calls.push(read_call(&mut fields)?),
            Some("custom_tool_call") => self.answer.calls.push(read_custom_call(&mut fields)?),
            Some("function_call_output" | "custom_tool_call_output") => {
                self.end_answer();
                push_result(&mut self.turns, read_result(&mut fields)?);
            }
            Some("item_reference") => {
                return Err(item.refuse(
                    "refers to a stored item, which this model's server does not have; \
                     send the item itself",
                ));
            }
            Some(kind) => {
                return Err(item.refuse(format!(
                    "is a `{kind}` item, which only OpenAI's own models and servers can read; \
                     leave it out for this model"
                )));
            }
        }
        fields.leave_out(LEFT_OUT);
        fields.finish(UNKNOWN)
    }

    fn read_message(&mut self, fields: &mut Object<'_, 'a>) -> Result<(), Untranslatable> {
        let role = fields.require("role")?;
        let content = fields.require("content")?;
        match role.string()?.as_str() {
            "assistant" => self.answer.texts.extend(read_texts(&content)?),
            "user" => {
                self.end_answer();
                push_user(&mut self.turns, read_parts(&content)?);
            }
            "system" | "developer" => {
                self.end_answer();
                let texts = read_texts(&content)?;
                if self.turns.is_empty() {
                    self.system.extend(texts);
                } else {
                    self.turns.push(Turn::System(texts.join("\n\n")));
                }
            }
            _ => {
                return Err(
                    role.refuse("must be one of `user`, `assistant`, `system` and `developer`")
                );
            }
        }
        Ok(())
    }

    /// Chat Completions has an assistant's text before its calls, so the items of an answer are
    /// taken together, whatever their order.
    fn end_answer(&mut self) {
        let Answer { thinking, texts, calls } = std::mem::take(&mut self.answer);
        // Reasoning alone led to nothing, as in an answer that was cut.
        if !(texts.is_empty() && calls.is_empty()) {
            self.turns.push(Turn::Assistant { thinking, texts, calls });
        }
    }
}

/// The reasoning itself, or a summary where there is nothing else.
fn read_reasoning(fields: &mut Object<'_, '_>) -> Result<String, Untranslatable> {
    let content = fields.take("content").map(|node| read_thoughts(&node)).transpose()?;
    let summary = fields.take("summary").map(|node| read_thoughts(&node)).transpose()?;
    // Only OpenAI's servers can read it.
    fields.leave_out(&["encrypted_content"]);
    let content = content.filter(|text| !text.is_empty());
    Ok(content.or(summary).unwrap_or_default())
}

fn read_thoughts(node: &Node<'_, '_>) -> Result<String, Untranslatable> {
    let mut texts = Vec::new();
    for part in node.list()? {
        let mut fields = part.object()?;
        match fields.require("type")?.string()?.as_str() {
            "reasoning_text" | "summary_text" | "text" => {
                texts.push(fields.require("text")?.string()?);
            }
            kind => return Err(part.refuse(format!("is of type `{kind}`; send text"))),
        }
        fields.finish(UNKNOWN)?;
    }
    Ok(texts.join("\n\n"))
}

fn read_call<'a>(fields: &mut Object<'_, 'a>) -> Result<Call<'a>, Untranslatable> {
    let arguments = fields.require("arguments")?;
    let text = arguments.string()?;
    let input = match arguments_object(&text) {
        Ok(input) => input,
        Err(BrokenArguments) => {
            written(&InvalidArguments { invalid_arguments: &text }, &arguments)?
        }
    };
    call_with(fields, input)
}

fn read_custom_call<'a>(fields: &mut Object<'_, 'a>) -> Result<Call<'a>, Untranslatable> {
    let input = fields.require("input")?;
    let arguments = written(&CustomInput { input: input.string()?.into() }, &input)?;
    call_with(fields, arguments)
}

fn call_with<'a>(
    fields: &mut Object<'_, 'a>,
    input: Box<RawValue>,
) -> Result<Call<'a>, Untranslatable> {
    let namespace = fields.string("namespace")?;
    let name = chat_name(namespace.as_deref(), &fields.require("name")?.string()?);
    Ok(Call { id: fields.require("call_id")?.string()?, name, input: Cow::Owned(input) })
}

fn written(value: &impl Serialize, node: &Node<'_, '_>) -> Result<Box<RawValue>, Untranslatable> {
    to_raw_value(value).map_err(|error| node.refuse(format!("cannot be written: {error}")))
}

fn read_result(fields: &mut Object<'_, '_>) -> Result<ToolResult, Untranslatable> {
    let call = fields.require("call_id")?.string()?;
    let parts = read_parts(&fields.require("output")?)?;
    // The name of the tool, which the call has told already.
    fields.leave_out(&["name"]);
    Ok(ToolResult { call, is_error: false, parts })
}
