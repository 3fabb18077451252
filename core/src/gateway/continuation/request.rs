use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::Fields;

/// Which endpoint a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// Why a request cannot be continued: one of its fields would mean something else in the middle of
/// an answer, or nobody knows what it would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` cannot be continued")]
pub struct Unfit {
    /// The field whose value would mean something else in a continuation.
    pub field: String,
}

/// A streamed request that can be continued.
#[derive(Clone, Debug)]
pub struct Request {
    kind: Kind,
    /// As it is sent.
    fields: Fields,
    /// Whether its caller asks for usage at the end, and with every chunk.
    usage: bool,
    continuous_usage: bool,
}

/// What limits the tokens of an answer; of the two vLLM reads the first that is there.
const LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

impl Request {
    /// Arms a request, if it can be continued.
    ///
    /// # Errors
    /// With the first field that speaks against it. Fields that are not known here do, too.
    pub fn arm(kind: Kind, body: &[u8]) -> Result<Self, Unfit> {
        let unfit = |field: &str| Unfit { field: field.to_owned() };
        let mut fields = Fields::read(body).ok_or_else(|| unfit("body"))?;
        if let Some((field, _)) = fields.iter().find(|(name, value)| !fits(kind, name, value)) {
            return Err(unfit(field));
        }
        if !fields.get::<bool>("stream").unwrap_or(false) {
            return Err(unfit("stream"));
        }
        let of_kind = match kind {
            Kind::Chat => "messages",
            Kind::Text => "prompt",
        };
        if !fields.has(of_kind) {
            return Err(unfit(of_kind));
        }
        if kind == Kind::Text && fields.get::<u64>("max_tokens").is_none() {
            // Engines have limits of their own (vLLM's is 16, also for null), of which nobody knows
            // what is left.
            return Err(unfit("max_tokens"));
        }
        let mut options = match fields.raw("stream_options") {
            None => Fields::default(),
            Some(raw) if raw.get() == "null" => Fields::default(),
            Some(raw) => {
                Fields::read(raw.get().as_bytes()).ok_or_else(|| unfit("stream_options"))?
            }
        };
        let asks = |name| options.get::<bool>(name).unwrap_or(false);
        let usage = asks("include_usage");
        let continuous_usage = usage && asks("continuous_usage_stats");
        options.set("include_usage", &true);
        options.set("continuous_usage_stats", &true);
        fields.set("stream_options", &options);
        fields.set("return_token_ids", &true);
        Ok(Self { kind, fields, usage, continuous_usage })
    }

    /// Which endpoint it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its body.
    pub fn body(&self) -> String {
        self.fields.to_json()
    }

    pub(super) fn asks_for_usage(&self) -> bool {
        self.usage
    }

    pub(super) fn asks_for_continuous_usage(&self) -> bool {
        self.continuous_usage
    }

    /// How many more tokens the answer may have, of which so many have come; none where the request
    /// does not say.
    pub(super) fn left(&self, generated: u64) -> Option<u64> {
        let limit = LIMITS.iter().find_map(|name| self.fields.get::<u64>(name))?;
        Some(limit.saturating_sub(generated))
    }

    /// The body that lets another replica continue a conversation behind so many tokens, which read
    /// as `text`.
    pub(super) fn behind_text(&self, text: &str, generated: u64) -> String {
        let mut fields = self.shortened(generated);
        let mut messages: Vec<Box<RawValue>> = self.fields.get("messages").unwrap_or_default();
        let mut said = Fields::default();
        said.set("role", &"assistant");
        said.set("content", &text);
        messages.extend(serde_json::value::to_raw_value(&said));
        fields.set("messages", &messages);
        fields.set("add_generation_prompt", &false);
        fields.set("continue_final_message", &true);
        fields.to_json()
    }

    /// The same by the tokens alone, for `/v1/completions`, with at most `limit` more of them.
    pub(super) fn behind_tokens(&self, prompt: &[u32], generated: &[u32], limit: u64) -> String {
        let mut fields = self.shortened(generated.len() as u64);
        if self.kind == Kind::Chat {
            for name in OF_TEMPLATES.iter().chain(&LIMITS) {
                fields.remove(name);
            }
            fields.set("max_tokens", &limit);
        }
        fields.remove("messages");
        fields.set("prompt", &prompt.iter().chain(generated).collect::<Vec<_>>());
        fields.to_json()
    }

    /// Whether the tokens of its prompt say all of it. Those of images do not.
    pub(super) fn is_text(&self) -> bool {
        #[derive(Deserialize)]
        struct Message {
            content: Option<Value>,
        }
        let is_text = |part: &Value| {
            part.is_string() || part.get("type").and_then(Value::as_str) == Some("text")
        };
        let messages: Vec<Message> = match self.kind {
            Kind::Chat => match self.fields.get("messages") {
                Some(messages) => messages,
                None => return false,
            },
            Kind::Text => Vec::new(),
        };
        messages.iter().all(|message| match &message.content {
            Some(Value::Array(parts)) => parts.iter().all(is_text),
            Some(Value::String(_) | Value::Null) | None => true,
            Some(_) => false,
        })
    }

    fn shortened(&self, generated: u64) -> Fields {
        let mut fields = self.fields.clone();
        for name in LIMITS {
            if let Some(limit) = fields.get::<u64>(name) {
                fields.set(name, &limit.saturating_sub(generated));
            }
        }
        fields
    }
}

/// What makes the prompt of a conversation, and means nothing to its tokens.
const OF_TEMPLATES: [&str; 8] = [
    "add_generation_prompt",
    "add_special_tokens",
    "chat_template",
    "chat_template_kwargs",
    "documents",
    "parallel_tool_calls",
    "reasoning_effort",
    "tool_choice",
];

/// Whether a request with this field can be continued.
///
/// What counts or looks back over the tokens of the answer does not know those of an earlier
/// stream: penalties, `min_tokens`, `stop`, `bad_words`, a grammar. A `seed` begins anew. (The
/// repetition penalty that a model's own `generation_config` may set covers the prompt as well, and
/// stays what it was.) Where only the prompt depends on a field, the tokens of the prompt tell
/// whether it is still the same.
fn fits(kind: Kind, name: &str, value: &RawValue) -> bool {
    if value.get() == "null" {
        return true;
    }
    let read = || serde_json::from_str::<Value>(value.get()).unwrap_or_default();
    match name {
        "model" | "stream" | "stream_options" | "temperature" | "top_p" | "top_k" | "min_p"
        | "logit_bias" | "stop_token_ids" | "allowed_token_ids" | "ignore_eos" | "user"
        | "metadata" | "store" | "service_tier" | "priority" | "cache_salt"
        | "add_special_tokens" => true,
        "max_tokens" | "max_completion_tokens" => read().as_u64().is_some_and(|limit| limit > 0),
        "n" | "best_of" => read() == 1,
        "logprobs"
        | "echo"
        | "use_beam_search"
        | "return_token_ids"
        | "continue_final_message"
        | "return_tokens_as_token_ids" => read() == false,
        "top_logprobs" | "min_tokens" => read() == 0,
        "presence_penalty" | "frequency_penalty" => read().as_f64() == Some(0.0),
        "repetition_penalty" | "length_penalty" => read().as_f64() == Some(1.0),
        "stop" | "bad_words" | "tools" | "functions" => {
            matches!(read(), Value::Array(all) if all.is_empty())
        }
        "suffix" => read() == "",
        "skip_special_tokens" | "spaces_between_special_tokens" => read() == true,
        "messages" => kind == Kind::Chat && is_open(value),
        "prompt" => {
            kind == Kind::Text
                && match read() {
                    Value::String(_) => true,
                    Value::Array(all) => !all.is_empty() && all.iter().all(Value::is_u64),
                    _ => false,
                }
        }
        "add_generation_prompt" | "include_reasoning" => kind == Kind::Chat && read() == true,
        "chat_template"
        | "chat_template_kwargs"
        | "documents"
        | "reasoning_effort"
        | "parallel_tool_calls" => kind == Kind::Chat,
        "tool_choice" | "function_call" => read() == "none" || read() == "auto",
        "response_format" => read().get("type").and_then(Value::as_str) == Some("text"),
        _ => false,
    }
}

/// Whether the last message asks for an answer, and is not the beginning of one.
fn is_open(messages: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Message {
        role: String,
    }
    let messages: Result<Vec<Message>, _> = serde_json::from_str(messages.get());
    messages.is_ok_and(|messages| messages.last().is_none_or(|last| last.role != "assistant"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(kind: Kind, field: &str, value: &Value) -> Result<Request, Unfit> {
        let mut body = match kind {
            Kind::Chat => json!({"messages": [{"role": "user", "content": "hi"}]}),
            Kind::Text => json!({"prompt": "hi", "max_tokens": 9}),
        };
        body["model"] = "m".into();
        body["stream"] = true.into();
        if !field.is_empty() {
            body[field] = value.clone();
        }
        Request::arm(kind, body.to_string().as_bytes())
    }

    #[test]
    fn what_would_mean_something_else_later_is_not_armed() {
        let said =
            json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}]);
        for (field, value) in [
            ("stream", json!(false)),
            ("n", json!(2)),
            ("tools", json!([{"type": "function"}])),
            ("functions", json!([{}])),
            ("tool_choice", json!("required")),
            ("response_format", json!({"type": "json_object"})),
            ("logprobs", json!(true)),
            ("logprobs", json!(1)),
            ("stop", json!("x")),
            ("stop", json!(["x"])),
            ("min_tokens", json!(4)),
            ("presence_penalty", json!(0.1)),
            ("frequency_penalty", json!(-0.5)),
            ("repetition_penalty", json!(1.05)),
            ("seed", json!(7)),
            ("continue_final_message", json!(true)),
            ("add_generation_prompt", json!(false)),
            ("messages", said),
            ("max_tokens", json!("7")),
            ("max_tokens", json!(0)),
            ("return_token_ids", json!(true)),
            ("include_reasoning", json!(false)),
            ("echo", json!(true)),
            ("stream_options", json!(7)),
            ("what_comes_next", json!(1)),
        ] {
            let unfit = with(Kind::Chat, field, &value).map(|_| ()).unwrap_err();
            assert_eq!(unfit.field, field, "{value}");
        }
        for (field, value) in [
            ("prompt", json!(["a", "b"])),
            ("prompt", json!([[1], [2]])),
            ("best_of", json!(2)),
            ("max_tokens", json!(null)),
        ] {
            assert_eq!(with(Kind::Text, field, &value).map(|_| ()).unwrap_err().field, field);
        }
        assert!(Request::arm(Kind::Chat, br#"{"stream":true}"#).is_err());
        assert!(Request::arm(Kind::Text, br#"{"stream":true,"prompt":"a"}"#).is_err());
        assert!(Request::arm(Kind::Chat, br#"{"stream":true,"n":1,"n":1,"messages":[]}"#).is_err());
    }

    #[test]
    fn what_is_neutral_or_said_of_the_prompt_is_armed() {
        for (field, value) in [
            ("", json!(null)),
            ("n", json!(1)),
            ("tools", json!([])),
            ("tool_choice", json!("none")),
            ("response_format", json!({"type": "text"})),
            ("stop", json!([])),
            ("seed", json!(null)),
            ("temperature", json!(0.7)),
            ("presence_penalty", json!(0)),
            ("repetition_penalty", json!(1.0)),
            ("logit_bias", json!({"5": 1})),
            ("max_completion_tokens", json!(5)),
            ("chat_template_kwargs", json!({"enable_thinking": false})),
        ] {
            assert!(with(Kind::Chat, field, &value).is_ok(), "{field}: {value}");
        }
        for (field, value) in [("prompt", json!([1, 2])), ("logprobs", json!(null))] {
            assert!(with(Kind::Text, field, &value).is_ok(), "{field}: {value}");
        }
    }

    #[test]
    fn an_armed_body_asks_for_ids_and_usage_and_else_keeps_its_bytes() {
        let body = br#"{ "temperature":1.50,"stream":true, "messages":[ {"role":"user"} ],"stream_options":{"a":1}}"#;
        let request = Request::arm(Kind::Chat, body);
        // A field of the options that nobody knows is the replica's to refuse.
        assert_eq!(
            request.unwrap().body(),
            r#"{"temperature":1.50,"stream":true,"messages":[ {"role":"user"} ],"stream_options":{"a":1,"include_usage":true,"continuous_usage_stats":true},"return_token_ids":true}"#
        );
    }

    #[test]
    fn a_continuation_asks_for_what_is_left() {
        let request = with(Kind::Chat, "max_tokens", &json!(9)).unwrap();
        assert_eq!((request.left(4), request.left(9)), (Some(5), Some(0)));
        let body: Value = serde_json::from_str(&request.behind_text("so far", 4)).unwrap();
        assert_eq!(body["max_tokens"], 5);
        assert_eq!(body["messages"][1], json!({"role": "assistant", "content": "so far"}));
        assert_eq!(body["continue_final_message"], true);
        assert_eq!(body["add_generation_prompt"], false);
        let body: Value = serde_json::from_str(&request.behind_tokens(&[1, 2], &[3], 8)).unwrap();
        assert_eq!((&body["prompt"], &body["max_tokens"]), (&json!([1, 2, 3]), &json!(8)));
        assert!(body.get("messages").is_none() && body["return_token_ids"] == true);
        let open = with(Kind::Chat, "", &json!(null)).unwrap();
        assert_eq!(open.left(1), None);
        let body: Value = serde_json::from_str(&open.behind_tokens(&[1], &[], 7)).unwrap();
        assert_eq!(body["max_tokens"], 7);
    }

    #[test]
    fn tokens_say_all_of_a_prompt_without_images() {
        let text = json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]);
        let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]);
        assert!(with(Kind::Chat, "messages", &text).unwrap().is_text());
        assert!(!with(Kind::Chat, "messages", &image).unwrap().is_text());
    }
}
