use serde::Serialize;

use super::item::{Content, Item, Part, WrittenItem};
use super::response::Response;
use crate::gateway::translation::stream::{BadEvent, Closing, write_named};

/// Writes the events of a response and numbers them. Items come with their index in the output.
#[derive(Debug, Default)]
pub(super) struct Events {
    written: u64,
}

impl Events {
    pub(super) fn response(
        &mut self,
        out: &mut Vec<u8>,
        name: &'static str,
        response: &Response<'_>,
    ) -> Result<(), BadEvent> {
        self.write(out, name, &ResponseData { response })
    }

    pub(super) fn item_added(
        &mut self,
        out: &mut Vec<u8>,
        (output_index, item): (usize, &Item),
    ) -> Result<(), BadEvent> {
        let item = item.written_empty();
        self.write(out, "response.output_item.added", &ItemData { output_index, item })
    }

    pub(super) fn item_done(
        &mut self,
        out: &mut Vec<u8>,
        (output_index, item): (usize, &Item),
    ) -> Result<(), BadEvent> {
        let item = item.written();
        self.write(out, "response.output_item.done", &ItemData { output_index, item })
    }

    /// Tells of the last part of an item, if it has parts.
    pub(super) fn part_added(
        &mut self,
        out: &mut Vec<u8>,
        (output_index, item): (usize, &Item),
    ) -> Result<(), BadEvent> {
        let Some((content_index, part)) = item.last_part() else { return Ok(()) };
        let data = PartData { item_id: &item.id, output_index, content_index, part };
        self.write(out, "response.content_part.added", &data)
    }

    pub(super) fn delta(
        &mut self,
        out: &mut Vec<u8>,
        (output_index, item): (usize, &Item),
        delta: &str,
    ) -> Result<(), BadEvent> {
        let name = match (&item.content, item.last_part()) {
            (_, Some((_, Part::ReasoningText { .. }))) => "response.reasoning_text.delta",
            (_, Some((_, Part::OutputText { .. }))) => "response.output_text.delta",
            (_, Some((_, Part::Refusal { .. }))) => "response.refusal.delta",
            (Content::FunctionCall { .. }, None) => "response.function_call_arguments.delta",
            // The input of a custom tool is told by `late_delta`.
            (
                Content::CustomToolCall { .. }
                | Content::Reasoning { .. }
                | Content::Message { .. },
                None,
            ) => return Ok(()),
        };
        self.write(out, name, &TextData::new(output_index, item, Field::Delta(delta)))
    }

    /// What of a call is known only once it is whole: the input of a custom tool, and that there
    /// are no arguments.
    pub(super) fn late_delta(
        &mut self,
        out: &mut Vec<u8>,
        (output_index, item): (usize, &Item),
        closing: &Closing<'_>,
    ) -> Result<(), BadEvent> {
        let is_blank =
            matches!(closing, Closing::Call { arguments, .. } if arguments.trim().is_empty());
        let (name, delta) = match &item.content {
            Content::FunctionCall { arguments, .. } if is_blank => {
                ("response.function_call_arguments.delta", arguments)
            }
            Content::CustomToolCall { input, .. } => {
                ("response.custom_tool_call_input.delta", input)
            }
            Content::FunctionCall { .. } | Content::Reasoning { .. } | Content::Message { .. } => {
                return Ok(());
            }
        };
        if delta.is_empty() {
            return Ok(());
        }
        self.write(out, name, &TextData::new(output_index, item, Field::Delta(delta)))
    }

    /// Tells that a part is whole, or the arguments of a call.
    pub(super) fn part_done(
        &mut self,
        out: &mut Vec<u8>,
        (output_index, item): (usize, &Item),
    ) -> Result<(), BadEvent> {
        let Some((content_index, part)) = item.last_part() else {
            return self.call_done(out, output_index, item);
        };
        let (name, field) = match part {
            Part::ReasoningText { text } => ("response.reasoning_text.done", Field::Text(text)),
            Part::OutputText { text, .. } => ("response.output_text.done", Field::Text(text)),
            Part::Refusal { refusal } => ("response.refusal.done", Field::Refusal(refusal)),
        };
        self.write(out, name, &TextData::new(output_index, item, field))?;
        let data = PartData { item_id: &item.id, output_index, content_index, part };
        self.write(out, "response.content_part.done", &data)
    }

    fn call_done(
        &mut self,
        out: &mut Vec<u8>,
        output_index: usize,
        item: &Item,
    ) -> Result<(), BadEvent> {
        let (name, field) = match &item.content {
            Content::FunctionCall { call, arguments } => (
                "response.function_call_arguments.done",
                Field::Arguments { name: &call.name, arguments },
            ),
            Content::CustomToolCall { input, .. } => {
                ("response.custom_tool_call_input.done", Field::Input(input))
            }
            Content::Reasoning { .. } | Content::Message { .. } => return Ok(()),
        };
        self.write(out, name, &TextData::new(output_index, item, field))
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        name: &'static str,
        data: &impl Serialize,
    ) -> Result<(), BadEvent> {
        let event = Event { r#type: name, sequence_number: self.written, data };
        self.written += 1;
        write_named(out, name, &event)
    }
}

#[derive(Serialize)]
struct Event<'a, D> {
    r#type: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    data: &'a D,
}

#[derive(Serialize)]
struct ResponseData<'a> {
    response: &'a Response<'a>,
}

#[derive(Serialize)]
struct ItemData<'a> {
    output_index: usize,
    item: WrittenItem<'a>,
}

#[derive(Serialize)]
struct PartData<'a> {
    item_id: &'a str,
    output_index: usize,
    content_index: usize,
    part: &'a Part,
}

/// A piece of a part or of a call, or all of it.
#[derive(Serialize)]
struct TextData<'a> {
    item_id: &'a str,
    output_index: usize,
    /// Of a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    /// Of output text.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
    #[serde(flatten)]
    field: Field<'a>,
}

/// The field that has the text; its name depends on the event.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Field<'a> {
    Delta(&'a str),
    Text(&'a str),
    Refusal(&'a str),
    Input(&'a str),
    #[serde(untagged)]
    Arguments {
        name: &'a str,
        arguments: &'a str,
    },
}

impl<'a> TextData<'a> {
    fn new(output_index: usize, item: &'a Item, field: Field<'a>) -> Self {
        let part = item.last_part();
        let is_output = matches!(part, Some((_, Part::OutputText { .. })));
        Self {
            item_id: &item.id,
            output_index,
            content_index: part.map(|(index, _)| index),
            logprobs: is_output.then_some([]),
            field,
        }
    }
}
