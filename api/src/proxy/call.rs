use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::fleet::Affinity;
use diogenes_core::gateway::budget::Budget;
use diogenes_core::keys::Weight;
use diogenes_core::routing::Patience;
use diogenes_core::tenancy::Principal;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::beginning::beginning;
use super::bound::Most;
use super::destination::Destination;
use super::dialect::Dialect;
use super::keeping::Keeping;
use super::line::Customer;
use super::peek::Peek;
use super::provider::Hosted;
use super::target::Target;
use super::upstream::{RequestHead, SendError, UpstreamResponse};

/// An inference request as it is sent to any replica of its model.
pub(super) struct Call {
    pub(super) id: HeaderValue,
    /// Who makes it.
    pub(super) by: Arc<Principal>,
    /// The budgets that count it, and what they have to know of it: where there are any, or where a
    /// target has a price.
    pub(super) budgets: Vec<Budget>,
    pub(super) most: Option<Most>,
    pub(super) arrived: Instant,
    /// See [`InferenceRequest::is_background`](super::InferenceRequest::is_background).
    pub(super) is_background: bool,
    pub(super) dialect: Dialect,
    /// Path and query at targets that speak its dialect.
    pub(super) path: Cow<'static, str>,
    pub(super) headers: HeaderMap,
    /// As it came, but for usage that is asked for on our behalf.
    pub(super) body: Bytes,
    pub(super) peek: Peek,
    /// The body for its first choice, where it had to be translated.
    pub(super) translated: Option<Translated>,
    /// Where whoever is asked stands in a trace, where somebody takes records of it.
    pub(super) traceparent: Option<HeaderValue>,
    /// Told once it was sent, where somebody wants to know.
    pub(super) sent: Option<Arc<AtomicBool>>,
    /// Whether it asks for usage on our behalf and not on the caller's.
    pub(super) usage_is_ours: bool,
    pub(super) patience: Patience,
    /// What keeps the answer for the next request that is the same.
    pub(super) keeping: Option<Keeping>,
    /// When the answer must have ended, where a request may not take as long as it likes.
    pub(super) deadline: Option<Instant>,
}

/// A body in the words of a target.
pub(super) struct Translated {
    pub(super) to: Destination,
    /// The name of the model in it.
    pub(super) model: String,
    pub(super) body: Bytes,
}

impl Call {
    /// The tokens of its prompt at a guess: four bytes of English are about one.
    pub(super) fn prompt_guess(&self) -> u64 {
        self.peek.text_bytes(&self.body) / 4
    }

    /// The same for whom it is sent to next, if `traceparent` is one.
    pub(super) fn stands_at(&mut self, traceparent: Option<HeaderValue>) {
        if let Some(field) = &traceparent {
            self.headers.insert("traceparent", field.clone());
        }
        self.traceparent = traceparent;
    }

    /// Whose turn it takes.
    pub(super) fn customer(&self) -> Customer<'_> {
        let (key, weight) = if self.is_background {
            // No key has this id.
            ("background", Weight::default().get())
        } else {
            (self.by.limit_key().as_str(), self.by.weight.get())
        };
        let is_background = self.is_background;
        Customer { key, weight, is_background, prompt: self.prompt_guess() }
    }

    /// What requests have in common that are to meet at one replica, if any are.
    pub(super) fn meets(&self, affinity: Affinity) -> Option<u64> {
        match affinity {
            Affinity::None => None,
            Affinity::Prefix => beginning(&self.body),
        }
    }

    /// The field that has to say how long the answer may be, where a budget counts it and the
    /// request does not say.
    pub(super) fn limit_field(&self) -> Option<&'static str> {
        let is_open = self.most.as_ref().is_some_and(|most| most.output.is_none());
        match self.dialect {
            _ if self.budgets.is_empty() || !is_open => None,
            Dialect::ChatCompletions => Some("max_completion_tokens"),
            Dialect::Completions => Some("max_tokens"),
            Dialect::Responses => Some("max_output_tokens"),
            _ => None,
        }
    }

    /// Path and query at a target that is asked in this dialect.
    fn path_in(&self, dialect: Dialect) -> &str {
        if dialect == self.dialect { &self.path } else { dialect.target_path() }
    }

    /// Sends it to a replica of a model, which must begin its answer within `timeout`.
    pub(super) async fn send(
        &self,
        target: &Target,
        dialect: Dialect,
        body: Bytes,
        timeout: Duration,
    ) -> Result<UpstreamResponse, SendError> {
        let head = RequestHead {
            method: &Method::POST,
            path: self.path_in(dialect),
            headers: &self.headers,
            bearer: &target.upstream_key,
        };
        let Some(sent) = &self.sent else {
            return target.upstream.send(&head, &body, timeout).await;
        };
        sent.store(true, Ordering::Relaxed);
        let answer = target.upstream.send(&head, &body, timeout).await;
        if matches!(answer, Err(SendError::Connect(_))) {
            sent.store(false, Ordering::Relaxed);
        }
        answer
    }

    /// Sends it to a provider.
    pub(super) async fn send_out(
        &self,
        hosted: &Hosted,
        dialect: Dialect,
        body: Bytes,
    ) -> Result<UpstreamResponse, SendError> {
        if let Some(sent) = &self.sent {
            sent.store(true, Ordering::Relaxed);
        }
        let (path, stream) = (self.path_in(dialect), self.patience.stream);
        hosted.send(path, &self.headers, self.traceparent.as_ref(), body, stream).await
    }
}

/// Waits for `work`, but not beyond a deadline.
///
/// As an `async fn` it would hold `work` twice: once as an argument, once as what it awaits.
pub(super) fn until<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Elapsed>> {
    match deadline {
        Some(deadline) => Either::Left(tokio::time::timeout_at(deadline, work)),
        None => Either::Right(work.map(Ok)),
    }
}
