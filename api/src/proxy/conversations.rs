use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use http::HeaderMap;
use serde::Deserialize;
use tokio::time::Instant;

/// The most conversations that are remembered; beyond it, all are forgotten.
const MOST: usize = 100_000;
/// Headers by which clients name a conversation.
const SESSION_HEADERS: [&str; 3] = ["x-session-id", "session_id", "session-id"];

/// Which target has answered a conversation last, along routes that keep conversations together.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    targets: Mutex<HashMap<u64, (ModelName, Instant)>>,
    hasher: RandomState,
}

/// One conversation of a key along a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conversation(u64);

impl Conversations {
    pub(super) fn of(&self, route: &ModelName, key: &KeyId, unit: &str) -> Conversation {
        Conversation(self.hasher.hash_one((route, key.as_str(), unit)))
    }

    /// Who has answered it, if that is not longer ago than `kept`.
    pub(super) fn target_of(&self, of: Conversation, kept: Duration) -> Option<ModelName> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, at) = targets.get(&of.0)?;
        (at.elapsed() < kept).then(|| target.clone())
    }

    pub(super) fn note(&self, of: Conversation, target: ModelName) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.len() >= MOST {
            targets.clear();
        }
        targets.insert(of.0, (target, Instant::now()));
    }
}

/// What a body says of whom its request is for.
#[derive(Deserialize)]
struct Body {
    prompt_cache_key: Option<String>,
    metadata: Option<Metadata>,
    user: Option<String>,
    safety_identifier: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    user_id: Option<String>,
}

impl Body {
    fn user(self) -> Option<String> {
        let user = self.metadata.and_then(|metadata| metadata.user_id);
        user.or(self.user).or(self.safety_identifier)
    }
}

/// For whom a request is, if it says: a conversation, or else a user.
pub(super) fn unit(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if let Some(session) = session(headers) {
        return Some(session.to_owned());
    }
    // Of another shape it is the target's to refuse.
    let mut body: Body = serde_json::from_slice(body).ok()?;
    body.prompt_cache_key.take().or_else(|| body.user())
}

/// The same without the key of OpenAI's cache, which those have in common that begin alike.
pub(super) fn user(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let of_body = || serde_json::from_slice::<Body>(body).ok()?.user();
    session(headers).map(str::to_owned).or_else(of_body)
}

fn session(headers: &HeaderMap) -> Option<&str> {
    SESSION_HEADERS.iter().find_map(|name| headers.get(*name)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_a_session_or_else_for_a_user() {
        let mut headers = HeaderMap::new();
        for (body, expected) in [
            (r#"{"prompt_cache_key":"p","user":"u"}"#, Some("p")),
            (r#"{"metadata":{"user_id":"m"},"user":"u"}"#, Some("m")),
            (r#"{"user":"u"}"#, Some("u")),
            (r#"{"safety_identifier":"s"}"#, Some("s")),
            (r#"{"user":7}"#, None),
            ("{}", None),
        ] {
            assert_eq!(unit(&headers, body.as_bytes()).as_deref(), expected, "{body}");
        }
        headers.insert("session_id", "h".parse().unwrap());
        assert_eq!(unit(&headers, br#"{"user":"u"}"#).as_deref(), Some("h"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_conversation_is_kept_for_a_while() {
        let conversations = Conversations::default();
        let key = KeyId::from_caller("k");
        let (route, target) = ("r".parse().unwrap(), "a".parse::<ModelName>().unwrap());
        let one = conversations.of(&route, &key, "u");
        let kept = Duration::from_secs(10);
        assert_eq!(conversations.target_of(one, kept), None);
        conversations.note(one, target.clone());
        assert_eq!(conversations.target_of(one, kept), Some(target));
        assert_eq!(conversations.target_of(conversations.of(&route, &key, "v"), kept), None);
        tokio::time::advance(kept).await;
        assert_eq!(conversations.target_of(one, kept), None);
    }
}
