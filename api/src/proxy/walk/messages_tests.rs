//! Requests in the words of Anthropic's Messages, answered by whoever speaks Chat Completions.

use diogenes_core::ports::{Clock, Limits};
use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::proxy::Dialect;
use crate::proxy::testing::{Local, Script, Upstream, caller, events, model, plain, request, text};

const JSON: &str = "content-type: application/json\r\n";
const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m",
    "choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"Hi",
    "tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}}],
    "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;

fn ask(stream: bool) -> InferenceRequest {
    let body = json!({
        "model": model(), "max_tokens": 16, "stream": stream, "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    });
    let mut request = request(Dialect::Messages, body.to_string());
    request.query = Some("beta=true".into());
    request
}

async fn walked(local: &Local, request: InferenceRequest) -> Result<Answer, ApiError> {
    local.gateway.walk(caller(Limits::default()), request).await
}

/// The names and the data of the events of a stream.
fn read(text: &str) -> Vec<(&str, Value)> {
    let frames = text.split("\n\n").filter(|frame| frame.starts_with("event: "));
    frames
        .map(|frame| {
            let (name, data) = frame.split_once("\ndata: ").unwrap();
            (name.strip_prefix("event: ").unwrap(), serde_json::from_str(data).unwrap())
        })
        .collect()
}

async fn local_of(script: Script) -> (Local, Upstream) {
    let upstream = Upstream::start(vec![script]).await;
    let local = Local::new(Local::spec());
    local.ready(&[("claim", upstream.address)]);
    (local, upstream)
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    });
    format!("data: {chunk}\n\n")
}

fn usage() -> String {
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    });
    format!("data: {chunk}\n\n")
}

#[tokio::test]
async fn a_plain_request_and_its_answer_are_translated() {
    let (local, upstream) = local_of(Script::Answer(plain("200 OK", JSON, WHOLE))).await;
    let answer = walked(&local, ask(false)).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-model"], model().as_str());
    let message: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(message["content"][0], json!({"type": "text", "text": "Hi"}));
    assert_eq!(message["content"][1]["input"], json!({"a": 1}));
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(message["usage"]["input_tokens"], 3);
    let seen = &upstream.seen()[0];
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
    let sent: Value = serde_json::from_str(seen.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(sent["messages"][0], json!({"role": "system", "content": "Be brief."}));
}

#[tokio::test]
async fn a_stream_is_translated_however_it_is_cut() {
    let stream = [
        chunk(&json!({"role": "assistant", "content": ""}), None),
        chunk(&json!({"content": "Hé"}), None),
        chunk(&json!({"content": "llo"}), Some("stop")),
        usage(),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let (local, _upstream) = local_of(Script::Answer(events(&stream))).await;
    let answer = walked(&local, ask(true)).await.unwrap();
    let text = text(answer).await;
    let events = read(&text);
    let names: Vec<_> = events.iter().map(|(name, _)| *name).collect();
    let expected = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, expected, "{text}");
    assert_eq!(events[2].1["delta"]["text"], "Hé");
    assert_eq!(events[5].1["delta"]["stop_reason"], "end_turn");
    assert_eq!(events[5].1["usage"]["output_tokens"], 2);
    assert!(!text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_of_messages() {
    let begun = chunk(&json!({"role": "assistant", "content": "Hi"}), None);
    let failed = format!(
        "{begun}data: {{\"error\":{{\"message\":\"out of memory\",\"type\":\"x\"}}}}\n\ndata: [DONE]\n\n"
    );
    for (stream, words) in [(begun, "ended before it was complete"), (failed, "out of memory")] {
        let (local, _upstream) = local_of(Script::Answer(events(&stream))).await;
        let text = text(walked(&local, ask(true)).await.unwrap()).await;
        let events = read(&text);
        let (name, error) = events.last().unwrap();
        assert_eq!((*name, &error["type"]), ("error", &json!("error")), "{text}");
        assert!(error["error"]["message"].as_str().unwrap().contains(words), "{text}");
    }
}

#[tokio::test]
async fn the_replicas_errors_are_translated() {
    let refusal = r#"{"error":{"message":"too long","type":"BadRequestError","code":400}}"#;
    let (local, _upstream) =
        local_of(Script::Answer(plain("400 Bad Request", JSON, refusal))).await;
    let answer = walked(&local, ask(false)).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let error: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(error["error"], json!({"type": "invalid_request_error", "message": "too long"}));
    assert_eq!(error["request_id"], "request-1");
}

#[tokio::test]
async fn what_cannot_be_said_to_the_target_is_refused_before_anything_is_woken() {
    let local = Local::new(Local::spec());
    let body = json!({
        "model": model(), "max_tokens": 16, "mcp_servers": [{"url": "https://example.com"}],
        "messages": [{"role": "user", "content": "Hello"}],
    });
    let woken = local.wake.count();
    let error = walked(&local, request(Dialect::Messages, body.to_string())).await.unwrap_err();
    assert_eq!(
        (error.status(), error.param.as_deref()),
        (StatusCode::BAD_REQUEST, Some("mcp_servers"))
    );
    assert_eq!(local.wake.count(), woken);
}

#[tokio::test]
async fn tokens_are_counted_by_a_replica_that_runs_and_none_is_started_for_it() {
    let count = || {
        let body = json!({
            "model": model(), "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hello"}],
        });
        request(Dialect::CountTokens, body.to_string())
    };
    let local = Local::new(Local::spec());
    let error = walked(&local, count()).await.unwrap_err();
    assert_eq!((error.status(), local.wake.count()), (StatusCode::NOT_FOUND, 0));
    assert!(local.demand().await.last_request_at.is_none());

    let (local, upstream) =
        local_of(Script::Answer(plain("200 OK", JSON, r#"{"count":12,"tokens":[1]}"#))).await;
    let answer = walked(&local, count()).await.unwrap();
    assert_eq!(text(answer).await, r#"{"input_tokens":12}"#);
    let seen = &upstream.seen()[0];
    assert!(seen.starts_with("POST /tokenize HTTP/1.1"), "{seen}");
    assert!(seen.contains(r#"{"role":"system","content":"Be brief."}"#), "{seen}");
    // A count of another shape does not count.
    let (local, _upstream) = local_of(Script::Answer(plain("200 OK", JSON, "{}"))).await;
    let error = walked(&local, count()).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn limits_are_told_in_the_words_of_both_apis() {
    let (local, _upstream) = local_of(Script::Answer(plain("200 OK", JSON, WHOLE))).await;
    let limits = Limits {
        requests_per_minute: Some(5),
        tokens_per_minute: Some(100_000),
        ..Limits::default()
    };
    let answer = local.gateway.walk(caller(limits), ask(false)).await.unwrap();
    let field = |name: &str| answer.headers[name].to_str().unwrap();
    assert_eq!(field("x-ratelimit-limit-requests"), "5");
    assert_eq!(field("anthropic-ratelimit-requests-limit"), "5");
    assert_eq!(field("anthropic-ratelimit-requests-remaining"), "4");
    assert_eq!(
        field("anthropic-ratelimit-tokens-remaining"),
        field("x-ratelimit-remaining-tokens")
    );
    let reset: diogenes_core::Timestamp =
        field("anthropic-ratelimit-tokens-reset").parse().unwrap();
    let now = local.clock.now();
    assert!(reset >= now - std::time::Duration::from_mins(1), "{reset} at {now}");
    assert!(reset <= now + std::time::Duration::from_mins(2), "{reset} at {now}");
}
