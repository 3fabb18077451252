//! The HTTP surface: what a client of vLLM relies on.

use crate::client::{CHAT, DEADLINE, get, open, post, read, read_until};
use mock_vllm::MockVllm;
use serde_json::{Value, json};

const HI: &str = r#"{"messages":[{"role":"user","content":"hi"}]}"#;

async fn mock() -> MockVllm {
    MockVllm::builder().model("demo").tokens(12).start().await.unwrap()
}

#[tokio::test]
async fn same_chat_request_has_the_same_answer() {
    let mock = mock().await;
    let first = post(&mock, CHAT, HI).await;
    assert_eq!((first.status, first.whole), (200, true));
    let answer = first.json();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.starts_with("Hello from the mock model: you said \"hi\"."), "{text}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["completion_tokens"], 12);
    assert_eq!(post(&mock, CHAT, HI).await.json()["choices"], answer["choices"]);
}

#[tokio::test]
async fn chat_stream_says_what_the_plain_answer_says() {
    let mock = mock().await;
    let plain = post(&mock, CHAT, HI).await.json();
    let body = r#"{"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},
        "messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#;
    let reply = post(&mock, CHAT, body).await;
    assert!(reply.head.contains("content-type: text/event-stream"), "{}", reply.head);
    assert!(reply.whole);
    let mut events = reply.events();
    assert_eq!(events.pop(), Some("[DONE]"));
    let chunks: Vec<Value> =
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(chunks.len(), 1 + 12 + 1);
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(
        deltas.collect::<String>(),
        plain["choices"][0]["message"]["content"].as_str().unwrap()
    );
    assert_eq!(chunks[12]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[3]["usage"]["completion_tokens"], 3);
    assert_eq!(chunks[13]["choices"], json!([]));
    assert_eq!(chunks[13]["usage"], plain["usage"]);
}

#[tokio::test]
async fn choices_limits_and_stop_strings_are_kept() {
    let mock = mock().await;
    let body = r#"{"n":2,"max_completion_tokens":3,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = post(&mock, CHAT, body).await.json();
    assert_eq!(answer["choices"].as_array().unwrap().len(), 2);
    assert_eq!(answer["choices"][1]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 6);
    let body = r#"{"stop":" mock","messages":[{"role":"user","content":"hi"}]}"#;
    let choice = &post(&mock, CHAT, body).await.json()["choices"][0];
    assert_eq!(choice["message"]["content"], "Hello from the");
    assert_eq!(
        (&choice["finish_reason"], &choice["stop_reason"]),
        (&json!("stop"), &json!(" mock"))
    );
}

#[tokio::test]
async fn completions_answer_each_prompt() {
    let mock = mock().await;
    let answer =
        post(&mock, "/v1/completions", r#"{"prompt":["a","b"],"max_tokens":4,"echo":true}"#)
            .await
            .json();
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][1]["text"], "bHello from the mock");
    let reply =
        post(&mock, "/v1/completions", r#"{"prompt":"a","max_tokens":4,"stream":true}"#).await;
    assert_eq!(reply.events().len(), 5);
    assert_eq!(reply.events()[4], "[DONE]");
}

#[tokio::test]
async fn responses_stream_typed_events_in_order() {
    let mock = mock().await;
    let reply =
        post(&mock, "/v1/responses", r#"{"input":"hi","max_output_tokens":2,"stream":true}"#).await;
    let names: Vec<_> =
        reply.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let expected = "response.created response.in_progress response.output_item.added response.content_part.added \
                    response.output_text.delta response.output_text.delta response.output_text.done \
                    response.content_part.done response.output_item.done response.completed";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    let last: Value = serde_json::from_str(reply.events()[9]).unwrap();
    assert_eq!(last["sequence_number"], 9);
    assert_eq!(last["response"]["status"], "incomplete");
    let plain =
        post(&mock, "/v1/responses", r#"{"input":[{"role":"user","content":"hi"}]}"#).await.json();
    assert_eq!(plain["status"], "completed");
    assert!(plain["output"][0]["content"][0]["text"].as_str().unwrap().starts_with("Hello"));
}

#[tokio::test]
async fn embeddings_are_floats_or_base64_of_the_same_numbers() {
    let mock = mock().await;
    let floats =
        post(&mock, "/v1/embeddings", r#"{"input":["hi","ho"],"dimensions":2}"#).await.json();
    assert_eq!(floats["data"].as_array().unwrap().len(), 2);
    let vector = floats["data"][0]["embedding"].as_array().unwrap();
    let body = r#"{"input":"hi","dimensions":2,"encoding_format":"base64"}"#;
    let encoded = post(&mock, "/v1/embeddings", body).await.json();
    let text = encoded["data"][0]["embedding"].as_str().unwrap();
    // 2 floats are 8 bytes are 12 characters.
    assert_eq!((vector.len(), text.len()), (2, 12));
}

#[tokio::test]
async fn errors_have_the_shape_of_vllm() {
    let mock = mock().await;
    let model = post(&mock, CHAT, r#"{"model":"other","messages":[]}"#).await;
    let expected = r#"{"error":{"message":"The model `other` does not exist.","type":"NotFoundError","param":"model","code":404}}"#;
    assert_eq!((model.status, model.body.as_str()), (404, expected));
    for (body, kind) in [
        ("{", "Bad Request"),
        ("{}", "Bad Request"),
        (r#"{"messages":[],"max_tokens":0}"#, "BadRequestError"),
        (r#"{"messages":[],"max_tokens":32769}"#, "BadRequestError"),
        (r#"{"messages":[],"stream_options":{}}"#, "BadRequestError"),
    ] {
        let reply = post(&mock, CHAT, body).await;
        assert_eq!((reply.status, &reply.json()["error"]["type"]), (400, &json!(kind)), "{body}");
        assert_eq!(reply.json()["error"]["code"], 400);
    }
    assert_eq!(get(&mock, "/v1/nothing").await.status, 404);
    assert_eq!(get(&mock, CHAT).await.status, 405);
}

#[tokio::test]
async fn key_guards_only_v1() {
    let mock = MockVllm::builder().api_key("secret").start().await.unwrap();
    let refused = get(&mock, "/v1/models").await;
    assert_eq!((refused.status, refused.body.as_str()), (401, r#"{"error":"Unauthorized"}"#));
    assert_eq!(get(&mock, "/health").await.status, 200);
    let stream =
        open(mock.addr(), "GET", "/v1/models", "authorization: Bearer secret\r\n", "").await;
    assert_eq!(read(stream).await.json()["data"][0]["id"], "mock-model");
}

#[tokio::test]
async fn stats_show_the_last_request_as_it_came() {
    let mock = mock().await;
    let stream = open(
        mock.addr(),
        "POST",
        &format!("{CHAT}?a=1"),
        "x-request-id: abc\r\nx-two: 1\r\nx-two: 2\r\n",
        HI,
    )
    .await;
    assert_eq!(read(stream).await.json()["id"], "chatcmpl-abc");
    let stats: mock_vllm::Stats =
        serde_json::from_str(&get(&mock, "/mock/stats").await.body).unwrap();
    assert_eq!(stats, mock.stats());
    assert_eq!((stats.requests, stats.completed, stats.in_flight, stats.cancelled), (1, 1, 0, 0));
    assert_eq!(stats.last_path, "/v1/chat/completions?a=1");
    assert_eq!(stats.last_body, HI);
    assert_eq!(stats.last_headers["x-two"], "1, 2");
}

#[tokio::test]
async fn requests_beyond_the_sequences_wait_and_metrics_say_so() {
    let mock = MockVllm::builder()
        .max_num_seqs(1)
        .tokens(2)
        .tokens_per_second(0.001)
        .start()
        .await
        .unwrap();
    let body = r#"{"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut first = open(mock.addr(), "POST", CHAT, "", body).await;
    read_until(&mut first, "Hello").await;
    let mut second = open(mock.addr(), "POST", CHAT, "", body).await;
    read_until(&mut second, "text/event-stream").await;
    mock.wait_for(DEADLINE, |stats| (stats.in_flight, stats.waiting) == (2, 1)).await.unwrap();
    let page = get(&mock, "/metrics").await.body;
    assert!(
        page.contains("vllm:num_requests_running{engine=\"0\",model_name=\"mock-model\"} 1.0\n"),
        "{page}"
    );
    assert!(
        page.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"mock-model\"} 1.0\n"),
        "{page}"
    );
    drop(first);
    read_until(&mut second, "Hello").await;
    mock.wait_for(DEADLINE, |stats| (stats.in_flight, stats.cancelled) == (1, 1)).await.unwrap();
}

#[tokio::test]
async fn those_that_run_share_the_tokens() {
    let mock = MockVllm::builder().tokens(5).shared_tokens_per_second(100.0).start().await.unwrap();
    let timed = async || {
        let began = std::time::Instant::now();
        post(&mock, CHAT, HI).await;
        began.elapsed()
    };
    let least = |requests: u64| std::time::Duration::from_millis(40 * requests);
    assert!(timed().await >= least(1));
    let (one, other, third) = tokio::join!(timed(), timed(), timed());
    // The first token of one may come before the others run.
    assert!(one.max(other).max(third) >= least(2), "{one:?} {other:?} {third:?}");
}

#[tokio::test]
async fn plain_answer_takes_the_time_of_its_tokens() {
    let mock = MockVllm::builder().tokens(3).tokens_per_second(50.0).start().await.unwrap();
    let began = std::time::Instant::now();
    post(&mock, CHAT, HI).await;
    assert!(began.elapsed() >= std::time::Duration::from_millis(40), "{:?}", began.elapsed());
}
