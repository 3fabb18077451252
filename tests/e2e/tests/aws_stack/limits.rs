//! What an event holds, and how long a request may take.

use std::time::Duration;

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::stack::{Stack, StackSettings};
use diogenes_e2e::{Event, Model, chat};
use serde_json::json;

const ROUTER: &str = "RouterFunction";

fn of_size(bytes: usize) -> serde_json::Value {
    let mut body = chat("demo", false);
    body["messages"][0]["content"] = json!("a".repeat(bytes));
    body
}

#[tokio::test]
async fn a_body_that_no_event_holds_is_refused_before_anything_is_launched() {
    let Some(stack) = Stack::start().await else { return };
    stack.apply(&stack.admin().await, &crate::fast("demo")).await;
    let client = stack.client(&[Scope::Inference]).await;
    // The first is refused by the function, the second by the gateway.
    for bytes in [(5 << 20) + 1, 7 << 20] {
        let refused = client.post("/v1/chat/completions", &of_size(bytes)).await;
        assert_eq!(refused.refusal(), (413, "body_too_large".into()), "{}", refused.text());
    }
    assert!(stack.instances().await.is_empty());
    let answer = client.post("/v1/chat/completions", &of_size(10_000)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_request_ends_at_its_deadline_with_the_reason() {
    let settings = StackSettings::default()
        .variable(ROUTER, "DIOGENES_PLAIN_DEADLINE", "1s")
        .variable(ROUTER, "DIOGENES_STREAM_DEADLINE", "2s");
    let Some(stack) = Stack::with(settings).await else { return };
    stack.apply(&stack.admin().await, &Model::mock("demo", &["--never-healthy"])).await;
    let client = stack.client(&[Scope::Inference]).await;
    let plain = client.chat("demo").await;
    assert_eq!(plain.refusal(), (504, "deadline".into()), "{}", plain.text());
    let events = client.chat_stream("demo").await.all().await;
    assert_eq!(events.last().and_then(Event::error_code), Some("deadline"), "{events:?}");
    assert_eq!(stack.instances().await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_long_ends_at_the_deadline_with_an_error_event() {
    let settings = StackSettings::default().variable(ROUTER, "DIOGENES_STREAM_DEADLINE", "8s");
    let Some(stack) = Stack::with(settings).await else { return };
    let model = Model::mock("demo", &["--tokens", "3000", "--tokens-per-second", "20"]);
    stack.apply(&stack.admin().await, &model).await;
    let client = stack.client(&[Scope::Inference]).await;
    let events = client.chat_stream("demo").await.all().await;
    assert!(
        events.iter().filter(|event| matches!(event, Event::Data(_))).count() > 2,
        "{events:?}"
    );
    assert_eq!(events.last().and_then(Event::error_code), Some("deadline"), "{events:?}");
}

#[tokio::test]
async fn the_gateways_own_end_of_a_request_is_an_openai_error_too() {
    let Some(stack) = Stack::start().await else { return };
    stack.apply(&stack.admin().await, &Model::mock("demo", &["--never-healthy"])).await;
    let client = stack.client(&[Scope::Inference]).await;
    stack.gateway.limit_integrations(Duration::from_secs(1));
    let plain = client.chat("demo").await;
    assert_eq!(plain.refusal(), (504, "deadline".into()), "{}", plain.text());
}
