use serde_json::{Map, Value, json};

/// What was said so far, and how to go on.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) model: String,
    pub(super) messages: Vec<Value>,
    pub(super) max_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    pub(super) stream: bool,
}

impl Conversation {
    /// The body of the request.
    pub(super) fn request(&self) -> Value {
        let mut body = Map::new();
        body.insert("model".into(), self.model.as_str().into());
        body.insert("messages".into(), self.messages.clone().into());
        body.insert("stream".into(), self.stream.into());
        if self.stream {
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        if let Some(tokens) = self.max_tokens {
            body.insert("max_tokens".into(), tokens.into());
        }
        if let Some(temperature) = self.temperature {
            body.insert("temperature".into(), temperature.into());
        }
        body.into()
    }
}

pub(super) fn system(text: &str) -> Value {
    json!({"role": "system", "content": text})
}

pub(super) fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

pub(super) fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

/// Puts the chunks of a stream together to the answer that they would be without one.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembly {
    head: Map<String, Value>,
    pub(super) content: String,
    pub(super) reasoning: String,
    pub(super) finish_reason: Option<String>,
}

/// What a chunk adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) content: String,
    pub(super) reasoning: String,
}

impl Assembly {
    /// Takes a chunk.
    pub(super) fn add(&mut self, chunk: &Value) -> Added {
        for field in ["id", "created", "model", "system_fingerprint", "usage"] {
            match chunk.get(field) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    self.head.insert(field.into(), value.clone());
                }
            }
        }
        let Some(choice) = chunk.pointer("/choices/0") else {
            return Added::default();
        };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(reason.to_owned());
        }
        let text = |names: &[&str]| {
            let delta = choice.get("delta").or_else(|| choice.get("message"));
            let found = names.iter().find_map(|name| delta?.get(name)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        let added = Added {
            content: text(&["content", "refusal"]),
            reasoning: text(&["reasoning_content", "reasoning"]),
        };
        self.content.push_str(&added.content);
        self.reasoning.push_str(&added.reasoning);
        added
    }

    /// The whole answer, as `chat.completion`.
    pub(super) fn whole(&self) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        message.insert("content".into(), self.content.as_str().into());
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".into(), self.reasoning.as_str().into());
        }
        let mut whole = self.head.clone();
        whole.insert("object".into(), "chat.completion".into());
        whole.insert(
            "choices".into(),
            json!([{"index": 0, "message": message, "finish_reason": self.finish_reason}]),
        );
        whole.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_the_answer_that_would_have_come_at_once() {
        let mut assembly = Assembly::default();
        let chunk = |delta: Value, reason: Value| {
            json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "demo",
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": null})
        };
        for (delta, reason) in [
            (json!({"role": "assistant", "content": ""}), Value::Null),
            (json!({"reasoning_content": "hm"}), Value::Null),
            (json!({"content": "Hel"}), Value::Null),
            (json!({"content": "lo"}), Value::Null),
            (json!({"content": null}), "stop".into()),
        ] {
            assembly.add(&chunk(delta, reason));
        }
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
        assert_eq!(assembly.add(&json!({"choices": [], "usage": usage})), Added::default());
        assert_eq!(
            assembly.whole(),
            json!({"id": "x", "object": "chat.completion", "created": 1, "model": "demo",
                "choices": [{"index": 0, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}}],
                "usage": usage})
        );
    }

    #[test]
    fn a_request_says_only_what_was_asked_for() {
        let mut talk = Conversation {
            model: "demo".into(),
            messages: vec![system("be brief"), user("hi")],
            max_tokens: None,
            temperature: None,
            stream: false,
        };
        assert_eq!(
            talk.request(),
            json!({"model": "demo", "stream": false, "messages": [
                {"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]})
        );
        (talk.stream, talk.max_tokens, talk.temperature) = (true, Some(5), Some(0.0));
        let request = talk.request();
        assert_eq!(request["max_tokens"], 5);
        assert_eq!(request["temperature"], 0.0);
        assert_eq!(request["stream_options"], json!({"include_usage": true}));
    }
}
