//! Models that are registered, changed and deleted over the API.
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails at once")]

use diogenes_e2e::{Config, Event, Model, Serve, eventually};
use serde_json::{Value, json};

fn tokens(answer: &Value) -> u64 {
    answer["usage"]["completion_tokens"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_model_that_is_applied_can_be_asked_at_once() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    assert_eq!(client.chat("org/new").await.code(), "model_not_found");
    let model = Model::mock("org/new", &["--tokens", "3"]).line("aliases = [\"new\"]");
    for status in [201, 200] {
        let applied = client.put("/api/v1/models/org/new", &model.spec()).await;
        assert_eq!(applied.status, status, "{}", applied.text());
        assert_eq!(applied.json()["source"], "api");
    }
    // The answer comes before the effect.
    eventually("an answer", async || {
        let answer = client.chat("new").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!(
        client.get("/api/v1/models/org/new").await.json()["spec"]["aliases"],
        json!(["new"])
    );
}

#[tokio::test]
async fn a_name_that_the_inference_server_does_not_know_is_logged_with_its_setting() {
    let model = Model::mock("demo", &[]).line("upstream_model = \"omed\"");
    let (serve, client) = Serve::ready(model).await;
    let answer = client.chat("demo").await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let log = serve.log();
    let warning = log.lines().find(|line| line.contains("answered 404 to a request for `omed`"));
    assert!(warning.is_some_and(|line| line.contains("`upstream_model`")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_command_replaces_the_replica_once_its_stream_has_finished() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    let old = Model::mock("demo", &["--tokens", "20", "--tokens-per-second", "20"]);
    client.put("/api/v1/models/demo", &old.spec()).await;
    client.until_state("demo", "is there", |state| state["model"] == "demo").await;
    let mut stream = client.chat_stream("demo").await;
    while !matches!(stream.next().await, Some(Event::Data(_))) {}
    let before = client.until("demo", "ready").await["slots"][0]["claim"].clone();
    let new = Model::mock("demo", &["--tokens", "5"]);
    assert_eq!(client.put("/api/v1/models/demo", &new.spec()).await.status, 200);
    // The answer comes before the effect.
    client.until("demo", "stopping").await;
    let caller = client.clone();
    let held = tokio::spawn(async move { caller.chat("demo").await });
    assert_eq!(stream.all().await.last(), Some(&Event::Done));
    let answer = held.await.unwrap();
    assert_eq!((answer.status.as_u16(), tokens(&answer.json())), (200, 5));
    assert_ne!(client.state("demo").await["slots"][0]["claim"], before);
    assert_eq!(serve.folder().processes().len(), 1);
}

#[tokio::test]
async fn a_change_that_concerns_no_process_keeps_the_replica() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    let model = Model::mock("demo", &["--tokens", "3"]);
    client.put("/api/v1/models/demo", &model.spec()).await;
    client.until_state("demo", "is there", |state| state["model"] == "demo").await;
    client.chat("demo").await;
    let before = client.state("demo").await["slots"].clone();
    let changed = model.line("aliases = [\"other\"]\nmax_replicas = 3");
    client.put("/api/v1/models/demo", &changed.spec()).await;
    eventually("the alias", async || {
        let answer = client.chat("other").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!(client.state("demo").await["slots"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_model_finishes_its_streams_and_is_not_found_any_more() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    let model = Model::mock("demo", &["--tokens", "20", "--tokens-per-second", "20"]);
    client.put("/api/v1/models/demo", &model.spec()).await;
    client.until_state("demo", "is there", |state| state["model"] == "demo").await;
    let mut stream = client.chat_stream("demo").await;
    while !matches!(stream.next().await, Some(Event::Data(_))) {}
    assert_eq!(client.delete("/api/v1/models/demo").await.status, 200);
    eventually("a refusal", async || {
        let answer = client.chat("demo").await;
        if answer.refusal() == (404, "model_not_found".into()) {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
    assert_eq!(
        client.delete("/api/v1/models/demo").await.refusal(),
        (404, "model_not_found".into())
    );
    assert_eq!(stream.all().await.last(), Some(&Event::Done));
    eventually("no process", async || match serve.folder().processes() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_a_deleted_model_is_told() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    client.put("/api/v1/models/demo", &Model::mock("demo", &["--never-healthy"]).spec()).await;
    client.until_state("demo", "is there", |state| state["model"] == "demo").await;
    let caller = client.clone();
    let held = tokio::spawn(async move { caller.chat("demo").await });
    client.until_state("demo", "holds one", |state| state["held"] == 1).await;
    client.delete("/api/v1/models/demo").await;
    assert_eq!(held.await.unwrap().refusal(), (404, "model_not_found".into()));
}

#[tokio::test]
async fn a_model_of_the_file_is_read_only_until_it_has_left_the_file() {
    let model = Model::mock("demo", &["--tokens", "3"]);
    let serve = Serve::start(Config::with([model.clone()])).await;
    let client = serve.client();
    assert_eq!(client.get("/api/v1/models/demo").await.json()["source"], "config");
    let put = client.put("/api/v1/models/demo", &model.spec()).await;
    let delete = client.delete("/api/v1/models/demo").await;
    for answer in [put, delete] {
        assert_eq!(answer.refusal(), (409, "model_read_only".into()));
    }
    let serve = serve.restart_with(Config::default()).await;
    let client = serve.client();
    assert_eq!(client.chat("demo").await.code(), "model_not_found");
    assert_eq!(client.put("/api/v1/models/demo", &model.spec()).await.status, 201);
}

#[tokio::test]
async fn the_metrics_of_a_deleted_model_go_with_it() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    let shown = async || {
        let text = client.get("/metrics").await.body;
        String::from_utf8(text).unwrap().contains("model=\"gone\"")
    };
    client.put("/api/v1/models/gone", &json!({"command": ["true", "{port}"]})).await;
    eventually("its metrics", async || if shown().await { Ok(()) } else { Err(()) }).await;
    client.delete("/api/v1/models/gone").await;
    eventually("no metrics", async || if shown().await { Err(()) } else { Ok(()) }).await;
}
