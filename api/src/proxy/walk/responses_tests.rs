//! Requests in the words of OpenAI's Responses, answered by targets that do not have them.

use diogenes_core::fleet::ResponsesApi;
use diogenes_core::gateway::Routes;
use diogenes_core::ports::Limits;
use diogenes_core::testing::MemoryStore;
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::proxy::Dialect;
use crate::proxy::testing::{
    Local, Script, TokioClock, Upstream, caller, events, model, plain, request, text,
};

const JSON: &str = "content-type: application/json\r\n";
const COMPLETION: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m",
    "choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}],
    "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude",
    "content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,
    "usage":{"input_tokens":3,"output_tokens":4}}"#;
const CHUNKS: &str = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\ndata: [DONE]\n\n";

fn message_events() -> String {
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 3}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ];
    events.iter().fold(String::new(), |all, event| {
        format!("{all}event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
    })
}

/// A gateway with a provider of this kind.
async fn provider(kind: &str, script: Script) -> (Local, Upstream) {
    let upstream = Upstream::start(vec![script]).await;
    let spec = json!({"kind": kind, "base_url": format!("http://{}", upstream.address)});
    let provider = ("hosted".parse().unwrap(), serde_json::from_value(spec).unwrap(), None);
    let store = Arc::new(MemoryStore::new(TokioClock::new()));
    (Local::with_providers(Local::spec(), &Routes::new(), [provider], store), upstream)
}

async fn ask(local: &Local, model: &str, fields: &Value) -> Result<Answer, ApiError> {
    let mut body = json!({"model": model, "input": "Hello"});
    for (field, value) in fields.as_object().unwrap() {
        body[field] = value.clone();
    }
    let request = request(Dialect::Responses, body.to_string());
    local.gateway.walk(caller(Limits::default()), request).await
}

/// The data of the events of a stream.
fn read(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn check(response: &Value) {
    assert_eq!(response["object"], "response");
    assert_eq!(response["id"], "resp_request-1");
    assert_eq!(response["output"][0]["content"][0]["text"], "Hi");
    assert_eq!(
        (&response["usage"]["input_tokens"], &response["usage"]["output_tokens"]),
        (&json!(3), &json!(4))
    );
}

#[tokio::test]
async fn targets_that_speak_chat_or_messages_answer_plain_and_streamed() {
    for (kind, path, answer, stream) in [
        ("openai", "post /v1/chat/completions", COMPLETION, CHUNKS.to_owned()),
        ("anthropic", "post /v1/messages", MESSAGE, message_events()),
    ] {
        let (local, upstream) = provider(kind, Script::Answer(plain("200 OK", JSON, answer))).await;
        let answer = text(ask(&local, "hosted/gpt", &json!({})).await.unwrap()).await;
        check(&serde_json::from_str(&answer).unwrap());
        let seen = upstream.seen()[0].to_lowercase();
        assert!(seen.starts_with(path) && seen.contains(r#""model":"gpt""#), "{seen}");

        let (local, _upstream) = provider(kind, Script::Answer(events(&stream))).await;
        let answer = ask(&local, "hosted/gpt", &json!({"stream": true})).await.unwrap();
        let events = read(&text(answer).await);
        assert_eq!(events[0]["type"], "response.created");
        assert!(events.iter().any(|event| event["type"] == "response.output_text.delta"));
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        check(&last["response"]);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_event_that_its_clients_know() {
    let (begun, _) = CHUNKS
        .split_once("data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},")
        .unwrap();
    let failed = "data: {\"error\":{\"message\":\"it is down\"}}\n\ndata: [DONE]\n\n";
    for rest in ["", failed] {
        let (local, _upstream) =
            provider("openai", Script::Answer(events(&format!("{begun}{rest}")))).await;
        let answer = ask(&local, "hosted/gpt", &json!({"stream": true})).await.unwrap();
        let events = read(&text(answer).await);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.failed", "{last}");
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hi");
        let numbers: Vec<_> =
            events.iter().map(|event| event["sequence_number"].as_u64()).collect();
        assert!(numbers.is_sorted() && numbers[0] == Some(0), "{numbers:?}");
    }
}

#[tokio::test]
async fn an_engine_without_responses_is_asked_for_chat() {
    let mut spec = Local::spec();
    spec.responses = ResponsesApi::Translated;
    let upstream = Upstream::answering(&plain("200 OK", JSON, COMPLETION)).await;
    let local = Local::new(spec);
    local.ready(&[("claim", upstream.address)]);
    let answer = text(ask(&local, model().as_str(), &json!({})).await.unwrap()).await;
    check(&serde_json::from_str(&answer).unwrap());
    assert!(upstream.seen()[0].starts_with("POST /v1/chat/completions "));
}

#[tokio::test]
async fn what_has_no_counterpart_is_refused_before_anybody_is_asked() {
    for kind in ["openai", "anthropic"] {
        let (local, upstream) = provider(kind, Script::Close).await;
        for (fields, param) in [
            (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
            (json!({"tools": [{"type": "web_search"}]}), "tools[0]"),
        ] {
            let error = ask(&local, "hosted/gpt", &fields).await.unwrap_err();
            assert_eq!(
                (error.kind, error.param.as_deref()),
                (ErrorKind::InvalidRequest, Some(param))
            );
        }
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn background_work_tells_engines_that_order_by_priority_to_let_others_pass() {
    const POLICY: &str = "--scheduling-policy";
    let sent = async |flags: &[&str], is_background: bool| {
        let upstream =
            Upstream::start(vec![Script::Answer(plain("200 OK", JSON, COMPLETION))]).await;
        let mut spec = Local::spec();
        spec.command.extend(flags.iter().map(ToString::to_string));
        spec.responses = ResponsesApi::Translated;
        let local = Local::new(spec);
        local.ready(&[("claim-0", upstream.address)]);
        let body = json!({"model": model(), "input": "Hello"});
        let mut request = request(Dialect::Responses, body.to_string());
        request.is_background = is_background;
        local.gateway.walk(caller(Limits::default()), request).await.unwrap();
        let seen = upstream.seen().remove(0);
        serde_json::from_str::<Value>(seen.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    for flags in [&[POLICY, "priority"][..], &["--scheduling-policy=priority"]] {
        assert_eq!(sent(flags, true).await["priority"], 1);
        assert_eq!(sent(flags, false).await["priority"], Value::Null);
    }
    // One that does not would refuse it.
    for flags in [&[][..], &[POLICY, "fcfs"], &["--scheduling-policy=fcfs", "priority"], &[POLICY]]
    {
        assert_eq!(sent(flags, true).await["priority"], Value::Null, "{flags:?}");
    }
}
