//! Answers that are kept for the next request that is the very same, along routes that want it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::eta::later;
use diogenes_core::gateway::cache::{AnswerKey, KeptAnswer, LARGEST_KEPT};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Expect, StateStore};
use diogenes_core::tenancy::Principal;
use http::HeaderMap;
use http::header::CACHE_CONTROL;

use super::admission::InferenceRequest;
use super::destination::Destination;
use super::fleet_link::FleetLink;
use super::gateway::Gateway;
use super::route::Route;

/// What begins our own comments in a stream, which are about one request.
const OUR_COMMENT: &str = ": diogenes ";

/// Keeps the answer to one request, or finds the one that was kept.
#[derive(Clone)]
pub(super) struct Keeping {
    key: AnswerKey,
    life: Duration,
    /// Whether a kept answer will do.
    may_find: bool,
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    link: Arc<dyn FleetLink>,
}

/// The bytes of a stream on their way to being kept.
pub(super) struct Tape {
    keeping: Keeping,
    bytes: BytesMut,
}

impl Keeping {
    /// None for a request whose answer is not kept: along no route, or one that does not want it,
    /// or because the request leaves something to chance or does not want it itself.
    pub(super) fn of(
        gateway: &Gateway,
        by: &Principal,
        route: &Route,
        request: &InferenceRequest,
    ) -> Option<Self> {
        let (life, name) = (route.cache_ttl?, route.name.as_ref()?);
        let store = gateway.answers.clone()?;
        if request.dialect.is_free() {
            return None;
        }
        let wishes = Wishes::of(&request.headers);
        if wishes.no_store {
            return None;
        }
        // What changes a model's answers, or who gives them, is another key.
        let targets = route.destinations().map(|at| match at {
            Destination::Model(entry) => {
                let view = entry.view();
                format!("{}@{}", view.model.name, view.launch.as_str())
            }
            Destination::Hosted(hosted) => hosted.name.to_string(),
        });
        let targets = targets.collect::<Vec<_>>().join(" ");
        let path = request.dialect.target_path();
        let query = request.query.as_deref().unwrap_or_default();
        let context = [by.project.as_str(), name.as_str(), &targets, path, query];
        let key = AnswerKey::of(context, request.dialect.generates(), &request.body)?;
        let (clock, link) = (gateway.clock.clone(), gateway.views.link.clone());
        Some(Self { key, life, may_find: !wishes.no_cache, store, clock, link })
    }

    /// The answer that was kept, if there is one. A store that does not answer has none.
    pub(super) async fn find(&self) -> Option<KeptAnswer> {
        if !self.may_find {
            return None;
        }
        let found = self.store.load::<KeptAnswer>(&KeptAnswer::key_of(&self.key)).await;
        let found = found.inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "kept answers cannot be read; the request is sent"
            );
        });
        found.ok().flatten().map(|stored| stored.value)
    }

    /// Keeps an answer that came whole.
    pub(super) fn keep(&self, model: ModelName, content_type: &str, body: &[u8]) {
        let Ok(body) = std::str::from_utf8(body) else { return };
        let now = self.clock.now();
        let (content, times) =
            ((content_type.to_owned(), body.to_owned()), (now, later(now, self.life)));
        let Some(answer) = KeptAnswer::new(self.key.clone(), model, content, times) else { return };
        let store = self.store.clone();
        self.link.later(Box::pin(async move {
            if let Err(error) = store.save(answer, Expect::Any).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an answer could not be kept"
                );
            }
        }));
    }
}

impl Tape {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self { keeping, bytes: BytesMut::new() }
    }

    /// Takes what the caller gets.
    pub(super) fn record(&mut self, bytes: &Bytes) {
        // One byte more than is kept tells that it is too much.
        let room = (LARGEST_KEPT + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    /// Keeps the stream, which has come to its end.
    pub(super) fn keep(self, model: ModelName) {
        let Ok(text) = std::str::from_utf8(&self.bytes) else { return };
        let is_of_answer = |frame: &&str| !frame.starts_with(OUR_COMMENT);
        let events: String = text.split_inclusive("\n\n").filter(is_of_answer).collect();
        if text.len() <= LARGEST_KEPT {
            self.keeping.keep(model, "text/event-stream; charset=utf-8", events.as_bytes());
        }
    }
}

/// What a request says of kept answers, in the words of RFC 9111.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wishes {
    no_cache: bool,
    no_store: bool,
}

impl Wishes {
    fn of(headers: &HeaderMap) -> Self {
        let mut wishes = Self::default();
        let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        for word in values.flat_map(|value| value.split(',')) {
            let word = word.trim();
            wishes.no_cache |= word.eq_ignore_ascii_case("no-cache");
            wishes.no_store |= word.eq_ignore_ascii_case("no-store");
        }
        wishes
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_request_says_whether_a_kept_answer_will_do() {
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(value))]);
            let Wishes { no_cache, no_store } = Wishes::of(&headers);
            (no_cache, no_store)
        };
        assert_eq!(of("max-age=0"), (false, false));
        assert_eq!(of("No-Cache"), (true, false));
        assert_eq!(of("no-store, no-cache"), (true, true));
    }
}
