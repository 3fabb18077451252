use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::Timestamp;
use crate::entity::Entity;
use crate::hex;
use crate::name::ModelName;
use crate::ports::Key;
use crate::sorted_json::SortedJson;

/// The largest answer that is kept, in bytes: a record holds little more.
pub const LARGEST_KEPT: usize = 256 << 10;

/// What an answer is kept under: everything that it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnswerKey(String);

/// An answer that was given once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    key: AnswerKey,
    /// Who gave it.
    pub model: ModelName,
    pub content_type: String,
    /// A JSON object, or all events of a stream.
    pub body: String,
    pub made_at: Timestamp,
    pub expires_at: Timestamp,
}

impl AnswerKey {
    /// The key of a request, if the same request may get the same answer: one that asks for one
    /// answer at temperature 0, or that generates nothing. `context` is what else the answer depends
    /// on: who may see it, the route, its models, the endpoint.
    pub fn of<'a>(
        context: impl IntoIterator<Item = &'a str>,
        generates: bool,
        body: &[u8],
    ) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        if generates && !is_repeatable(&body) {
            return None;
        }
        let mut hash = Sha256::new();
        for part in context {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.update(SortedJson(&body).to_string());
        Some(Self(hex(&hash.finalize())))
    }
}

/// Whether a request leaves nothing to chance that it can rule out.
fn is_repeatable(body: &Value) -> bool {
    let is_one = |field| body.get(field).is_none_or(|n| n.is_null() || n.as_u64() == Some(1));
    let is_cold = body.get("temperature").and_then(Value::as_f64) == Some(0.0);
    is_cold && is_one("n") && is_one("best_of")
}

impl KeptAnswer {
    /// The answer to the request of `key`; none for one that is too large.
    pub fn new(
        key: AnswerKey,
        model: ModelName,
        (content_type, body): (String, String),
        (made_at, expires_at): (Timestamp, Timestamp),
    ) -> Option<Self> {
        (body.len() <= LARGEST_KEPT).then_some(Self {
            key,
            model,
            content_type,
            body,
            made_at,
            expires_at,
        })
    }

    /// What the partitions of all kept answers begin with.
    pub const PREFIX: &str = "CACHE#";

    /// Where the answer to the request of `key` is.
    pub fn key_of(AnswerKey(key): &AnswerKey) -> Key {
        Key::new(format!("{}{key}", Self::PREFIX), "ANSWER")
    }
}

impl Entity for KeptAnswer {
    const KIND: &'static str = "kept answer";

    fn key(&self) -> Key {
        Self::key_of(&self.key)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(context: &[&str], body: &str) -> Option<AnswerKey> {
        AnswerKey::of(context.iter().copied(), true, body.as_bytes())
    }

    const BODY: &str =
        r#"{"model":"a","temperature":0,"messages":[{"role":"user","content":"hi"}]}"#;

    #[test]
    fn the_order_of_fields_and_white_space_do_not_matter() {
        let other = r#"{ "messages": [{"content": "hi", "role": "user"}], "temperature": 0, "model": "a" }"#;
        assert_eq!(key(&["p", "r"], BODY), key(&["p", "r"], other));
    }

    #[test]
    fn everything_else_does() {
        let whole = key(&["p", "r"], BODY).unwrap();
        for (context, body) in [
            (["p", "s"], BODY.to_owned()),
            (["pr", ""], BODY.to_owned()),
            (["p", "r"], BODY.replace("hi", "ho")),
            (["p", "r"], BODY.replace("\"temperature\":0", "\"temperature\":0,\"stream\":true")),
            (["p", "r"], BODY.replace("\"temperature\":0", "\"temperature\":0,\"user\":\"ada\"")),
        ] {
            assert_ne!(key(&context, &body).unwrap(), whole, "{context:?} {body}");
        }
        let messages = r#"{"temperature":0,"messages":["a","b"]}"#;
        assert_ne!(key(&[], messages), key(&[], r#"{"temperature":0,"messages":["b","a"]}"#));
    }

    #[test]
    fn only_what_leaves_nothing_to_chance_is_kept() {
        for body in [
            "[]",
            "{",
            r#"{"messages":[]}"#,
            r#"{"temperature":0.1}"#,
            r#"{"temperature":"0"}"#,
            r#"{"temperature":null}"#,
            r#"{"temperature":0,"n":2}"#,
            r#"{"temperature":0,"n":"1"}"#,
            r#"{"temperature":0,"best_of":3}"#,
        ] {
            assert_eq!(key(&[], body), None, "{body}");
        }
        for body in [r#"{"temperature":0.0,"n":1}"#, r#"{"temperature":-0.0,"n":null}"#] {
            assert!(key(&[], body).is_some(), "{body}");
        }
        assert!(AnswerKey::of([], false, br#"{"input":"hi"}"#).is_some());
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let of = |length| {
            let key = key(&[], BODY).unwrap();
            let body = ("application/json".to_owned(), "x".repeat(length));
            KeptAnswer::new(key, "a".parse().unwrap(), body, (Timestamp::MIN, Timestamp::MAX))
        };
        assert!(of(LARGEST_KEPT).is_some() && of(LARGEST_KEPT + 1).is_none());
    }
}
