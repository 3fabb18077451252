use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diogenes_core::keys::KeyId;
use diogenes_core::ports::{
    Admission, AdmitError, Amount, Clock, Limiter, Limits, RateStatus, TokenBound,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tracing::Span;

use super::consumer::Consumer;
use super::destination::{Answerer, Destination};
use super::dialect::Dialect;
use super::draft::Draft;
use super::fleet_link::FleetLink;
use super::gateway::Gateway;
use super::headers;
use super::line::Charge;
use super::purse::{Reservation, Spent};
use super::recovery::Moved;
use super::refusal;
use super::usage::{Usage, Used};
use crate::error::{ApiError, admit_error, client_closed_request};

/// Last step: what is settled when a request ends, once, however it ends: metrics, usage, the key's
/// tokens and its place among the requests at once.
///
/// One that is dropped unsettled belongs to a caller who went away.
pub(super) struct Settlement {
    /// On the heap, as every step hands it to the next.
    open: Option<Box<Open>>,
}

struct Open {
    /// What answers; until then, the first choice.
    at: Destination,
    request_id: HeaderValue,
    arrived: Instant,
    limited: Option<Limited>,
    consumer: Option<Consumer>,
    /// What was set aside for the attempt that is under way, or is the answer.
    reservation: Option<Reservation>,
    /// What its turn was taken to cost, where requests take turns.
    charge: Option<Charge>,
    link: Arc<dyn FleetLink>,
    span: Span,
    /// Where somebody takes records.
    draft: Option<Draft>,
}

/// The limits that a request counts against.
pub(super) struct Limited {
    limiter: Arc<dyn Limiter>,
    clock: Arc<dyn Clock>,
    admission: Admission,
    /// Whether the request was sent, where tokens are limited.
    sent: Option<Arc<AtomicBool>>,
}

impl Limited {
    /// Counts a request against the limits of its key, and sets aside the tokens that it can use;
    /// `most` tells how many, and is asked only where tokens are limited.
    pub(super) async fn admit(
        gateway: &Gateway,
        (key, limits): (&KeyId, &Limits),
        dialect: Dialect,
        most: impl FnOnce() -> u64,
        sent: Option<Arc<AtomicBool>>,
    ) -> Result<Self, ApiError> {
        let bound = TokenBound::new(limits.tokens_per_minute.map_or(0, |_| most()));
        let (limiter, clock) = (gateway.limiter.clone(), gateway.clock.clone());
        let admission = limiter.admit(key, limits, bound, clock.now()).await;
        let admission =
            admission.map_err(|refused| {
                let mut error = admit_error(&refused);
                if let AdmitError::Exceeded(exceeded) = &refused {
                    let mut fields = HeaderMap::new();
                    headers::of_limits(&exceeded.status, dialect, &*clock, &mut fields);
                    error.headers.extend(fields.into_iter().filter_map(|(name, value)| {
                        Some((name?, value.to_str().ok()?.to_owned()))
                    }));
                }
                error
            })?;
        Ok(Self { limiter, clock, admission, sent })
    }

    /// What a request used that was sent and did not come to its end is not known: its
    /// reservation stands.
    async fn settle(self, usage: Option<Usage>) {
        let Self { limiter, clock, admission, sent } = self;
        let was_sent = sent.is_some_and(|sent| sent.load(Ordering::Relaxed));
        let tokens = match usage {
            Some(usage) => Some(usage.total()),
            None => (!was_sent).then_some(0),
        };
        limiter.settle(admission, tokens, clock.now()).await;
    }
}

impl Settlement {
    pub(super) fn open(
        at: Destination,
        request_id: HeaderValue,
        arrived: Instant,
        limited: Option<Limited>,
        consumer: Option<Consumer>,
        link: Arc<dyn FleetLink>,
        span: Span,
    ) -> Self {
        at.metrics().begin();
        let (reservation, charge) = (None, None);
        let open = Open {
            at,
            request_id,
            arrived,
            limited,
            consumer,
            reservation,
            charge,
            link,
            span,
            draft: None,
        };
        Self { open: Some(Box::new(open)) }
    }

    /// The same with a record of the request, if somebody takes them.
    pub(super) fn with_draft(mut self, draft: Option<Draft>) -> Self {
        if let Some(open) = &mut self.open {
            open.draft = draft;
        }
        self
    }

    /// The record of the request, where somebody takes them.
    pub(super) fn draft(&mut self) -> Option<&mut Draft> {
        self.open.as_mut()?.draft.as_mut()
    }

    /// Counts the request for the model that answers, if a route has led to another than its first.
    pub(super) fn answered_by(&mut self, at: &Destination) {
        if let Some(open) = self.open.as_mut().filter(|open| !open.at.is(at)) {
            open.at.metrics().hand_over(at.metrics());
            open.at = at.clone();
        }
    }

    /// Takes over what was set aside for an attempt.
    pub(super) fn reserved(&mut self, reservation: Option<Reservation>) {
        if let Some(open) = &mut self.open {
            open.reservation = reservation;
        }
    }

    /// Takes over what the turn of an attempt was taken to cost. That of an earlier one came to
    /// nothing.
    pub(super) fn charged(&mut self, charge: Option<Charge>) {
        let Some(open) = &mut self.open else { return };
        if let Some(earlier) = std::mem::replace(&mut open.charge, charge) {
            earlier.settle(Some(Usage::default()));
        }
    }

    /// Settles what was set aside for an attempt that is not the answer.
    pub(super) fn tried(&mut self, spent: Spent) {
        self.charged(None);
        let Some(open) = &mut self.open else { return };
        let Some(reservation) = open.reservation.take() else { return };
        if let Some(consumer) = &open.consumer {
            consumer.tried(spent, &reservation);
        }
        open.link.now_or_later(Box::pin(reservation.settle(spent)));
    }

    /// The most that the answer can cost, if it has a price.
    pub(super) fn most(&self) -> Option<Amount> {
        self.open.as_ref()?.reservation.as_ref()?.most()
    }

    /// What the answer has cost, if it has a price.
    pub(super) fn cost(&self, used: Used) -> Option<Amount> {
        self.open.as_ref()?.reservation.as_ref()?.cost(used.priced()?)
    }

    /// Notes that another replica continues the answer.
    pub(super) fn goes_on_at(&mut self, Moved { by, cut }: &Moved) {
        if let (Some(draft), Answerer::Replica { lease, .. }) = (self.draft(), by) {
            let cut = cut.map(|broken| refusal::kind_of_break(broken).http().1);
            draft.goes_on_at(&lease.target, cut);
        }
        if let Some(Open { span, .. }) =
            self.open.as_deref().filter(|open| !open.span.is_disabled())
        {
            tracing::debug!(
                target: "diogenes::request",
                parent: span,
                replica = by.label().to_str().unwrap_or_default(),
                is_handed_over = cut.is_none(),
                "the stream continues on another replica"
            );
        }
    }

    /// What is left of the limits of the key, if it has any.
    pub(super) fn rate_status(&self) -> Option<&RateStatus> {
        Some(&self.open.as_ref()?.limited.as_ref()?.admission.status)
    }

    /// Settles a request whose answer came to its end.
    pub(super) fn settle(mut self, status: StatusCode, used: Used) {
        if let Some(open) = self.open.take() {
            open.settle(status, None, Some(used));
        }
    }

    /// Settles a request that ends with `error`; without `used`, what it has used is not known.
    pub(super) fn fail(mut self, error: &ApiError, used: Option<Used>) {
        if let Some(open) = self.open.take() {
            log_failure(&open.request_id, error);
            open.settle(error.status(), Some(error), used);
        }
    }

    /// Settles a request whose caller has gone away.
    pub(super) fn abandon(mut self, used: Used) {
        if let Some(open) = self.open.take() {
            open.settle(client_closed_request(), None, Some(used));
        }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.settle(client_closed_request(), None, None);
        }
    }
}

impl Open {
    /// `status` may have come too late for the head of the answer.
    fn settle(
        mut self: Box<Self>,
        status: StatusCode,
        error: Option<&ApiError>,
        used: Option<Used>,
    ) {
        self.at.metrics().end(status, self.arrived.elapsed(), used.and_then(Used::told));
        if let Some(consumer) = &self.consumer {
            let at = self.reservation.as_ref().map_or(&self.at, Reservation::at);
            consumer.ended(at, status, used, self.reservation.as_ref());
            if let Some(written) = consumer.written() {
                self.link.later(written);
            }
        }
        if let Some(draft) = self.draft.take() {
            let (told, reservation) = (used.and_then(Used::told), self.reservation.as_ref());
            let cost = used.zip(reservation).and_then(|(used, set)| set.cost(used.priced()?));
            draft.finish(&self.at, status, error, told, cost);
        }
        let turn = used.and_then(Used::priced);
        let used = used.map(Used::usage);
        if !self.span.is_disabled() {
            let Usage { prompt, completion, .. } = used.unwrap_or_default();
            let took_ms = self.arrived.elapsed().as_secs_f64() * 1000.0;
            tracing::debug!(
                target: "diogenes::request",
                parent: &self.span,
                status = status.as_u16(), prompt_tokens = prompt,
                completion_tokens = completion, took_ms,
                "request ended"
            );
        }
        if let Some(charge) = self.charge {
            charge.settle(turn);
        }
        if let Some(reservation) = self.reservation {
            let spent = used.map_or(Spent::Unknown, Spent::Tokens);
            self.link.now_or_later(Box::pin(reservation.settle(spent)));
        }
        if let Some(limited) = self.limited {
            self.link.now_or_later(Box::pin(limited.settle(used)));
        }
    }
}

/// Joins a failed answer with what was logged of its cause; a span for every request would cost a
/// tenth of its CPU.
fn log_failure(id: &HeaderValue, error: &ApiError) {
    let (status, code) = (error.status(), error.kind.http().1);
    if status.is_server_error() {
        let shown = id.to_str().unwrap_or_default();
        tracing::warn!(request.id = shown, code, "request {shown} was answered with `{code}`");
    }
}
