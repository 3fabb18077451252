use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::lost::Lost;
use super::request::Kind;

/// What the data of an event are.
pub(super) enum Event {
    /// A piece of the answer.
    Chunk(Box<Chunk>),
    /// Usage without a choice.
    Usage(Fields, Told),
    /// The engine has failed, and says so.
    Failure,
    /// Anything else.
    Other,
}

/// A chunk with its one choice.
#[derive(Debug)]
pub(super) struct Chunk {
    fields: Fields,
    choice: Fields,
    /// Of a conversation.
    delta: Option<Fields>,
    pub(super) text: String,
    /// The tokens of the text.
    pub(super) ids: Option<Vec<u32>>,
    /// Those of the prompt, which come with the first chunk.
    pub(super) prompt: Option<Vec<u32>>,
    pub(super) usage: Option<Told>,
    pub(super) has_role: bool,
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

impl Event {
    pub(super) fn read(kind: Kind, data: &str) -> Self {
        let Some(mut fields) = Fields::read(data.as_bytes()) else { return Self::Other };
        if let Some(error) = fields.raw("error").filter(|error| error.get() != "null") {
            return if is_ours(error) { Self::Other } else { Self::Failure };
        }
        let Some(mut choices) = fields.get::<Vec<Fields>>("choices") else { return Self::Other };
        let usage: Option<Told> = fields.get("usage");
        let choice = choices.pop();
        let (mut choice, usage) = match (choice, usage) {
            (Some(choice), usage) if choices.is_empty() => (choice, usage),
            (None, Some(told)) => return Self::Usage(fields, told),
            _ => return Self::Other,
        };
        let delta = if kind == Kind::Chat { choice.get::<Fields>("delta") } else { None };
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
        for holder in [&mut fields, &mut choice] {
            holder.remove("token_ids");
            holder.remove("prompt_token_ids");
        }
        let chunk = Chunk { fields, choice, delta, text, ids, prompt, usage, has_role, foreign };
        Self::Chunk(Box::new(chunk))
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

impl Chunk {
    pub(super) fn is_last(&self) -> bool {
        self.choice.has("finish_reason")
    }

    /// Whether the engine has given the answer up.
    pub(super) fn is_aborted(&self) -> bool {
        let reason = self.choice.get::<String>("finish_reason");
        matches!(reason.as_deref(), Some("abort" | "error"))
    }

    /// Takes out the reason why the answer ended.
    pub(super) fn take_end(&mut self) -> Value {
        let reason = self.choice.get("finish_reason").unwrap_or_default();
        self.choice.set("finish_reason", &Value::Null);
        reason
    }

    pub(super) fn head(&self) -> Head {
        let mut head = self.fields.clone();
        for name in ["choices", "usage", "prompt_text", "metrics", "system_fingerprint"] {
            head.remove(name);
        }
        Head(head)
    }

    /// As it came, without what its caller has not asked for.
    pub(super) fn cleaned(&self, keeps_usage: bool, keeps_role: bool) -> String {
        let (mut fields, mut choice) = (self.fields.clone(), self.choice.clone());
        if !keeps_usage {
            fields.remove("usage");
        }
        if let Some(delta) = self.delta.as_ref().filter(|_| self.has_role && !keeps_role) {
            let mut delta = delta.clone();
            delta.remove("role");
            choice.set("delta", &delta);
        }
        fields.set("choices", &[choice]);
        fields.to_json()
    }
}

impl Head {
    /// A chunk with more text, and the end of another one.
    pub(super) fn with_text(&self, kind: Kind, text: &str, end: Option<&Chunk>) -> String {
        let field = |name: &str| {
            let value = end.and_then(|chunk| chunk.choice.get::<Value>(name));
            value.unwrap_or_default()
        };
        self.chunk(kind, text, &field("finish_reason"), &field("stop_reason"))
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
