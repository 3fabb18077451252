//! Answers that a route keeps.

use diogenes_core::gateway::Routes;
use diogenes_core::gateway::cache::AnswerShelf;
use diogenes_core::ports::Limits;
use diogenes_core::testing::MemoryStore;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::proxy::testing::{
    Local, Script, TokioClock, Upstream, caller, events, eventually, model, plain, request, text,
};
use crate::proxy::{AnswerBody, Dialect};

const BODY: &str = r#"{"id":"x","choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":4}}"#;
const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n: from the engine\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";

/// A route that keeps answers, and a replica that answers so.
async fn scene(script: Script) -> (Local, Upstream) {
    let routes = [
        ("kept", json!({ "targets": [model()], "cache_ttl": "10m" })),
        ("other", json!({ "targets": [model()], "cache_ttl": "10m" })),
        ("fresh", json!({ "targets": [model()] })),
        (
            "any",
            json!({ "targets": [model(), "second"], "cache_ttl": "10m", "strategy": "weighted" }),
        ),
    ];
    let routes = Routes::from(
        routes.map(|(name, route)| (name.parse().unwrap(), serde_json::from_value(route).unwrap())),
    );
    let mut local = Local::with_routes(Local::spec(), &routes);
    let store = Arc::new(MemoryStore::new(TokioClock::new()));
    let shelf = Arc::new(AnswerShelf::new(store));
    let gateway = Arc::into_inner(local.gateway).unwrap().with_answers_in(shelf);
    local.gateway = Arc::new(gateway);
    let upstream = Upstream::start(vec![script]).await;
    local.ready(&[("claim-0", upstream.address)]);
    (local, upstream)
}

fn whole() -> Script {
    Script::Answer(plain("200 OK", "content-type: application/json\r\n", BODY))
}

fn ask(route: &str, more: &Value) -> InferenceRequest {
    let mut body = json!({
        "model": route, "temperature": 0, "messages": [{"role": "user", "content": "hi"}],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request(Dialect::ChatCompletions, body.to_string())
}

async fn asked(local: &Local, request: InferenceRequest) -> Answer {
    local.gateway.walk(caller(Limits::default()), request).await.unwrap()
}

/// The answer to the same request once one is kept, and the one before.
async fn twice(local: &Local, route: &str, more: &Value) -> (Answer, Answer) {
    let first = asked(local, ask(route, more)).await;
    let first = Answer { body: AnswerBody::Whole(text_of(first.body).await.into()), ..first };
    let second = eventually("it is kept", async || {
        let answer = asked(local, ask(route, more)).await;
        (answer.headers["x-diogenes-cache"] == "hit").then_some(answer)
    });
    (first, second.await)
}

async fn text_of(body: AnswerBody) -> String {
    let (status, headers) = (StatusCode::OK, http::HeaderMap::new());
    text(Answer { status, headers, body }).await
}

#[tokio::test]
async fn a_kept_answer_is_the_same_and_asks_nobody() {
    let (local, upstream) = scene(whole()).await;
    let (first, second) = twice(&local, "kept", &json!({})).await;
    assert_eq!(first.headers["x-diogenes-cache"], "miss");
    let sent = upstream.seen().len();
    // The model sleeps, and is not woken for it.
    local.publish(&[], |_| {});
    let woken = local.wake.count();
    let third = asked(&local, ask("kept", &json!({}))).await;
    for answer in [&second, &third] {
        assert_eq!(answer.headers["x-diogenes-route"], "kept; reason=cached");
        assert_eq!(answer.headers["x-diogenes-model"], model().as_str());
        assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
        assert!(answer.headers.contains_key(AGE));
    }
    assert_eq!(text(first).await, BODY);
    assert_eq!(text(second).await, BODY);
    assert_eq!(text(third).await, BODY);
    assert_eq!((upstream.seen().len(), local.wake.count()), (sent, woken));
}

#[tokio::test]
async fn a_kept_stream_has_everything_that_it_had() {
    let (local, _upstream) = scene(Script::Answer(events(EVENTS))).await;
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let (first, second) = twice(&local, "kept", &more).await;
    assert!(second.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/event-stream"));
    assert_eq!(text(first).await, EVENTS);
    assert_eq!(text(second).await, EVENTS);
}

#[tokio::test]
async fn what_differs_or_is_left_to_chance_is_asked_again() {
    let (local, upstream) = scene(whole()).await;
    let (_, hit) = twice(&local, "kept", &json!({})).await;
    drop(hit);
    let before = upstream.seen().len();
    for (route, more) in [
        ("other", json!({})),
        ("kept", json!({"seed": 7})),
        ("kept", json!({"temperature": 0.5})),
        ("kept", json!({"temperature": null})),
        ("kept", json!({"n": 2})),
        ("fresh", json!({})),
    ] {
        let answer = asked(&local, ask(route, &more)).await;
        assert_ne!(answer.headers.get("x-diogenes-cache"), Some(&"hit".parse().unwrap()), "{more}");
    }
    assert_eq!(upstream.seen().len(), before + 6);
    // Another engine behind the name says something else.
    let mut local = local;
    local.spec.command.push("--another".into());
    local.ready(&[("claim-0", upstream.address)]);
    let answer = asked(&local, ask("kept", &json!({}))).await;
    assert_eq!(answer.headers["x-diogenes-cache"], "miss");
    drop(twice(&local, "kept", &json!({})).await);
    // And so does the same engine, asked for another of its models.
    local.spec.upstream_model = Some("an-adapter".into());
    local.ready(&[("claim-0", upstream.address)]);
    let answer = asked(&local, ask("kept", &json!({}))).await;
    assert_eq!(answer.headers["x-diogenes-cache"], "miss");
}

#[tokio::test]
async fn headers_that_change_answers_make_another_request() {
    let (local, _upstream) = scene(whole()).await;
    drop(twice(&local, "kept", &json!({})).await);
    for name in ["openai-beta", "anthropic-beta", "anthropic-version"] {
        let mut request = ask("kept", &json!({}));
        request.headers.insert(name, HeaderValue::from_static("2026-01-01"));
        assert_eq!(asked(&local, request).await.headers["x-diogenes-cache"], "miss", "{name}");
    }
    let mut request = ask("kept", &json!({}));
    request.headers.insert("user-agent", HeaderValue::from_static("another"));
    assert_eq!(asked(&local, request).await.headers["x-diogenes-cache"], "hit");
}

#[tokio::test]
async fn the_order_in_which_targets_are_tried_does_not_matter() {
    let (local, upstream) = scene(whole()).await;
    local.publish_as("second".parse().unwrap(), &[("claim-1", upstream.address)], |_| {});
    let (_, hit) = twice(&local, "any", &json!({})).await;
    drop(hit);
    let before = upstream.seen().len();
    for session in 0..16 {
        let mut request = ask("any", &json!({}));
        request.headers.insert("x-session-id", HeaderValue::from(session));
        let answer = asked(&local, request).await;
        assert_eq!(answer.headers["x-diogenes-cache"], "hit", "{session}");
    }
    assert_eq!(upstream.seen().len(), before);
}

#[tokio::test]
async fn a_kept_answer_needs_no_tokens_of_the_key() {
    let (local, _upstream) = scene(whole()).await;
    drop(twice(&local, "kept", &json!({})).await);
    let limits =
        Limits { tokens_per_minute: Some(20), requests_per_minute: Some(4), ..Limits::default() };
    let ask_as = async |more: Value| {
        local.gateway.walk(caller(limits), ask("kept", &more)).await.map(|answer| {
            assert_eq!(answer.headers["x-ratelimit-limit-requests"], "4");
            answer.headers["x-diogenes-cache"].clone()
        })
    };
    // All of its tokens are set aside, then used in part.
    assert_eq!(ask_as(json!({"seed": 1})).await.unwrap(), "miss");
    assert_eq!(ask_as(json!({"seed": 2})).await.unwrap_err().kind, ErrorKind::RateLimited);
    for _ in 0..3 {
        assert_eq!(ask_as(json!({})).await.unwrap(), "hit");
    }
    // It counts as a request all the same.
    assert_eq!(ask_as(json!({})).await.unwrap_err().kind, ErrorKind::RateLimited);
}

#[tokio::test]
async fn a_caller_may_want_a_fresh_answer_or_none_that_is_kept() {
    let (local, upstream) = scene(whole()).await;
    let with = |value: &'static str| {
        let mut request = ask("kept", &json!({}));
        request.headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
        request
    };
    assert!(!asked(&local, with("no-store")).await.headers.contains_key("x-diogenes-cache"));
    let (_, hit) = twice(&local, "kept", &json!({})).await;
    drop(hit);
    let before = upstream.seen().len();
    assert_eq!(asked(&local, with("no-cache")).await.headers["x-diogenes-cache"], "miss");
    assert_eq!(upstream.seen().len(), before + 1);
}

#[tokio::test]
async fn errors_and_streams_that_break_off_are_not_kept() {
    let error = r#"{"error":{"message":"no","type":"invalid_request_error","code":400}}"#;
    let refuses = plain("400 Bad Request", "content-type: application/json\r\n", error);
    let cut = events(EVENTS).replace("data: [DONE]\n\n", "");
    for (script, stream) in [(Script::Answer(refuses), false), (Script::Answer(cut), true)] {
        let (local, upstream) = scene(script).await;
        for _ in 0..3 {
            let answer = asked(&local, ask("kept", &json!({ "stream": stream }))).await;
            assert_ne!(answer.headers.get("x-diogenes-cache"), Some(&"hit".parse().unwrap()));
            text(answer).await;
        }
        assert_eq!(upstream.seen().len(), 3);
    }
}

#[tokio::test]
async fn answers_that_their_engine_did_not_finish_are_not_kept() {
    let stop = r#""finish_reason":"stop""#;
    let whole = |body: &str| plain("200 OK", "content-type: application/json\r\n", body);
    let error = "data: {\"error\":{\"message\":\"oom\",\"code\":500}}\n\ndata: [DONE]";
    for (script, stream) in [
        (whole("{}"), false),
        (whole(r#"{"choices":[]}"#), false),
        (whole(r#"{"error":{"message":"oom"}}"#), false),
        (whole(&BODY.replace("stop", "abort")), false),
        (events("data: [DONE]\n\n"), true),
        (events(&EVENTS.replace("data: [DONE]", error)), true),
        (events(&EVENTS.replace("\"stop\"", "\"abort\"")), true),
        (events(&EVENTS.replace(stop, "\"index\":0")), true),
    ] {
        let (local, upstream) = scene(Script::Answer(script.clone())).await;
        for _ in 0..3 {
            let answer = asked(&local, ask("kept", &json!({ "stream": stream }))).await;
            assert_eq!(answer.headers["x-diogenes-cache"], "miss", "{script}");
            text(answer).await;
        }
        assert_eq!(upstream.seen().len(), 3, "{script}");
    }
}
