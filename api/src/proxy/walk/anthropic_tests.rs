//! Requests that leave for a provider that speaks Anthropic's Messages.

use diogenes_core::gateway::Routes;
use diogenes_core::ports::Limits;
use diogenes_core::secret::Secret;
use diogenes_core::testing::MemoryStore;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::proxy::Dialect;
use crate::proxy::testing::{
    Local, Script, TokioClock, Upstream, caller, events, plain, request, text,
};

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude",
    "content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}],
    "stop_reason":"tool_use","stop_sequence":null,
    "usage":{"input_tokens":3,"cache_read_input_tokens":20,"output_tokens":4}}"#;

async fn provider(scripts: Vec<Script>) -> (Local, Upstream) {
    let upstream = Upstream::start(scripts).await;
    let spec = json!({
        "kind": "anthropic", "base_url": format!("http://{}", upstream.address),
        "default_max_tokens": 77,
    });
    let provider = (
        "claude".parse().unwrap(),
        serde_json::from_value(spec).unwrap(),
        Some(Secret::new("sk-ant-operator")),
    );
    let store = Arc::new(MemoryStore::new(TokioClock::new()));
    (Local::with_providers(Local::spec(), &Routes::new(), [provider], store), upstream)
}

async fn whole(status: &str, body: &str) -> (Local, Upstream) {
    let answer = plain(status, "content-type: application/json\r\n", body);
    provider(vec![Script::Answer(answer)]).await
}

fn ask(dialect: Dialect, fields: &Value) -> InferenceRequest {
    let mut body = json!({
        "model": "claude/haiku", "messages": [{"role": "user", "content": "Hello"}],
    });
    for (field, value) in fields.as_object().unwrap() {
        body[field] = value.clone();
    }
    request(dialect, body.to_string())
}

async fn walked(local: &Local, request: InferenceRequest) -> Result<Answer, ApiError> {
    local.gateway.walk(caller(Limits::default()), request).await
}

fn sent(upstream: &Upstream) -> (String, Value) {
    let seen = upstream.seen();
    let (head, body) = seen.last().unwrap().split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn who_speaks_messages_is_passed_on_as_it_is() {
    let (local, upstream) = whole("200 OK", MESSAGE).await;
    let fields = json!({"max_tokens": 5, "container": "kept", "messages": []});
    let mut asked = ask(Dialect::Messages, &fields);
    asked.query = Some("beta=true".into());
    asked.headers.insert("anthropic-beta", HeaderValue::from_static("tools-2030-01-01"));
    asked.headers.insert("x-api-key", HeaderValue::from_static("the-caller"));
    let answer = walked(&local, asked).await.unwrap();
    assert_eq!(text(answer).await, MESSAGE);
    let (head, body) = sent(&upstream);
    assert!(head.starts_with("post /v1/messages?beta=true http/1.1"), "{head}");
    for field in [
        "x-api-key: sk-ant-operator",
        "anthropic-version: 2023-06-01",
        "anthropic-beta: tools-2030-01-01",
    ] {
        assert!(head.contains(field), "{head}");
    }
    assert!(!head.contains("the-caller") && !head.contains("authorization"), "{head}");
    assert_eq!((&body["model"], &body["container"]), (&json!("haiku"), &json!("kept")));
}

#[tokio::test]
async fn who_speaks_chat_is_translated_plain_and_streamed() {
    let (local, upstream) = whole("200 OK", MESSAGE).await;
    let answer = walked(&local, ask(Dialect::ChatCompletions, &json!({}))).await.unwrap();
    let answer: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hi");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(answer["usage"]["prompt_tokens"], 23);
    let (head, body) = sent(&upstream);
    assert!(head.starts_with("post /v1/messages http/1.1"), "{head}");
    assert_eq!((&body["model"], &body["max_tokens"]), (&json!("haiku"), &json!(77)));

    let named =
        |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    let stream: String = [
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "claude", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ]
    .into_iter()
    .map(named)
    .collect();
    let (local, _upstream) = provider(vec![Script::Answer(events(&stream))]).await;
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    for (dialect, fields) in [
        (Dialect::ChatCompletions, json!({"stream": true})),
        (Dialect::ChatCompletions, options),
        (Dialect::Messages, json!({"stream": true, "max_tokens": 5})),
    ] {
        let asks_for_usage = fields.get("stream_options").is_some();
        let answer = walked(&local, ask(dialect, &fields)).await.unwrap();
        let text = text(answer).await;
        if dialect == Dialect::Messages {
            assert_eq!(text, stream);
            continue;
        }
        assert!(text.ends_with("data: [DONE]\n\n") && text.contains(r#""content":"Hi""#), "{text}");
        assert_eq!(
            text.contains(r#""prompt_tokens":3,"completion_tokens":4"#),
            asks_for_usage,
            "{text}"
        );
    }
    // Whatever the caller was told, it was counted.
    let metrics = local.dispatcher.hosted("claude/haiku").unwrap().metrics().clone();
    assert_eq!(metrics.tokens(), (9, 12));
}

#[tokio::test]
async fn its_errors_are_told_in_the_words_of_the_caller() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"It is busy"}}"#;
    let (local, _upstream) = whole("529 Overloaded", error).await;
    let answer = walked(&local, ask(Dialect::ChatCompletions, &json!({}))).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let told: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(told["error"]["message"], "It is busy");
    let answer = walked(&local, ask(Dialect::Messages, &json!({"max_tokens": 5}))).await.unwrap();
    assert_eq!((answer.status.as_u16(), text(answer).await.as_str()), (529, error));
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_before_it_is_asked() {
    let (local, upstream) = whole("200 OK", MESSAGE).await;
    let error = walked(&local, ask(Dialect::Embeddings, &json!({"input": "x"}))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("has no `/v1/embeddings`"), "{}", error.message);
    let error = walked(&local, ask(Dialect::ChatCompletions, &json!({"n": 3}))).await.unwrap_err();
    assert_eq!(error.param.as_deref(), Some("n"));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn it_counts_tokens_itself() {
    let (local, upstream) = whole("200 OK", r#"{"input_tokens":9}"#).await;
    let answer = walked(&local, ask(Dialect::CountTokens, &json!({}))).await.unwrap();
    assert_eq!(text(answer).await, r#"{"input_tokens":9}"#);
    assert!(sent(&upstream).0.starts_with("post /v1/messages/count_tokens http/1.1"));
}
