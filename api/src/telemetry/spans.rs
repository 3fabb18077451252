//! A request as spans: one of the server, and below it one for its wait and one for each target that
//! was asked.

use std::time::Duration;

use diogenes_core::gateway::record::{
    Attempt, PassedOver, RequestRecord, SpanId, Stretch, TraceId,
};
use diogenes_core::name::ModelName;
use serde::Serialize;

use super::names;
use super::otlp::{Attributes, Digits, Hex, Resource, SCOPE, Scope, server};
use crate::request_id::unique;

const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;
/// Whether the parent of a span is of another process is known.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// `ExportTraceServiceRequest`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traces<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Debug, Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as OTLP calls them")]
struct Span<'a> {
    trace_id: Hex<TraceId>,
    span_id: Hex<SpanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Hex<SpanId>>,
    flags: u32,
    name: String,
    kind: u8,
    start_time_unix_nano: Digits,
    end_time_unix_nano: Digits,
    attributes: Attributes<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event<'a>>,
    status: Status<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    time_unix_nano: Digits,
    name: &'static str,
    attributes: Attributes<'a>,
}

#[derive(Debug, Default, Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "is_unset")]
    code: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_unset(code: &u8) -> bool {
    *code == 0
}

impl<'a> Status<'a> {
    fn failed(error: Option<&'a str>) -> Self {
        error.map_or_else(Self::default, |message| Self { code: ERROR, message })
    }
}

impl<'a> Traces<'a> {
    pub(super) fn new(
        resource: Resource<'a>,
        records: impl IntoIterator<Item = &'a RequestRecord>,
    ) -> Self {
        let spans = records.into_iter().flat_map(spans).collect();
        let scope_spans = [ScopeSpans { scope: SCOPE, spans }];
        Self { resource_spans: [ResourceSpans { resource, scope_spans }] }
    }
}

/// How many spans a request has.
pub(super) fn count(record: &RequestRecord) -> u64 {
    1 + u64::from(record.held.is_some()) + record.attempts.len() as u64
}

fn spans(record: &RequestRecord) -> impl Iterator<Item = Span<'_>> {
    let own = of_request(record);
    let held = record.held.and_then(|held| of_hold(record, held));
    let attempts =
        (1..).zip(&record.attempts).map(|(number, attempt)| of_attempt(record, number, attempt));
    std::iter::once(own).chain(held).chain(attempts)
}

fn of_request(record: &RequestRecord) -> Span<'_> {
    let last = record.attempts.last();
    let answered =
        last.filter(|last| last.status.is_some_and(|status| (200..300).contains(&status)));
    let usage = record.usage.as_ref();
    let generated = usage.filter(|_| names::operation(record.endpoint) != names::EMBEDDINGS);
    let known = |count: u64| Some(count).filter(|count| *count > 0);
    let mut attributes = of_operation(record)
        .text("gen_ai.provider.name", names::provider(record.provider.as_ref()))
        .text_if("gen_ai.request.model", record.requested.as_deref())
        .text_if("gen_ai.response.model", answered.map(|attempt| attempt.model.as_str()))
        .flag("gen_ai.request.stream", record.stream)
        .int_if("gen_ai.request.max_tokens", record.max_tokens)
        .int_if("gen_ai.usage.input_tokens", usage.map(|usage| usage.input))
        .int_if("gen_ai.usage.output_tokens", generated.map(|usage| usage.output))
        .int_if(
            "gen_ai.usage.cache_read.input_tokens",
            usage.and_then(|usage| known(usage.cached_input)),
        )
        .int_if(
            "gen_ai.usage.cache_write.input_tokens",
            usage.and_then(|usage| known(usage.cache_write)),
        )
        .double_if("gen_ai.response.time_to_first_chunk", seconds(record.first_content))
        .text("http.request.method", "POST")
        .text("http.route", record.endpoint)
        .text("url.path", record.endpoint)
        .int_if("http.response.status_code", Some(record.status.into()))
        .text_if("error.type", record.error.as_deref())
        .text("diogenes.request.id", &record.id);
    if let Some(caller) = &record.caller {
        attributes = attributes
            .text("diogenes.project", caller.project.as_str())
            .text("diogenes.key.id", caller.key.as_str());
    }
    let cost = record.cost.map(|cost| cost.get() as f64 / 1e9);
    let attributes = attributes
        .text_if("diogenes.model", record.model.as_ref().map(ModelName::as_str))
        .text_if("diogenes.prompt", record.prompt.as_deref())
        .text_if("diogenes.route", record.route.as_ref().map(ModelName::as_str))
        .text_if("diogenes.target", last.map(|attempt| attempt.target.as_str()))
        .int_if("diogenes.attempts", Some(record.attempts.len() as u64))
        .double_if("diogenes.cold_start_ms", record.held.map(|held| millis(held.took)))
        .double_if("diogenes.cost_usd", cost)
        .flag("diogenes.recovered", record.is_recovered())
        .flag("diogenes.handed_over", record.is_handed_over());
    // The caller's own mistakes are not failures of the server.
    let failure = record.error.as_deref().filter(|_| !(400..500).contains(&record.status));
    let remote = if record.trace.parent.is_some() { IS_REMOTE } else { 0 };
    let time = Stretch { after: Duration::ZERO, took: record.took };
    let mut span = span(record, record.trace.span, time, SERVER, named(record));
    span.parent_span_id = record.trace.parent.map(Hex);
    span.flags |= remote;
    span.attributes = attributes;
    span.events = record.passed_over.iter().map(|over| of_passed_over(record, over)).collect();
    span.status = Status::failed(failure);
    span
}

fn of_hold(record: &RequestRecord, held: Stretch) -> Option<Span<'_>> {
    let mut span = span(record, SpanId::new(unique())?, held, INTERNAL, "hold".to_owned());
    span.attributes = Attributes::default()
        .text_if("diogenes.model", record.model.as_ref().map(ModelName::as_str));
    Some(span)
}

fn of_attempt<'a>(record: &'a RequestRecord, number: u64, attempt: &'a Attempt) -> Span<'a> {
    let operation = names::operation(record.endpoint);
    let name = format!("{operation} {}", attempt.asked_as);
    let attributes = of_operation(record)
        .text("gen_ai.provider.name", names::provider(attempt.provider.as_ref()))
        .text("gen_ai.request.model", &attempt.asked_as)
        .flag("gen_ai.request.stream", record.stream)
        .text("http.request.method", "POST")
        .int_if("http.response.status_code", attempt.status.map(u64::from))
        .text_if("error.type", attempt.error.as_deref())
        .text("diogenes.model", attempt.model.as_str())
        .text("diogenes.target", &attempt.target)
        .int_if("diogenes.attempt", Some(number))
        .text("diogenes.outcome", attempt.outcome.as_str());
    let mut span = span(record, attempt.span, attempt.time, CLIENT, name);
    span.attributes = server(attributes, &attempt.authority);
    span.status = Status::failed(attempt.error.as_deref());
    span
}

fn of_passed_over<'a>(record: &RequestRecord, over: &'a PassedOver) -> Event<'a> {
    Event {
        time_unix_nano: at(record, over.after),
        name: "diogenes.passed_over",
        attributes: Attributes::default()
            .text("diogenes.model", over.model.as_str())
            .text("error.type", &over.error),
    }
}

/// A span below that of the request.
fn span<'a>(record: &RequestRecord, id: SpanId, time: Stretch, kind: u8, name: String) -> Span<'a> {
    Span {
        trace_id: Hex(record.trace.trace),
        span_id: Hex(id),
        parent_span_id: Some(Hex(record.trace.span)),
        flags: HAS_IS_REMOTE | u32::from(record.trace.is_sampled),
        name,
        kind,
        start_time_unix_nano: at(record, time.after),
        end_time_unix_nano: at(record, time.after.saturating_add(time.took)),
        attributes: Attributes::default(),
        events: Vec::new(),
        status: Status::default(),
    }
}

/// The first attribute of a span, with room for the others.
fn of_operation<'a>(record: &RequestRecord) -> Attributes<'a> {
    Attributes::with_capacity(24).text("gen_ai.operation.name", names::operation(record.endpoint))
}

/// A name that leads nowhere is not a part of it: there would be as many as callers can think of.
fn named(record: &RequestRecord) -> String {
    let operation = names::operation(record.endpoint);
    match (&record.model, &record.requested) {
        (Some(_), Some(requested)) => format!("{operation} {requested}"),
        _ => operation.to_owned(),
    }
}

fn at(record: &RequestRecord, after: Duration) -> Digits {
    let arrived = u64::try_from(record.arrived.as_nanosecond()).unwrap_or_default();
    let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    Digits(arrived.saturating_add(after))
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;
