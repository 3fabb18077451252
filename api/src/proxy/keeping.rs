//! Answers that are kept for the next request that is the very same, along routes that want it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use diogenes_core::fleet::eta::later;
use diogenes_core::gateway::cache::{AnswerKey, AnswerShelf, KeptAnswer, LARGEST_KEPT};
use diogenes_core::name::ModelName;
use diogenes_core::ports::Clock;
use diogenes_core::tenancy::Principal;
use http::HeaderMap;
use http::header::CACHE_CONTROL;

use super::admission::InferenceRequest;
use super::dialect::Dialect;
use super::fleet_link::FleetLink;
use super::gateway::Gateway;
use super::proper_end::came_to_proper_end;
use super::route::Route;

/// What begins our own comments in a stream, which are about one request.
const OUR_COMMENT: &str = ": diogenes ";

/// The headers of a request that reach targets and change their answers.
const MEANINGFUL: [&str; 3] = ["openai-beta", "anthropic-beta", "anthropic-version"];

/// Keeps the answer to one request, or finds the one that was kept.
#[derive(Clone)]
pub(super) struct Keeping {
    key: AnswerKey,
    dialect: Dialect,
    life: Duration,
    /// Whether a kept answer will do.
    may_find: bool,
    shelf: Arc<AnswerShelf>,
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
        let (keeps, name) = (route.keeps.as_ref()?, route.name.as_ref()?);
        let shelf = gateway.answers.clone()?;
        if request.dialect.is_free() {
            return None;
        }
        let wishes = Wishes::of(&request.headers);
        if wishes.no_store {
            return None;
        }
        let dialect = request.dialect;
        let query = request.query.as_deref().unwrap_or_default();
        let fields = meaningful(&request.headers);
        let (project, path) = (by.project.as_str(), dialect.target_path());
        let context = [project, name.as_str(), &keeps.targets, path, query, &fields];
        let key = AnswerKey::of(context, dialect.generates(), &request.body)?;
        let (clock, link) = (gateway.clock.clone(), gateway.views.link.clone());
        let (life, may_find) = (keeps.life, !wishes.no_cache);
        Some(Self { key, dialect, life, may_find, shelf, clock, link })
    }

    /// The answer that was kept, if there is one. A store that does not answer has none.
    pub(super) async fn find(&self) -> Option<KeptAnswer> {
        if !self.may_find {
            return None;
        }
        let found = self.shelf.find(&self.key).await.inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "kept answers cannot be read; the request is sent"
            );
        });
        found.ok().flatten()
    }

    /// Keeps a plain answer that came whole.
    pub(super) fn keep(&self, model: ModelName, body: &[u8]) {
        if let Ok(text) = std::str::from_utf8(body)
            && text.len() <= LARGEST_KEPT
            && came_to_proper_end(self.dialect, false, text)
        {
            self.write(model, "application/json", text.to_owned());
        }
    }

    fn write(&self, model: ModelName, content_type: &str, body: String) {
        let now = self.clock.now();
        let (content, times) = ((content_type.to_owned(), body), (now, later(now, self.life)));
        let Some(answer) = KeptAnswer::new(self.key.clone(), model, content, times) else { return };
        let place = self.shelf.clone();
        self.link.later(Box::pin(async move {
            if let Err(error) = place.keep(&answer).await {
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

    /// Keeps the stream, whose last byte has come.
    pub(super) fn keep(self, model: ModelName) {
        let Self { keeping, bytes } = self;
        let Ok(text) = std::str::from_utf8(&bytes) else { return };
        if text.len() > LARGEST_KEPT || !came_to_proper_end(keeping.dialect, true, text) {
            return;
        }
        let is_of_answer = |frame: &&str| !frame.starts_with(OUR_COMMENT);
        let events: String = text.split_inclusive("\n\n").filter(is_of_answer).collect();
        keeping.write(model, "text/event-stream; charset=utf-8", events);
    }
}

/// The headers that change an answer, as a part of its key.
fn meaningful(headers: &HeaderMap) -> String {
    let mut told = String::new();
    for name in MEANINGFUL {
        for value in headers.get_all(name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            told.extend([name, ":", &value, "\n"]);
        }
    }
    told
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
