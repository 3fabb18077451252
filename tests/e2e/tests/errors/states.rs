//! What callers are told while a model is not ready, and when its replica fails them.

use diogenes_e2e::{Client, Config, Event, Model, Serve, chat};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Sheet;

async fn impatient(client: &Client) -> diogenes_e2e::Answer {
    let request = client.request(Method::POST, "/v1/chat/completions").header("prefer", "wait=0");
    client.send(request.json(&chat("demo", false))).await
}

/// The last event of a stream.
async fn last(client: &Client) -> Value {
    match client.chat_stream("demo").await.all().await.pop() {
        Some(Event::Data(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_model_that_is_not_ready() {
    let model = Model::mock("demo", &["--never-healthy"]).line("max_held = 1");
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let mut sheet = Sheet::default();
    sheet.add("asleep", &impatient(&client).await);
    client.until_state("demo", "boots", |state| state["slots"][0]["phase"] == "warmup").await;
    sheet.add("booting", &impatient(&client).await);
    let caller = client.clone();
    let held = tokio::spawn(async move { caller.chat("demo").await });
    client.until_state("demo", "holds one", |state| state["held"] == 1).await;
    sheet.add("one more than may wait", &client.chat("demo").await);
    client.scale("demo", "down").await;
    sheet.add("taken down meanwhile", &held.await.unwrap());
    client.until("demo", "asleep").await;
    let caller = client.clone();
    let held = tokio::spawn(async move { caller.chat("demo").await });
    client.until_state("demo", "holds one", |state| state["held"] == 1).await;
    serve.ask_to_end();
    sheet.add("the end of serve", &held.await.unwrap());
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn a_model_that_is_deleted_meanwhile() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    client.put("/api/v1/models/demo", &Model::mock("demo", &["--never-healthy"]).spec()).await;
    client.until_state("demo", "is there", |state| state["model"] == "demo").await;
    let caller = client.clone();
    let held = tokio::spawn(async move { caller.chat("demo").await });
    client.until_state("demo", "holds one", |state| state["held"] == 1).await;
    client.delete("/api/v1/models/demo").await;
    let mut sheet = Sheet::default();
    sheet.add("held", &held.await.unwrap());
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn a_scale_up_that_fails() {
    let mut sheet = Sheet::default();
    let missing = Model::command("demo", &["no-such-inference-server", "{port}"]);
    let directory = Model::command("demo", &["/proc", "{port}"]);
    let nowhere = Model::mock("demo", &[]).line("working_dir = \"/nowhere\"");
    let exits = Model::mock("demo", &["--exit-during-boot", "3"]);
    let hangs = Model::mock("demo", &["--never-healthy"]).line("boot_timeout = \"500ms\"");
    for (what, model) in [
        ("a program that is not there", missing),
        ("a program that is none", directory),
        ("a directory that is not there", nowhere),
        ("an exit", exits),
        ("a boot that takes too long", hangs),
    ] {
        let serve = Serve::start(Config::with([model])).await;
        let client = serve.client();
        sheet.add(what, &client.chat("demo").await);
        sheet.add(&format!("{what}, soon after"), &client.chat("demo").await);
        sheet.add_event(&format!("{what}, streamed"), &held_failure(&client).await);
    }
    insta::assert_snapshot!(sheet.text());
}

/// A stream that waits for a scale-up which fails.
async fn held_failure(client: &Client) -> Value {
    client.until("demo", "failed").await;
    let answer = client.post("/v1/chat/completions", &chat("demo", true)).await;
    assert_eq!(answer.status, 503, "while it backs off, no stream is opened");
    answer.json()
}

#[tokio::test]
async fn a_replica_that_fails_its_callers() {
    let mock = Model::mock("demo", &["--tokens", "5"])
        .line("stall_timeout = \"300ms\"\nanswer_timeout = \"300ms\"");
    let (_serve, client) = Serve::ready(mock).await;
    let mut sheet = Sheet::default();
    for (what, faults) in [("cut", json!({"cut_after": 1})), ("stalled", json!({"stall_after": 1}))]
    {
        client.set_faults("demo", &faults).await;
        sheet.add(what, &client.chat("demo").await);
        sheet.add_event(&format!("{what}, streamed"), &last(&client).await);
    }
    for (what, script) in [("hangs up", ""), ("speaks no HTTP", "220 smtp\r\n\r\n")] {
        let (_serve, client) = Serve::ready(Model::scripted("demo", script, false)).await;
        sheet.add(what, &client.chat("demo").await);
    }
    let silent = Model::mock("demo", &["--ttft", "60s"]).line("answer_timeout = \"300ms\"");
    let (_serve, client) = Serve::ready(silent).await;
    sheet.add("does not answer", &client.chat("demo").await);
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn a_replica_that_refuses_a_held_stream() {
    let mut sheet = Sheet::default();
    for (what, body) in
        [("in JSON", "{\"detail\":\"no\"}"), ("in HTML", "<h1>no</h1>"), ("in silence", "")]
    {
        let script = format!("HTTP/1.1 500 Oh\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let serve = Serve::start(Config::with([Model::scripted("demo", &script, false)])).await;
        sheet.add_event(what, &last(&serve.client()).await);
    }
    insta::assert_snapshot!(sheet.text());
}
