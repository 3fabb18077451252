use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::{Fields, View};
use super::lost::Lost;
use super::request::Kind;

/// What the data of an event are.
pub(super) enum Event<'a> {
    /// A piece of the answer.
    Chunk(Box<Chunk<'a>>),
    /// Usage without a choice.
    Usage(Told),
    /// The engine has failed, and says so.
    Failure,
    /// Anything else.
    Other,
}

/// What is taken out of chunks: nobody asked for it but us.
const IDS: [&str; 2] = ["token_ids", "prompt_token_ids"];

/// What one chunk has for itself.
const OF_ONE_CHUNK: [&str; 7] = [
    "choices",
    "usage",
    "token_ids",
    "prompt_token_ids",
    "prompt_text",
    "metrics",
    "system_fingerprint",
];

/// A chunk with its one choice.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    fields: View<'a>,
    choice: View<'a>,
    /// Of a conversation.
    delta: Option<View<'a>>,
    pub(super) text: String,
    /// The tokens of the text.
    pub(super) ids: Option<Vec<u32>>,
    /// Those of the prompt, which come with the first chunk.
    pub(super) prompt: Option<Vec<u32>>,
    pub(super) usage: Option<Told>,
    pub(super) has_role: bool,
    /// The reason why the answer ended was taken out.
    is_open: bool,
    /// Something that is not text, and cannot be continued.
    pub(super) foreign: Option<Lost>,
}

/// Usage as a replica tells it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    pub(super) prompt_tokens: u64,
    #[serde(default)]
    pub(super) completion_tokens: u64,
    #[serde(default)]
    pub(super) prompt_tokens_details: Option<Value>,
}

/// What has to be the same in every chunk of a stream.
#[derive(Clone, Debug)]
pub(super) struct Head(Fields);

impl<'a> Event<'a> {
    pub(super) fn read(kind: Kind, data: &'a str) -> Self {
        let Some(fields) = View::read(data) else { return Self::Other };
        if let Some(error) = fields.raw("error").filter(|error| error.get() != "null") {
            return if is_ours(error) { Self::Other } else { Self::Failure };
        }
        let Some(mut choices) = fields.get::<Vec<View<'a>>>("choices") else { return Self::Other };
        let usage: Option<Told> = fields.get("usage");
        let choice = choices.pop();
        let (choice, usage) = match (choice, usage) {
            (Some(choice), usage) if choices.is_empty() => (choice, usage),
            (None, Some(told)) => return Self::Usage(told),
            _ => return Self::Other,
        };
        let delta = if kind == Kind::Chat { choice.get::<View<'a>>("delta") } else { None };
        let mut foreign = None;
        if choice.get::<u64>("index").unwrap_or(0) != 0 {
            foreign = Some(Lost::Unknown);
        }
        let (mut has_role, mut text) = (false, String::new());
        match &delta {
            Some(delta) => {
                for (name, value) in delta.iter() {
                    match name {
                        "role" => has_role = true,
                        "content" => text = delta.get(name).unwrap_or_default(),
                        _ if matches!(value.get(), "null" | "\"\"" | "[]" | "{}") => {}
                        "reasoning" | "reasoning_content" => foreign = Some(Lost::Reasoning),
                        "tool_calls" | "function_call" => foreign = Some(Lost::ToolCalls),
                        _ => foreign = Some(Lost::Unknown),
                    }
                }
            }
            None if kind == Kind::Chat => foreign = Some(Lost::Unknown),
            None => text = choice.get("text").unwrap_or_default(),
        }
        let prompt = fields.get("prompt_token_ids").or_else(|| choice.get("prompt_token_ids"));
        let ids = choice.get("token_ids");
        let is_open = false;
        Self::Chunk(Box::new(Chunk {
            fields,
            choice,
            delta,
            text,
            ids,
            prompt,
            usage,
            has_role,
            is_open,
            foreign,
        }))
    }
}

/// Whether an error is about the request, so that every replica would say it.
fn is_ours(error: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Error {
        code: u16,
    }
    serde_json::from_str::<Error>(error.get())
        .is_ok_and(|error| (400..500).contains(&error.code) && error.code != 429)
}

impl Chunk<'_> {
    pub(super) fn is_last(&self) -> bool {
        !self.is_open && self.choice.has("finish_reason")
    }

    /// Whether the engine has given the answer up.
    pub(super) fn is_aborted(&self) -> bool {
        let reason = self.choice.get::<String>("finish_reason");
        matches!(reason.as_deref(), Some("abort" | "error"))
    }

    /// Takes out the reason why the answer ended.
    pub(super) fn take_end(&mut self) -> Value {
        let reason = self.choice.get("finish_reason").unwrap_or_default();
        self.is_open = true;
        reason
    }

    pub(super) fn head(&self) -> Head {
        Head(self.fields.to_fields(&OF_ONE_CHUNK))
    }

    /// As it came, without what its caller has not asked for.
    pub(super) fn cleaned(&self, keeps_usage: bool, keeps_role: bool) -> String {
        // What was read can be written.
        serde_json::to_string(&Cleaned { chunk: self, keeps_usage, keeps_role }).unwrap_or_default()
    }

    /// What a choice says about its end to others.
    fn reason(&self) -> Value {
        if self.is_open {
            Value::Null
        } else {
            self.choice.get("finish_reason").unwrap_or_default()
        }
    }
}

/// A chunk, its choice and its delta as they are written again. Nothing is copied on the way.
struct Cleaned<'a> {
    chunk: &'a Chunk<'a>,
    keeps_usage: bool,
    keeps_role: bool,
}

struct Choices<'a>(&'a Cleaned<'a>);

struct Choice<'a>(&'a Cleaned<'a>);

struct Delta<'a>(&'a View<'a>);

impl Serialize for Cleaned<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, value) in self.chunk.fields.iter() {
            match name {
                "choices" => map.serialize_entry(name, &Choices(self))?,
                "usage" if !self.keeps_usage => {}
                _ if IDS.contains(&name) => {}
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

impl Serialize for Choices<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(1))?;
        list.serialize_element(&Choice(self.0))?;
        list.end()
    }
}

impl Serialize for Choice<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(Cleaned { chunk, keeps_role, .. }) = self;
        let mut map = to.serialize_map(None)?;
        for (name, value) in chunk.choice.iter() {
            match (name, &chunk.delta) {
                ("delta", Some(delta)) if chunk.has_role && !keeps_role => {
                    map.serialize_entry(name, &Delta(delta))?;
                }
                ("finish_reason", _) if chunk.is_open => map.serialize_entry(name, &())?,
                _ if IDS.contains(&name) => {}
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

impl Serialize for Delta<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, value) in self.0.iter().filter(|(name, _)| *name != "role") {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Head {
    /// A chunk with more text, and the end of another one.
    pub(super) fn with_text(&self, kind: Kind, text: &str, end: &Chunk<'_>) -> String {
        let stop = end.choice.get::<Value>("stop_reason").unwrap_or_default();
        self.chunk(kind, text, &end.reason(), &stop)
    }

    /// The last chunk of an answer that has ended for this reason.
    pub(super) fn end(&self, kind: Kind, reason: &Value) -> String {
        self.chunk(kind, "", reason, &Value::Null)
    }

    /// A chunk of usage alone.
    pub(super) fn with_usage(&self, usage: &Value) -> String {
        let mut fields = self.0.clone();
        fields.set("choices", &[(); 0]);
        fields.set("usage", usage);
        fields.to_json()
    }

    fn chunk(&self, kind: Kind, text: &str, finish: &Value, stop: &Value) -> String {
        let mut choice = Fields::default();
        choice.set("index", &0);
        match kind {
            Kind::Chat => {
                let mut delta = Fields::default();
                delta.set("content", &text);
                choice.set("delta", &delta);
            }
            Kind::Text => choice.set("text", &text),
        }
        choice.set("logprobs", &Value::Null);
        choice.set("finish_reason", finish);
        choice.set("stop_reason", stop);
        let mut fields = self.0.clone();
        fields.set("choices", &[choice]);
        fields.to_json()
    }
}

/// The same with usage in it.
pub(super) fn and_usage(chunk: &str, usage: &Value) -> String {
    let Some(mut fields) = Fields::read(chunk.as_bytes()) else { return chunk.to_owned() };
    fields.set("usage", usage);
    fields.to_json()
}
