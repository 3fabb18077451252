//! What EC2 refuses, and replicas that fail.

use std::collections::BTreeSet;

use diogenes_e2e::aws::front::Fault;
use diogenes_e2e::aws::stack::{ORCHESTRATOR, Stack};
use diogenes_e2e::{Client, Event, Model, chat};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fast;

/// Applies `demo` with a spot rung and an on-demand rung.
async fn with_ladder(stack: &Stack, client: &Client) {
    let mut spec = fast("demo").spec();
    spec["ladder"] = json!([
        {"instance_type": "g6.xlarge", "market": "spot"},
        {"instance_type": "g5.xlarge", "market": "on_demand"},
    ]);
    stack.apply_spec(client, "demo", spec).await;
}

#[tokio::test]
async fn where_there_is_no_capacity_the_next_rung_is_taken() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    with_ladder(&stack, &client).await;
    let launches = stack.front.rule().by(ORCHESTRATOR).action("RunInstances");
    let refused = launches.parameter("InstanceType", "g6.xlarge").fail(Fault::no_capacity());
    let answer = client.chat("demo").await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), stack.machine_logs());
    // Orchestrators that overlap ask for the same launch.
    let tokens: BTreeSet<_> = stack
        .front
        .calls()
        .action("RunInstances")
        .iter()
        .map(|call| call.resource.parameters["ClientToken"].clone())
        .collect();
    assert_eq!(tokens.len(), 2, "one launch on each rung");
    assert!(refused.hits() >= 1);
    let [instance] = &stack.instances().await[..] else { panic!() };
    assert_eq!(instance.instance_type, "g5.xlarge");
}

#[tokio::test]
async fn where_no_rung_has_capacity_every_held_call_ends_with_the_reason() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    with_ladder(&stack, &client).await;
    stack.front.rule().by(ORCHESTRATOR).action("RunInstances").fail(Fault::no_capacity());
    let plain = futures_util::future::join_all((0..4).map(|_| client.chat("demo")));
    let streamed = async {
        let events = client.chat_stream("demo").await.all().await;
        events.last().cloned()
    };
    let (plain, streamed) = tokio::join!(plain, streamed);
    for answer in plain {
        assert_eq!(answer.refusal(), (503, "model_failed_capacity".into()), "{}", answer.text());
        assert!(answer.text().contains("g5.xlarge"), "the last rung: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
    }
    assert_eq!(
        streamed.as_ref().and_then(Event::error_code),
        Some("model_failed_capacity"),
        "{streamed:?}"
    );
    assert!(stack.instances().await.is_empty());
    stack.front.reset();
    // The back-off is over some seconds later.
    diogenes_e2e::eventually("an answer once there is capacity", async || {
        let answer = client.chat("demo").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn a_quota_is_named() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    stack.apply(&client, &fast("demo")).await;
    stack.front.rule().by(ORCHESTRATOR).action("RunInstances").fail(Fault::over_quota());
    let answer = client.chat("demo").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("Spot"), "which quota: {}", answer.text());
    assert!(stack.instances().await.is_empty());
}

#[tokio::test]
async fn an_inference_server_that_ends_in_its_boot_is_told_with_its_last_words() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    stack.apply(&client, &Model::mock("demo", &["--exit-during-boot", "3"])).await;
    let answer = client.chat("demo").await;
    assert_eq!(answer.status, 503, "{}\n{}", answer.text(), stack.machine_logs());
    assert!(answer.text().contains("code 3"), "{}", answer.text());
    stack
        .ticks_until("no instance", async || {
            let alive = stack.alive().await;
            if alive.is_empty() { Ok(()) } else { Err(alive) }
        })
        .await;
    let logs = client.get("/api/v1/cluster/logs?model=demo").await;
    assert!(logs.text().contains("Traceback"), "{}", logs.text());
}

#[tokio::test]
async fn a_lost_trigger_is_made_up_for_by_the_schedule() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    stack.front.rule().to("lambda").fail(Fault::throttled());
    stack.apply(&client, &fast("demo")).await;
    let call = client.chat("demo");
    tokio::pin!(call);
    let answer = loop {
        tokio::select! {
            answer = &mut call => break answer,
            ran = stack.tick() => ran.unwrap(),
        }
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
    crate::logged(&stack, "RouterFunction", "the schedule makes up for it").await;
}

/// Waits until the router has logged, under the id of a request, one failure with this code.
async fn until_logged_under(stack: &Stack, id: &str, code: &str) {
    diogenes_e2e::eventually(&format!("`{code}` in the log under `{id}`"), async || {
        let log = stack.host.logs("RouterFunction");
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let fields = lines.map(|line| line["fields"].clone());
        let ours: Vec<_> = fields.filter(|fields| fields["request.id"] == id).collect();
        if ours.len() == 1 && ours[0]["code"] == code { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_cut_is_no_whole_one_and_is_logged_under_its_id() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    let model = Model::mock("demo", &["--tokens", "8", "--cut-after", "3"]);
    stack.apply(&client, &model).await;
    let request = |id: &str, stream: bool| {
        let request = client.request(Method::POST, "/v1/chat/completions");
        request.header("x-request-id", id).json(&chat("demo", stream))
    };
    // The headers of the first have left before there was a replica, those of the second come
    // with the replica's.
    for id in ["cold-stream", "warm-stream"] {
        let answer = client.send(request(id, true)).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        assert_eq!(answer.header("x-request-id"), Some(id));
        let text = answer.text();
        let data: Vec<_> = text.split("\n\n").filter(|event| event.starts_with("data:")).collect();
        assert_eq!(data.len(), 4, "{id}: three events and the error: {text}");
        assert!(data[3].contains("\"upstream_cut\""), "{id}: {text}");
        assert_eq!(text.matches("\"error\"").count(), 1, "{id}: {text}");
        assert!(text.ends_with("}}\n\n") && !text.contains("[DONE]"), "{id}: {text}");
        until_logged_under(&stack, id, "upstream_cut").await;
    }
    let plain = client.send(request("plain", false)).await;
    assert_eq!(plain.refusal(), (502, "upstream_cut".into()), "{}", plain.text());
    until_logged_under(&stack, "plain", "upstream_cut").await;
}
