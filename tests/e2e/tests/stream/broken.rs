//! An answer that is not whole is never passed off as whole.

use diogenes_e2e::{Client, Event, Model, Serve, chat};
use serde_json::json;

fn mock() -> Model {
    Model::mock("demo", &["--tokens", "8"])
        .line("stall_timeout = \"400ms\"")
        .line("answer_timeout = \"400ms\"")
}

async fn streamed(client: &Client) -> Vec<Event> {
    client.chat_stream("demo").await.all().await
}

async fn streamed_text(client: &Client) -> String {
    let answer = client.post("/v1/chat/completions", &chat("demo", true)).await;
    assert_eq!(answer.status, 200);
    answer.text()
}

fn chunk(payload: &str) -> String {
    format!("{:x}\r\n{payload}\r\n", payload.len())
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_cut_stream_ends_in_an_error_event() {
    let (_serve, client) = Serve::ready(mock()).await;
    client.set_faults("demo", &json!({"cut_after": 3})).await;
    let events = streamed(&client).await;
    assert_eq!(events.len(), 4, "{events:?}");
    assert_eq!(events[3].error_code(), Some("upstream_cut"));
    let Event::Data(error) = &events[3] else { panic!("no data") };
    assert_eq!(error["error"]["type"], "server_error");
}

#[tokio::test]
async fn a_stream_cut_in_an_event_gets_its_error_on_a_line_of_its_own() {
    let script = format!("{EVENTS}{}{}", chunk("data: {\"id\":1}\n\n"), chunk("data: {\"id"));
    let (_serve, client) = Serve::ready(Model::scripted("demo", &script, false)).await;
    let text = streamed_text(&client).await;
    let (before, error) = text.split_once("\n\ndata: {\"error\":").unwrap();
    assert_eq!(before, "data: {\"id\":1}\n\ndata: {\"id");
    assert!(error.contains("\"upstream_cut\"") && error.ends_with("}}\n\n"), "{text}");
    assert!(!text.contains("[DONE]"));
}

#[tokio::test]
async fn a_stream_that_ends_well_formed_but_without_its_end_is_cut() {
    let script = format!("{EVENTS}{}0\r\n\r\n", chunk("data: {\"id\":1}\n\n"));
    let (_serve, client) = Serve::ready(Model::scripted("demo", &script, true)).await;
    let text = streamed_text(&client).await;
    assert!(text.starts_with("data: {\"id\":1}\n\ndata: {\"error\":"), "{text}");
    assert!(text.contains("\"upstream_cut\""), "{text}");
}

#[tokio::test]
async fn a_stream_without_framing_is_whole_if_it_says_so() {
    let head = "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let whole = format!("{head}data: {{\"id\":1}}\n\ndata: [DONE]\n\n");
    let (_serve, client) = Serve::ready(Model::scripted("demo", &whole, false)).await;
    assert_eq!(streamed_text(&client).await, "data: {\"id\":1}\n\ndata: [DONE]\n\n");
}

#[tokio::test]
async fn a_done_inside_generated_text_does_not_end_a_stream() {
    let script = format!("{EVENTS}{}", chunk("data: {\"text\":\"data: [DONE]\"}\n\n"));
    let (_serve, client) = Serve::ready(Model::scripted("demo", &script, false)).await;
    assert!(streamed_text(&client).await.contains("\"upstream_cut\""));
}

#[tokio::test]
async fn a_stalled_stream_ends_in_an_error_event() {
    let (_serve, client) = Serve::ready(mock()).await;
    client.set_faults("demo", &json!({"stall_after": 2})).await;
    let events = streamed(&client).await;
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[2].error_code(), Some("upstream_stalled"));
    // The replica is told that nobody listens any more.
    client.until_stats("demo", "has cancelled it", |stats| stats["cancelled"] == 1).await;
}

#[tokio::test]
async fn a_slow_stream_does_not_stall() {
    let model = Model::mock("demo", &["--tokens", "12", "--tokens-per-second", "10"])
        .line("stall_timeout = \"600ms\"");
    let (_serve, client) = Serve::ready(model).await;
    assert_eq!(streamed(&client).await.last(), Some(&Event::Done));
}

#[tokio::test]
async fn a_cut_plain_answer_is_a_502() {
    let (_serve, client) = Serve::ready(mock()).await;
    client.set_faults("demo", &json!({"cut_after": 1})).await;
    let answer = client.chat("demo").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "upstream_cut"));
    client.set_faults("demo", &json!({})).await;
    assert_eq!(client.chat("demo").await.status, 200);
}

#[tokio::test]
async fn a_stalled_plain_answer_is_a_504() {
    let (_serve, client) = Serve::ready(mock()).await;
    client.set_faults("demo", &json!({"stall_after": 1})).await;
    let answer = client.chat("demo").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "upstream_stalled"));
}

#[tokio::test]
async fn a_replica_that_never_answers_is_a_504() {
    let model = Model::mock("demo", &["--ttft", "60s"]).line("answer_timeout = \"400ms\"");
    let (_serve, client) = Serve::ready(model).await;
    let answer = client.chat("demo").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "upstream_stalled"));
}

#[tokio::test]
async fn an_event_that_is_not_an_object_ends_a_stream_in_an_error_event() {
    let (_serve, client) = Serve::ready(mock()).await;
    client.set_faults("demo", &json!({"malformed_sse": true})).await;
    let events = streamed(&client).await;
    let (last, before) = events.split_last().unwrap();
    assert_eq!(last.error_code(), Some("upstream_malformed"), "{events:?}");
    assert!(before.iter().all(|event| matches!(event, Event::Data(_))), "{events:?}");
}

#[tokio::test]
async fn an_error_of_the_replica_is_passed_on_with_its_retry_after() {
    let (_serve, client) = Serve::ready(mock()).await;
    for status in [400, 404, 429, 500, 503] {
        for stream in [false, true] {
            let faults = json!({"fail_first": 1, "fail_status": status, "fail_retry_after": 7});
            client.set_faults("demo", &faults).await;
            let answer = client.post("/v1/chat/completions", &chat("demo", stream)).await;
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(answer.header("retry-after"), Some("7"));
            assert_eq!(answer.json()["error"]["code"], status, "vLLM's own body");
            assert_eq!(answer.header("x-diogenes-model"), Some("demo"));
        }
    }
}

#[tokio::test]
async fn an_error_of_the_replica_ends_a_held_stream_as_an_event() {
    let flags = ["--load-weights-delay", "200ms", "--fail-first", "1", "--fail-status", "429"];
    let serve = Serve::start(diogenes_e2e::Config::with([Model::mock("demo", &flags)])).await;
    let events = streamed(&serve.client()).await;
    let Some(Event::Data(last)) = events.last() else { panic!("{events:?}") };
    assert_eq!(last["error"]["code"], 429, "{last}");
}

#[tokio::test]
async fn a_replica_that_hangs_up_before_it_answers_is_a_502() {
    let (_serve, client) = Serve::ready(Model::scripted("demo", "", false)).await;
    for stream in [false, true] {
        let answer = client.post("/v1/chat/completions", &chat("demo", stream)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "upstream_unreachable"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_502() {
    let (_serve, client) =
        Serve::ready(Model::scripted("demo", "220 smtp ready\r\n\r\n", false)).await;
    let answer = client.chat("demo").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "upstream_malformed"));
}

#[tokio::test]
async fn broken_framing_is_a_502_or_an_error_event() {
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let (_serve, client) = Serve::ready(Model::scripted("demo", json, true)).await;
    assert_eq!(client.chat("demo").await.code(), "upstream_malformed");
    let script = format!("{EVENTS}{}zz\r\n", chunk("data: {}\n\n"));
    let (_serve, client) = Serve::ready(Model::scripted("demo", &script, true)).await;
    assert!(streamed_text(&client).await.contains("\"upstream_malformed\""));
}
