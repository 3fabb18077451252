//! The output of a response: its items, as they are put together.

use serde::{Serialize, Serializer};

use super::echo::ResponsesEcho;
use super::request::tools::CustomInput;
use super::status::Status;
use crate::gateway::translation::stream::{Closing, Opening};

/// The items of a response in their order. The last one is open until the next begins.
#[derive(Debug)]
pub(super) struct Output {
    /// Makes the ids of the items unique.
    id: String,
    items: Vec<Item>,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    status: ItemStatus,
    pub(super) content: Content,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    InProgress,
    Completed,
    Incomplete,
}

#[derive(Debug)]
pub(super) enum Content {
    Reasoning { parts: Vec<Part> },
    Message { parts: Vec<Part> },
    FunctionCall { call: Call, arguments: String },
    CustomToolCall { call: Call, input: String },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    ReasoningText { text: String },
    OutputText { text: String, annotations: [(); 0], logprobs: [(); 0] },
    Refusal { refusal: String },
}

#[derive(Debug)]
pub(super) struct Call {
    id: String,
    pub(super) name: String,
    namespace: Option<String>,
}

impl Output {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), items: Vec::new() }
    }

    /// Adds a whole block.
    pub(super) fn push(
        &mut self,
        echo: &ResponsesEcho,
        opening: &Opening<'_>,
        text: &str,
        closing: &Closing<'_>,
    ) {
        self.open(echo, opening);
        self.append(text);
        self.close(closing);
    }

    /// The last item and its index.
    pub(super) fn last(&self) -> Option<(usize, &Item)> {
        self.items.iter().enumerate().next_back()
    }

    /// Whether a block becomes a part of the last item.
    pub(super) fn continues(&self, block: &Opening<'_>) -> bool {
        let is_message =
            self.items.last().is_some_and(|item| matches!(item.content, Content::Message { .. }));
        is_message && matches!(block, Opening::Text | Opening::Refusal)
    }

    pub(super) fn open(&mut self, echo: &ResponsesEcho, block: &Opening<'_>) {
        let part = match block {
            Opening::Thinking => {
                let parts = vec![Part::ReasoningText { text: String::new() }];
                return self.add("rs", Content::Reasoning { parts });
            }
            Opening::Call { place, id, name } => return self.open_call(echo, *place, *id, name),
            Opening::Text => {
                Part::OutputText { text: String::new(), annotations: [], logprobs: [] }
            }
            Opening::Refusal => Part::Refusal { refusal: String::new() },
        };
        match self.items.last_mut() {
            Some(Item { content: Content::Message { parts }, .. }) => parts.push(part),
            _ => self.add("msg", Content::Message { parts: vec![part] }),
        }
    }

    fn open_call(&mut self, echo: &ResponsesEcho, place: usize, id: Option<&str>, name: &str) {
        let callee = echo.callee(name);
        let call = Call {
            id: id.map_or_else(|| format!("call_{}_{place}", self.id), ToOwned::to_owned),
            name: callee.map_or(name, |callee| &callee.name).to_owned(),
            namespace: callee.and_then(|callee| callee.namespace.clone()),
        };
        if callee.is_some_and(|callee| callee.is_custom) {
            self.add("ctc", Content::CustomToolCall { call, input: String::new() });
        } else {
            self.add("fc", Content::FunctionCall { call, arguments: String::new() });
        }
    }

    fn add(&mut self, prefix: &str, content: Content) {
        self.end_item(ItemStatus::Completed);
        let id = format!("{prefix}_{}_{}", self.id, self.items.len());
        self.items.push(Item { id, status: ItemStatus::InProgress, content });
    }

    /// Adds to the open block.
    pub(super) fn append(&mut self, added: &str) {
        let Some(item) = self.items.last_mut() else { return };
        match &mut item.content {
            Content::Reasoning { parts } | Content::Message { parts } => match parts.last_mut() {
                Some(
                    Part::ReasoningText { text }
                    | Part::OutputText { text, .. }
                    | Part::Refusal { refusal: text },
                ) => text.push_str(added),
                None => {}
            },
            Content::FunctionCall { arguments, .. } => arguments.push_str(added),
            // It is an argument, which can be read once it is whole.
            Content::CustomToolCall { .. } => {}
        }
    }

    /// Ends the open block, though not its item.
    pub(super) fn close(&mut self, block: &Closing<'_>) {
        let Closing::Call { arguments: all, is_cut, .. } = block else { return };
        let Some(item) = self.items.last_mut() else { return };
        match &mut item.content {
            Content::FunctionCall { arguments, .. } => {
                if all.trim().is_empty() {
                    // A call that was cut must not look like one without arguments.
                    *arguments = if *is_cut { String::new() } else { "{}".into() };
                }
            }
            Content::CustomToolCall { input, .. } => *input = custom_input(all),
            Content::Reasoning { .. } | Content::Message { .. } => {}
        }
    }

    /// Completes the last item, as another follows.
    pub(super) fn complete(&mut self) {
        self.end_item(ItemStatus::Completed);
    }

    /// Ends the last item together with the response.
    pub(super) fn end(&mut self, status: &Status<'_>) {
        self.end_item(match status {
            Status::Completed => ItemStatus::Completed,
            Status::InProgress | Status::Incomplete { .. } | Status::Failed(_) => {
                ItemStatus::Incomplete
            }
        });
    }

    fn end_item(&mut self, status: ItemStatus) {
        if let Some(item) = self.items.last_mut() {
            item.status = status;
        }
    }
}

/// The text in the arguments of a custom tool. A model that wrote its text bare, without the
/// object around it, is taken at its word; the tool judges the text anyway.
fn custom_input(arguments: &str) -> String {
    serde_json::from_str::<CustomInput<'_>>(arguments)
        .map_or_else(|_| arguments.to_owned(), |arguments| arguments.input.into_owned())
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.items.iter().map(Item::written))
    }
}

impl Item {
    pub(super) fn written(&self) -> WrittenItem<'_> {
        let Self { id, status, content } = self;
        let status = *status;
        match content {
            Content::Reasoning { parts } => {
                WrittenItem::Reasoning { id, status, summary: [], content: parts }
            }
            Content::Message { parts } => {
                WrittenItem::Message { id, status, role: "assistant", content: parts }
            }
            Content::FunctionCall { call, arguments } => WrittenItem::FunctionCall {
                id,
                status,
                call_id: &call.id,
                name: &call.name,
                namespace: call.namespace.as_deref(),
                arguments,
            },
            Content::CustomToolCall { call, input } => WrittenItem::CustomToolCall {
                id,
                status,
                call_id: &call.id,
                name: &call.name,
                namespace: call.namespace.as_deref(),
                input,
            },
        }
    }

    /// The same before its first part, which is there already.
    pub(super) fn written_empty(&self) -> WrittenItem<'_> {
        let mut item = self.written();
        match &mut item {
            WrittenItem::Reasoning { content, .. } | WrittenItem::Message { content, .. } => {
                *content = &[];
            }
            WrittenItem::FunctionCall { .. } | WrittenItem::CustomToolCall { .. } => {}
        }
        item
    }

    /// The last part of a message or of reasoning, and its index.
    pub(super) fn last_part(&self) -> Option<(usize, &Part)> {
        match &self.content {
            Content::Reasoning { parts } | Content::Message { parts } => {
                parts.iter().enumerate().next_back()
            }
            Content::FunctionCall { .. } | Content::CustomToolCall { .. } => None,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WrittenItem<'a> {
    Reasoning {
        id: &'a str,
        status: ItemStatus,
        summary: [(); 0],
        content: &'a [Part],
    },
    Message {
        id: &'a str,
        status: ItemStatus,
        role: &'static str,
        content: &'a [Part],
    },
    FunctionCall {
        id: &'a str,
        status: ItemStatus,
        call_id: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        arguments: &'a str,
    },
    CustomToolCall {
        id: &'a str,
        status: ItemStatus,
        call_id: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        input: &'a str,
    },
}
