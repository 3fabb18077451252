//! The events of a message, as far as they are read.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::gateway::translation::answer::{MessagesTokens, StopDetails};

/// The fields of all kinds of events: most have few of them.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    pub(super) r#type: String,
    pub(super) message: Option<Message>,
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    pub(super) content_block: Option<ContentBlock<'a>>,
    pub(super) delta: Option<EventDelta>,
    pub(super) usage: Option<MessagesTokens>,
}

#[derive(Deserialize)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) usage: Option<MessagesTokens>,
}

#[derive(Deserialize)]
pub(super) struct ContentBlock<'a> {
    pub(super) r#type: String,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct EventDelta {
    pub(super) r#type: Option<String>,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) partial_json: Option<String>,
    pub(super) stop_reason: Option<String>,
    pub(super) stop_sequence: Option<String>,
    pub(super) stop_details: Option<StopDetails>,
}
