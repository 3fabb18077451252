//! Requests that are walked by a caller without HTTP.

use std::time::Duration;

use bytes::Bytes;
use diogenes_core::fleet::FailureKind;
use diogenes_core::ports::{Clock, Limits, TokenBound};
use http::{HeaderValue, StatusCode};

use super::*;
use crate::error::ErrorKind;
use crate::proxy::testing::{
    Local, Script, Upstream, caller, chat, events, eventually, model, plain, request,
};
use crate::proxy::{AnswerStream, Dialect};

const WHOLE: &str = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
const JSON: &str = "content-type: application/json\r\n";

fn whole() -> Script {
    Script::Answer(plain("200 OK", JSON, WHOLE))
}

async fn walked(local: &Local, request: InferenceRequest) -> Result<Answer, ApiError> {
    local.gateway.walk(caller(Limits::default()), request).await
}

fn bytes(answer: Answer) -> Bytes {
    match answer.body {
        AnswerBody::Whole(bytes) => bytes,
        AnswerBody::Stream(_) => panic!("a stream"),
    }
}

fn stream(answer: Answer) -> AnswerStream {
    match answer.body {
        AnswerBody::Stream(stream) => stream,
        AnswerBody::Whole(bytes) => panic!("{}", bytes.escape_ascii()),
    }
}

async fn text(mut stream: AnswerStream) -> String {
    let mut text = String::new();
    while let Some(bytes) = stream.next().await {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

#[tokio::test]
async fn a_caller_without_http_walks_a_request() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::start(vec![whole()]).await;
    local.ready(&[("claim-0", upstream.address)]);
    let answer = walked(&local, chat(false)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["x-diogenes-model"], model().as_str());
    assert_eq!(bytes(answer), WHOLE);
    let seen = upstream.seen();
    assert!(seen[0].contains("authorization: Bearer up-secret\r\n"), "{seen:?}");
    assert!(seen[0].contains("x-request-id: request-1\r\n"), "{seen:?}");
}

#[tokio::test]
async fn the_limits_that_a_caller_reads_are_those_of_its_own_key() {
    let fields = format!(
        "{JSON}x-ratelimit-limit-requests: 9\r\nx-ratelimit-remaining-tokens: 9\r\n\
         openai-organization: org\r\nopenai-processing-ms: 5\r\n"
    );
    let upstream = Upstream::answering(&plain("200 OK", &fields, WHOLE)).await;
    let local = Local::new(Local::spec());
    local.ready(&[("claim-0", upstream.address)]);
    let unlimited = walked(&local, chat(false)).await.unwrap().headers;
    assert!(
        !unlimited.keys().any(|name| name.as_str().starts_with("x-ratelimit")),
        "{unlimited:?}"
    );
    assert!(!unlimited.contains_key("openai-organization"));
    assert_eq!(unlimited["openai-processing-ms"], "5");
    let limits = Limits { requests_per_minute: Some(2), ..Limits::default() };
    let limited = local.gateway.walk(caller(limits), chat(false)).await.unwrap().headers;
    assert_eq!(limited["x-ratelimit-limit-requests"], "2");
    assert!(!limited.contains_key("x-ratelimit-remaining-tokens"), "{limited:?}");
}

#[tokio::test]
async fn a_404_of_a_replica_that_says_nothing_names_the_setting() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::answering(&plain("404 Not Found", "", "")).await;
    local.ready(&[("claim-0", upstream.address)]);
    let error = walked(&local, chat(false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UpstreamRefused);
    assert!(error.message.contains("`upstream_model`"), "{}", error.message);
}

#[tokio::test]
async fn a_held_request_counts_once() {
    for is_stream in [false, true] {
        let local = Local::new(Local::spec());
        let upstream = Upstream::start(vec![Script::Hang]).await;
        let gateway = local.gateway.clone();
        let walk = tokio::spawn(async move {
            let answer = gateway.walk(caller(Limits::default()), chat(is_stream)).await;
            text(stream(answer.unwrap())).await
        });
        let held = eventually("the request waits", async || {
            let demand = local.demand().await;
            (demand.held == 1).then_some(demand)
        });
        assert_eq!(held.await.total(), 1);
        assert!(local.wake.count() >= 1);
        local.ready(&[("claim-0", upstream.address)]);
        eventually("the request is sent", async || (!upstream.seen().is_empty()).then_some(()))
            .await;
        let demand = local.demand().await;
        assert_eq!((demand.held, demand.total()), (0, 1), "{demand:?}");
        walk.abort();
        eventually("it has ended", async || (local.demand().await.total() == 0).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn a_request_is_written_to_one_replica_only() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::start(vec![Script::Close, whole()]).await;
    local.ready(&[("claim-0", upstream.address)]);
    let error = walked(&local, chat(false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UpstreamUnreachable);
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(local.demand().await.total(), 0);
}

#[tokio::test]
async fn one_that_could_not_be_sent_goes_to_another_replica() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::start(vec![whole()]).await;
    let closed = Upstream::start(vec![Script::Hang]).await.address;
    local.ready(&[("claim-0", closed), ("claim-1", upstream.address)]);
    assert_eq!(bytes(walked(&local, chat(false)).await.unwrap()), WHOLE);
}

#[tokio::test]
async fn the_same_request_ends_no_third_replica() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::start(vec![Script::Close, Script::Close, whole()]).await;
    for claim in ["claim-0", "claim-1"] {
        local.ready(&[(claim, upstream.address)]);
        let error = walked(&local, chat(false)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UpstreamUnreachable);
    }
    local.ready(&[("claim-2", upstream.address)]);
    let error = walked(&local, chat(false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RequestCrashesModel);
    assert!(error.headers.iter().any(|(name, value)| name == "x-should-retry" && value == "false"));
    assert_eq!(upstream.seen().len(), 2);
    // Another request is served.
    assert_eq!(bytes(walked(&local, chat(true)).await.unwrap()), WHOLE);
}

#[tokio::test]
async fn a_lost_connection_to_a_replica_that_lives_is_held_against_nobody() {
    let local = Local::new(Local::spec());
    let scripts = vec![Script::Close, Script::Close, Script::Close, whole()];
    let upstream = Upstream::start(scripts).await;
    local.ready(&[("claim-0", upstream.address)]);
    for _ in 0..3 {
        let error = walked(&local, chat(false)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UpstreamUnreachable);
    }
    assert_eq!(bytes(walked(&local, chat(false)).await.unwrap()), WHOLE);
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_counts() {
    let local = Local::new(Local::spec());
    let refusal = plain("413 Payload Too Large", JSON, r#"{"error":{"message":"too long"}}"#);
    let upstream = Upstream::start(vec![Script::Early(refusal), whole()]).await;
    local.ready(&[("claim-0", upstream.address)]);
    let padding = "x".repeat(8 << 20);
    let body = format!(r#"{{"model":"{}","messages":[],"user":"{padding}"}}"#, model());
    let answer = walked(&local, request(Dialect::ChatCompletions, body)).await.unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bytes(answer), r#"{"error":{"message":"too long"}}"#);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_replica_that_refuses_the_key_of_diogenes_is_not_the_callers_fault() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let local = Local::new(Local::spec());
        let upstream =
            Upstream::answering(&plain(status, JSON, r#"{"error":"Unauthorized"}"#)).await;
        local.ready(&[("claim-0", upstream.address)]);
        let error = walked(&local, chat(false)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UpstreamDenied);
        assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
        assert!(error.message.contains(&status[..3]), "{}", error.message);
    }
}

#[tokio::test]
async fn an_error_in_html_becomes_an_error_object_of_the_same_status() {
    let local = Local::new(Local::spec());
    let html = "content-type: text/html\r\nretry-after: 7\r\n";
    let upstream = Upstream::answering(&plain("429 Too Many Requests", html, "<html>")).await;
    local.ready(&[("claim-0", upstream.address)]);
    let error = walked(&local, chat(false)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.status()),
        (ErrorKind::UpstreamRefused, StatusCode::TOO_MANY_REQUESTS)
    );
    assert!(error.headers.iter().any(|(name, value)| name == "retry-after" && value == "7"));
    assert_eq!(error.body().error.kind, "rate_limit_error");
}

const USAGE_ALONE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":12}}\n\n";

#[tokio::test]
async fn usage_is_asked_for_where_a_limit_counts_tokens_and_its_event_is_taken_out() {
    let local = Local::new(Local::spec());
    let content =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n";
    let done = "data: [DONE]\n\n";
    let upstream = Upstream::answering(&events(&format!("{content}{USAGE_ALONE}{done}"))).await;
    local.ready(&[("claim-0", upstream.address)]);
    let limits = Limits { tokens_per_minute: Some(100_000), ..Limits::default() };
    let answer = local.gateway.walk(caller(limits), chat(true)).await.unwrap();
    assert_eq!(text(stream(answer)).await, format!("{content}{done}"));
    assert!(upstream.seen()[0].contains(r#""stream_options":{"include_usage":true}"#));
    let (key, none) = (caller(limits).key.clone(), TokenBound::new(0));
    let admission = local.gateway.limiter.admit(&key, &limits, none, local.clock.now()).await;
    let tokens = admission.unwrap().status.tokens.unwrap();
    assert_eq!(tokens.limit - tokens.remaining, 42);

    // Who asks for it gets it, and nobody else's request is touched.
    let asks = format!(
        r#"{{"model":"{}","stream":true,"stream_options":{{"include_usage":true}}}}"#,
        model()
    );
    let answer =
        local.gateway.walk(caller(limits), request(Dialect::ChatCompletions, asks)).await.unwrap();
    assert_eq!(text(stream(answer)).await, format!("{content}{USAGE_ALONE}{done}"));
    text(stream(walked(&local, chat(true)).await.unwrap())).await;
    assert!(!upstream.seen()[2].contains("stream_options"));
}

#[tokio::test]
async fn a_held_stream_tells_that_it_is_ready_in_one_piece_with_the_first_event() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::answering(&events("data: {\"x\":1}\n\ndata: [DONE]\n\n")).await;
    let mut stream = stream(walked(&local, chat(true)).await.unwrap());
    let first = stream.next().await.unwrap();
    let first = std::str::from_utf8(&first).unwrap();
    assert!(first.starts_with(": diogenes {") && first.contains("\"elapsed_s\":0"), "{first}");
    local.ready(&[("claim-0", upstream.address)]);
    let next = stream.next().await.unwrap();
    let next = std::str::from_utf8(&next).unwrap();
    let (comment, event) = next.split_once("\n\n").unwrap();
    assert!(comment.starts_with(": diogenes {") && comment.contains("\"ready\""), "{next}");
    assert!(event.starts_with("data: {\"x\":1}"), "{next}");
}

#[tokio::test(start_paused = true)]
async fn a_long_hold_sends_events_that_say_nothing_unless_told_otherwise() {
    let heard = async |interval: Duration, dialect: Dialect| {
        let mut spec = Local::spec();
        spec.hold_event_interval = interval;
        let local = Local::new(spec);
        let body = format!(r#"{{"model":"{}","stream":true}}"#, model());
        let mut stream = stream(walked(&local, request(dialect, body)).await.unwrap());
        let began = tokio::time::Instant::now();
        let mut at = Vec::new();
        while began.elapsed() < Duration::from_secs(130) {
            let bytes = stream.next().await.unwrap();
            let text = std::str::from_utf8(&bytes).unwrap();
            if let Some((_, event)) = text.split_once("data: ") {
                let event: serde_json::Value = serde_json::from_str(event).unwrap();
                assert_eq!(event["choices"][0]["index"], 0);
                assert_eq!(event["model"], model().as_str());
                at.push(began.elapsed().as_secs());
            }
        }
        at
    };
    let half = Duration::from_secs(30);
    assert_eq!(heard(half, Dialect::ChatCompletions).await, [60, 90, 120]);
    assert_eq!(heard(half, Dialect::Completions).await, [60, 90, 120]);
    assert!(heard(half, Dialect::Responses).await.is_empty());
    assert!(heard(Duration::ZERO, Dialect::ChatCompletions).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_not_to_retry_where_that_cannot_help_soon() {
    let local = Local::new(Local::spec());
    let refused = async |kind: FailureKind, seconds: u64| {
        let failure = local.failed_start(kind, Duration::from_secs(seconds));
        local.publish(&[], |control| control.failure = Some(failure));
        let error = walked(&local, chat(false)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ModelFailed(kind));
        assert!(error.message.contains(&format!("{seconds} seconds")), "{}", error.message);
        error.headers.iter().any(|(name, value)| name == "x-should-retry" && value == "false")
    };
    assert!(!refused(FailureKind::Exited, 20).await);
    assert!(refused(FailureKind::Exited, 300).await);
    assert!(refused(FailureKind::Quota, 5).await);
    assert!(refused(FailureKind::InvalidSpec, 5).await);
}

#[tokio::test]
async fn a_traceparent_of_garbage_is_no_reason_to_refuse_a_request() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::start(vec![whole()]).await;
    local.ready(&[("claim-0", upstream.address)]);
    let mut request = chat(false);
    request.headers.insert("traceparent", HeaderValue::from_static("00-garbage"));
    assert_eq!(walked(&local, request).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_whose_answers_ended_two_replicas_does_not_meet_a_third() {
    let json = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 99\r\n\r\n{{\"id\"");
    let event = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"x\":1}\n\n";
    for (is_stream, cut) in [(false, json.as_str()), (true, event)] {
        let local = Local::new(Local::spec());
        let upstream = Upstream::answering(cut).await;
        for claim in ["claim-0", "claim-1"] {
            local.ready(&[(claim, upstream.address)]);
            match walked(&local, chat(is_stream)).await {
                Ok(answer) => assert!(text(stream(answer)).await.contains("upstream_cut")),
                Err(error) => assert_eq!(error.kind, ErrorKind::UpstreamCut),
            }
        }
        local.ready(&[("claim-2", upstream.address)]);
        let error = walked(&local, chat(is_stream)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::RequestCrashesModel);
        assert_eq!(upstream.seen().len(), 2);
    }
}

/// The tokens that count against the limit of `caller` after this request.
async fn counted(local: &Local, request: InferenceRequest, script: &str) -> u32 {
    let limits = Limits { tokens_per_minute: Some(100_000), ..Limits::default() };
    let upstream = Upstream::answering(script).await;
    local.ready(&[("claim-0", upstream.address)]);
    if let Ok(answer) = local.gateway.walk(caller(limits), request).await
        && let AnswerBody::Stream(stream) = answer.body
    {
        text(stream).await;
    }
    let (key, none) = (caller(limits).key.clone(), TokenBound::new(0));
    let admission = local.gateway.limiter.admit(&key, &limits, none, local.clock.now()).await;
    let tokens = admission.unwrap().status.tokens.unwrap();
    tokens.limit - tokens.remaining
}

#[tokio::test]
async fn what_is_not_known_to_be_unused_counts() {
    let body = chat(false).body.len();
    let reserved = u32::try_from(body + 4096).unwrap();
    let guessed = u32::try_from(body / 4 + 3).unwrap();
    for (what, script, wanted) in [
        ("an error of the replica", plain("400 Bad Request", JSON, r#"{"error":{}}"#), 0),
        ("an error in HTML", plain("429 No", "content-type: text/html\r\n", "<html>"), 0),
        ("its usage", plain("200 OK", JSON, WHOLE), 7),
        ("no usage", plain("200 OK", JSON, r#"{"id":"abcdef"}"#), guessed),
        ("half an answer", plain("200 OK", JSON, r#"{"id""#), reserved),
    ] {
        let local = Local::new(Local::spec());
        assert_eq!(counted(&local, chat(false), &script).await, wanted, "{what}");
    }
}

#[tokio::test]
async fn the_reservation_of_a_caller_who_goes_away_stands() {
    let local = Local::new(Local::spec());
    let upstream = Upstream::start(vec![Script::Hang]).await;
    local.ready(&[("claim-0", upstream.address)]);
    let limits = Limits { tokens_per_minute: Some(100_000), ..Limits::default() };
    let gateway = local.gateway.clone();
    let walk = tokio::spawn(async move { gateway.walk(caller(limits), chat(false)).await });
    eventually("the replica has it", async || (upstream.seen().len() == 1).then_some(())).await;
    walk.abort();
    assert!(walk.await.unwrap_err().is_cancelled());
    let key = caller(limits).key.clone();
    let reserved = u32::try_from(chat(false).body.len() + 4096).unwrap();
    eventually("it counts", async || {
        let none = TokenBound::new(0);
        let admission = local.gateway.limiter.admit(&key, &limits, none, local.clock.now()).await;
        let tokens = admission.unwrap().status.tokens.unwrap();
        (tokens.limit - tokens.remaining == reserved).then_some(())
    })
    .await;
}
