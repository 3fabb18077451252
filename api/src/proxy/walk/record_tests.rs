//! What is told of a finished request.

use std::sync::{Arc, Mutex};

use diogenes_core::gateway::record::{AttemptOutcome, RequestRecord, RequestSink, Share};
use diogenes_core::gateway::{ProviderName, Routes};
use diogenes_core::ports::Limits;
use diogenes_core::secret::Secret;
use diogenes_core::testing::MemoryStore;
use http::HeaderValue;

use super::*;
use crate::proxy::Dialect;
use crate::proxy::gateway::Records;
use crate::proxy::testing::{
    Local, Script, TokioClock, Upstream, caller, chat, events, eventually, model, plain, request,
    text,
};

const JSON: &str = "content-type: application/json\r\n";
const BODY: &str = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"secret words\"}}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n\
    data: [DONE]\n\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Keeps what it takes.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Vec<RequestRecord>>);

impl RequestSink for Shelf {
    fn take(&self, record: Box<RequestRecord>) {
        self.0.lock().unwrap().push(*record);
    }
}

/// A gateway whose records are kept.
pub(super) fn recorded(local: Local) -> (Local, Arc<Shelf>) {
    let shelf = Arc::<Shelf>::default();
    let records = Records { sink: shelf.clone(), share: Share::ALL };
    (local.with_records(records), shelf)
}

impl Shelf {
    /// The one record that there is by now.
    pub(super) async fn one(&self) -> RequestRecord {
        let one = async || self.0.lock().unwrap().first().cloned();
        let record = eventually("the record", one).await;
        assert_eq!(self.0.lock().unwrap().len(), 1, "{:?}", self.0.lock().unwrap());
        record
    }
}

async fn walked(local: &Local, request: InferenceRequest) -> Result<Answer, ApiError> {
    local.gateway.walk(caller(Limits::default()), request).await
}

#[tokio::test]
async fn a_plain_request_tells_who_asked_whom_and_what_was_used() {
    let (local, shelf) = recorded(Local::new(Local::spec()));
    let upstream = Upstream::answering(&plain("200 OK", JSON, BODY)).await;
    local.ready(&[("claim-0", upstream.address)]);
    let body = format!(r#"{{"model":"{}","messages":[],"max_tokens":7}}"#, model());
    let mut request = request(Dialect::ChatCompletions, body);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.headers.insert("traceparent", HeaderValue::try_from(parent).unwrap());
    let answer = walked(&local, request).await.unwrap();
    let target = answer.headers["x-diogenes-target"].clone();
    let record = shelf.one().await;
    assert_eq!((record.id.as_str(), record.endpoint), ("request-1", "/v1/chat/completions"));
    assert_eq!(record.requested.as_deref(), Some(model().as_str()));
    assert_eq!((record.model, record.route), (Some(model()), None));
    assert_eq!(record.caller.unwrap().key.as_str(), "test");
    assert_eq!((record.status, record.error, record.stream), (200, None, false));
    assert_eq!((record.max_tokens, record.held, record.first_content), (Some(7), None, None));
    let usage = record.usage.unwrap();
    assert_eq!((usage.input, usage.output), (3, 4));
    assert_eq!(record.trace.trace.to_string(), TRACE);
    assert_eq!(record.trace.parent.unwrap().to_string(), "00f067aa0ba902b7");
    let [attempt] = &record.attempts[..] else { panic!("{:?}", record.attempts) };
    assert_eq!((attempt.target.as_str(), attempt.status), (target.to_str().unwrap(), Some(200)));
    assert_eq!((attempt.outcome, &attempt.error), (AttemptOutcome::Answered, &None));
    assert_eq!(attempt.authority, upstream.address.to_string());
    assert!(attempt.time.took <= record.took);
    // The replica stands below the attempt.
    let told = format!("traceparent: 00-{TRACE}-{}-01\r\n", attempt.span);
    let seen = upstream.seen();
    assert!(seen[0].contains(&told), "{told}: {seen:?}");
    assert_eq!(seen[0].matches("traceparent").count(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_stream_tells_when_its_first_content_came_and_nothing_of_it() {
    let (local, shelf) = recorded(Local::new(Local::spec()));
    let upstream = Upstream::answering(&events(STREAM)).await;
    local.ready(&[("claim-0", upstream.address)]);
    let answer = walked(&local, chat(true)).await.unwrap();
    assert!(shelf.0.lock().unwrap().is_empty(), "it is not over");
    text(answer).await;
    let record = shelf.one().await;
    assert!(record.first_content.unwrap() <= record.took);
    assert_eq!((record.stream, record.usage.as_ref().unwrap().output), (true, 4));
    assert_eq!(record.trace.parent, None);
    let told = format!("{record:?}");
    assert!(!told.contains("secret") && !told.contains("up-secret"), "{told}");
}

#[tokio::test]
async fn a_stream_that_breaks_has_the_status_that_has_left_and_the_error_behind_it() {
    let (local, shelf) = recorded(Local::new(Local::spec()));
    let cut = STREAM.split("data: [DONE]").next().unwrap();
    let upstream = Upstream::answering(&events(cut)).await;
    local.ready(&[("claim-0", upstream.address)]);
    text(walked(&local, chat(true)).await.unwrap()).await;
    let record = shelf.one().await;
    assert_eq!((record.status, record.error.as_deref()), (200, Some("upstream_cut")));
    let attempt = &record.attempts[0];
    assert_eq!((attempt.status, attempt.outcome), (Some(200), AttemptOutcome::Failed));
    assert_eq!(attempt.error.as_deref(), Some("upstream_cut"));
}

#[tokio::test]
async fn a_caller_that_goes_away_is_told_as_such() {
    let (local, shelf) = recorded(Local::new(Local::spec()));
    let hangs = Script::ReplyAndHang(Arc::new(|_: &str| {
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"choices\":[]}\n\n"
            .into()
    }));
    let upstream = Upstream::start(vec![hangs]).await;
    local.ready(&[("claim-0", upstream.address)]);
    let AnswerBody::Stream(mut stream) = walked(&local, chat(true)).await.unwrap().body else {
        panic!("no stream")
    };
    stream.next().await.unwrap();
    drop(stream);
    let record = shelf.one().await;
    assert_eq!((record.status, record.error.as_deref()), (499, Some("client_closed_request")));
    assert_eq!(
        (record.attempts[0].outcome, &record.attempts[0].error),
        (AttemptOutcome::Abandoned, &None)
    );
}

#[tokio::test]
async fn a_held_request_tells_how_long_it_waited() {
    let (local, shelf) = recorded(Local::new(Local::spec()));
    let upstream = Upstream::answering(&plain("200 OK", JSON, BODY)).await;
    let gateway = local.gateway.clone();
    let answer =
        tokio::spawn(async move { gateway.walk(caller(Limits::default()), chat(false)).await });
    eventually("it is held", async || (local.demand().await.held == 1).then_some(())).await;
    local.ready(&[("claim-0", upstream.address)]);
    let answer = answer.await.unwrap().unwrap();
    let told: f64 = answer.headers["x-diogenes-cold-start-ms"].to_str().unwrap().parse().unwrap();
    let record = shelf.one().await;
    let held = record.held.unwrap();
    assert!((held.took.as_secs_f64() * 1000.0 - told).abs() < 500.0, "{held:?} {told}");
    assert!(held.after + held.took <= record.attempts[0].time.after);
}

#[tokio::test]
async fn requests_that_are_refused_early_are_told_as_far_as_they_were_read() {
    for (body, requested, error, status) in [
        (r#"{"model":"nobody"}"#, Some("nobody"), "model_not_found", 404),
        (r#"{"messages":[]}"#, None, "missing_model", 400),
        ("{", None, "invalid_json", 400),
    ] {
        let (local, shelf) = recorded(Local::new(Local::spec()));
        assert!(walked(&local, request(Dialect::ChatCompletions, body)).await.is_err());
        let record = shelf.one().await;
        assert_eq!(record.requested.as_deref(), requested);
        assert_eq!((record.status, record.error.as_deref()), (status, Some(error)));
        assert_eq!((record.model, record.attempts.len()), (None, 0));
        assert!(record.caller.is_some());
    }
}

#[tokio::test]
async fn a_fallback_tells_of_both_targets_and_the_provider_gets_no_trace_but_ours() {
    let routes = serde_json::json!({ "targets": ["big", "openai/small"], "egress": true });
    let routes =
        Routes::from([("assistant".parse().unwrap(), serde_json::from_value(routes).unwrap())]);
    let out = Upstream::answering(&plain("200 OK", JSON, BODY)).await;
    let spec =
        serde_json::json!({"kind": "openai", "base_url": format!("http://{}/v1", out.address)});
    let name: ProviderName = "openai".parse().unwrap();
    let provider = (name, serde_json::from_value(spec).unwrap(), Some(Secret::new("sk-1")));
    let store = Arc::new(MemoryStore::new(TokioClock::new()));
    let local = Local::with_providers(Local::spec(), &routes, [provider], store);
    let (local, shelf) = recorded(local);
    let busy =
        Upstream::answering(&plain("503 Service Unavailable", JSON, r#"{"error":{}}"#)).await;
    local.publish_as("big".parse().unwrap(), &[("claim-big", busy.address)], |_| {});
    let mut request = request(Dialect::ChatCompletions, r#"{"model":"assistant","messages":[]}"#);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-00");
    request.headers.insert("traceparent", HeaderValue::try_from(parent).unwrap());
    request.headers.insert("baggage", HeaderValue::from_static("user=ann"));
    request.headers.insert("tracestate", HeaderValue::from_static("a=b"));
    let answer = walked(&local, request).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-model"], "openai/small");
    let record = shelf.one().await;
    assert_eq!(record.route.unwrap().as_str(), "assistant");
    assert_eq!(record.model.unwrap().as_str(), "openai/small");
    assert_eq!(record.provider.unwrap().name, "openai");
    assert!(!record.trace.is_sampled, "its caller does not want it to be");
    let [first, second] = &record.attempts[..] else { panic!("{:?}", record.attempts) };
    assert_eq!((first.model.as_str(), first.outcome), ("big", AttemptOutcome::Refused));
    assert_eq!((first.status, first.error.as_deref()), (Some(503), Some("503")));
    assert_eq!((second.asked_as.as_str(), second.outcome), ("small", AttemptOutcome::Answered));
    let seen = out.seen().concat().to_lowercase();
    assert!(seen.contains(&format!("traceparent: 00-{TRACE}-{}-00\r\n", second.span)), "{seen}");
    for leak in ["baggage", "tracestate", "00f067aa0ba902b7"] {
        assert!(!seen.contains(leak), "{leak}: {seen}");
    }
}

#[tokio::test]
async fn where_nobody_takes_records_a_callers_trace_goes_on_to_the_replica_as_it_is() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::answering(&plain("200 OK", JSON, BODY)).await;
    local.ready(&[("claim-0", upstream.address)]);
    let mut request = chat(false);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.headers.insert("traceparent", HeaderValue::try_from(parent.clone()).unwrap());
    walked(&local, request).await.unwrap();
    let seen = upstream.seen();
    assert!(seen[0].contains(&format!("traceparent: {parent}\r\n")), "{seen:?}");
}
