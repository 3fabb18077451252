use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::fleet::eta::since;
use diogenes_core::gateway::cache::KeptAnswer;
use diogenes_core::money::Dollars;
use diogenes_core::ports::Amount;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::held::{HeldStream, Told};
use super::plain;
use super::stream::Passing;
use crate::error::ApiError;
use crate::proxy::call::Call;
use crate::proxy::fleet_link::FleetLink;
use crate::proxy::gateway::Gateway;
use crate::proxy::headers;
use crate::proxy::pursuit::{Pursuit, Reached};
use crate::proxy::refusal;
use crate::proxy::resolution::Planned;
use crate::proxy::settlement::Settlement;
use crate::proxy::usage::Used;

const MODEL: HeaderName = HeaderName::from_static("x-diogenes-model");
const TARGET: HeaderName = HeaderName::from_static("x-diogenes-target");
const ROUTE: HeaderName = HeaderName::from_static("x-diogenes-route");
const COLD_START: HeaderName = HeaderName::from_static("x-diogenes-cold-start-ms");
/// What an answer has cost, or a stream can cost at most.
pub(crate) const COST: HeaderName = HeaderName::from_static("x-diogenes-cost-usd");
const CACHE: HeaderName = HeaderName::from_static("x-diogenes-cache");
const OVERHEAD: HeaderName = HeaderName::from_static("x-diogenes-overhead-ms");

/// An answer to an inference request.
#[derive(Debug)]
pub struct Answer {
    /// The replica's status, or 200 for a stream that was opened before there was one.
    pub status: StatusCode,
    /// The replica's headers, and those of Diogenes.
    pub headers: HeaderMap,
    /// The body, whole or as it comes.
    pub body: AnswerBody,
}

/// The body of an [`Answer`].
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Server-sent events as they come.
    Stream(AnswerStream),
}

/// A stream of server-sent events. Dropping it before its end cancels the request at the replica.
pub struct AnswerStream {
    source: Source,
    link: Arc<dyn FleetLink>,
}

enum Source {
    Holding(Box<HeldStream>),
    Passing(Box<Passing>),
    Ended,
}

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream").finish_non_exhaustive()
    }
}

impl AnswerStream {
    /// The next bytes; none at the end. A stream that breaks off ends with an error event, never
    /// silently. What the end of the request leaves to be written is written before the end shows.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.source {
                Source::Passing(passing) => {
                    if let Some(bytes) = passing.next().await {
                        return Some(bytes);
                    }
                }
                Source::Holding(held) => match held.next().await {
                    Told::Bytes(bytes) => return Some(bytes),
                    Told::Last(bytes) => {
                        self.source = Source::Ended;
                        return Some(bytes);
                    }
                    Told::Opened(passing) => {
                        self.source = Source::Passing(passing);
                        continue;
                    }
                },
                Source::Ended => {}
            }
            self.source = Source::Ended;
            self.link.settle().await;
            return None;
        }
    }
}

/// Opens a stream whose replica is yet to come.
pub(in crate::proxy) fn open(
    pursuit: Pursuit,
    mut settlement: Settlement,
    link: &Arc<dyn FleetLink>,
) -> Answer {
    if let Some(draft) = settlement.draft() {
        draft.opened(StatusCode::OK);
    }
    let mut fields = HeaderMap::new();
    if let Some(status) = settlement.rate_status() {
        let clock = &*pursuit.gateway().clock;
        headers::of_limits(status, pursuit.call.dialect, clock, &mut fields);
    }
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies in front of us must not wait for more.
    fields.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let held = HeldStream::new(pursuit, settlement);
    let source = Source::Holding(Box::new(held));
    let body = AnswerBody::Stream(AnswerStream { source, link: link.clone() });
    Answer { status: StatusCode::OK, headers: fields, body }
}

/// Answers with what was answered before. It costs nothing.
pub(in crate::proxy) fn replay(kept: KeptAnswer, planned: Planned, gateway: &Gateway) -> Answer {
    let Planned { call, route, settlement, .. } = planned;
    let mut fields = HeaderMap::new();
    let now = gateway.clock.now();
    if let Some(status) = settlement.rate_status() {
        headers::of_limits(status, call.dialect, &*gateway.clock, &mut fields);
    }
    let told = [
        (CONTENT_TYPE, kept.content_type),
        (MODEL, kept.model.to_string()),
        (AGE, since(kept.made_at, now).as_secs().to_string()),
    ];
    let told = told.into_iter().filter_map(|(name, text)| Some((name, text.try_into().ok()?)));
    fields.extend(told);
    fields.insert(CACHE, HeaderValue::from_static("hit"));
    fields.insert(OVERHEAD, millis(call.arrived.elapsed()));
    let routed = route.name.as_ref().map(|name| format!("{name}; reason=cached"));
    if let Some(routed) = routed.and_then(|text| text.parse().ok()) {
        fields.insert(ROUTE, routed);
    }
    if call.most.is_some() {
        fields.insert(COST, money(Amount::ZERO));
    }
    settlement.settle(StatusCode::OK, Used::NOTHING);
    Answer { status: StatusCode::OK, headers: fields, body: AnswerBody::Whole(kept.body.into()) }
}

/// Passes on what a replica answers to a request whose own answer has not begun.
pub(in crate::proxy) async fn deliver(
    mut reached: Reached,
    call: &Call,
    mut settlement: Settlement,
    gateway: &Gateway,
) -> Result<Answer, ApiError> {
    let destination = reached.by.destination();
    destination.metrics().first_byte(call.arrived.elapsed());
    settlement.answered_by(&destination);
    let (interpreter, status) = (reached.interpreter, reached.response.status);
    let mut fields = std::mem::take(&mut reached.response.headers);
    headers::strip_answer(&mut fields);
    let held = reached.waited.unwrap_or_default();
    let overhead = reached.sent_at.duration_since(call.arrived).saturating_sub(held);
    fields.insert(OVERHEAD, millis(overhead));
    fields.insert(TARGET, reached.by.label().clone());
    if let Some(name) = destination.name_field() {
        fields.insert(MODEL, name);
    }
    if let Some(routed) = reached.routed.as_deref().and_then(|text| text.parse().ok()) {
        fields.insert(ROUTE, routed);
    }
    if let Some(waited) = reached.waited {
        destination.metrics().woke_after(waited);
        fields.insert(COLD_START, millis(waited));
    }
    if let Some(status) = settlement.rate_status() {
        headers::of_limits(status, call.dialect, &*gateway.clock, &mut fields);
    }
    let is_stream = status.is_success() && headers::is_event_stream(&fields);
    let keeping = call.keeping.as_ref().filter(|_| status == StatusCode::OK);
    if keeping.is_some() {
        fields.insert(CACHE, HeaderValue::from_static("miss"));
    }
    if is_stream && headers::is_encoded(&fields) {
        let error = refusal::malformed(refusal::COMPRESSED, &destination);
        settlement.fail(&error, None);
        return Err(error);
    }
    let body = if is_stream {
        if let Some(most) = settlement.most() {
            fields.insert(COST, money(most));
        }
        destination.metrics().speed.note(reached.sent_at.elapsed(), gateway.clock.now());
        if let Some(draft) = settlement.draft() {
            draft.opened(interpreter.status(status));
        }
        let passing = Passing::new(reached, call, settlement, gateway);
        let source = Source::Passing(Box::new(passing));
        AnswerBody::Stream(AnswerStream { source, link: gateway.views.link.clone() })
    } else {
        match plain::read(reached, &fields, call, gateway).await {
            Ok(whole) => {
                if let Some(cost) = settlement.cost(whole.used) {
                    fields.insert(COST, money(cost));
                }
                if let Some(draft) = settlement.draft() {
                    draft.opened(interpreter.status(status));
                }
                settlement.settle(status, whole.used);
                if let Some(keeping) = keeping {
                    keeping.keep(destination.name(), &whole.bytes);
                }
                AnswerBody::Whole(whole.bytes)
            }
            Err(error) => {
                settlement.fail(&error, (!status.is_success()).then_some(Used::NOTHING));
                return Err(error);
            }
        }
    };
    Ok(Answer { status: interpreter.status(status), headers: fields, body })
}

fn money(amount: Amount) -> HeaderValue {
    HeaderValue::from_str(&Dollars(amount).decimal())
        .unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// A duration as milliseconds with three decimals.
fn millis(duration: Duration) -> HeaderValue {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let text = format!("{}.{:03}", micros / 1000, micros % 1000);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}
