//! Operators' words.
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails at once")]

use diogenes_e2e::{Client, Config, Event, Model, Serve};

fn idle(name: &str, flags: &[&str]) -> Model {
    Model::mock(name, flags).line("idle_timeout = \"300ms\"")
}

async fn claim(client: &Client, model: &str) -> serde_json::Value {
    client.state(model).await["slots"][0]["claim"].clone()
}

#[tokio::test]
async fn up_starts_a_replica_without_a_request_and_idleness_ends_it() {
    let serve = Serve::start(Config::with([idle("demo", &[])])).await;
    let client = serve.client();
    let answer = client.scale("demo", "up").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["model"]), (202, &"demo".into()));
    client.until("demo", "ready").await;
    client.until("demo", "asleep").await;
}

#[tokio::test]
async fn down_ends_every_replica_and_the_next_request_starts_one() {
    let (serve, client) = Serve::ready(Model::mock("demo", &["--tokens", "3"])).await;
    let before = claim(&client, "demo").await;
    client.scale("demo", "down").await;
    client.until("demo", "asleep").await;
    assert_eq!(serve.folder().processes(), []);
    assert_eq!(client.chat("demo").await.status, 200);
    assert_ne!(claim(&client, "demo").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn down_lets_a_running_stream_finish() {
    let model = Model::mock("demo", &["--tokens", "20", "--tokens-per-second", "20"]);
    let (serve, client) = Serve::ready(model).await;
    let mut stream = client.chat_stream("demo").await;
    stream.next().await;
    client.scale("demo", "down").await;
    let state = client.until("demo", "stopping").await;
    assert_eq!((&state["slots"][0]["state"], &state["in_flight"]), (&"draining".into(), &1.into()));
    assert_eq!(stream.all().await.last(), Some(&Event::Done));
    client.until("demo", "asleep").await;
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test]
async fn down_ends_a_boot_and_tells_those_who_wait() {
    let serve = Serve::start(Config::with([Model::mock("demo", &["--never-healthy"])])).await;
    let client = serve.client();
    let caller = client.clone();
    let held = tokio::spawn(async move { caller.chat("demo").await });
    client.until_state("demo", "boots", |state| state["slots"][0]["state"] == "booting").await;
    client.scale("demo", "down").await;
    assert_eq!(held.await.unwrap().refusal(), (503, "model_down".into()));
    client.until("demo", "asleep").await;
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test]
async fn a_pinned_model_stays_until_it_is_unpinned() {
    let models = ["pinned", "other"].map(|name| idle(name, &["--tokens", "2"]));
    let serve = Serve::start(Config::with(models)).await;
    let client = serve.client();
    client.scale("pinned", "pin").await;
    let state = client.until("pinned", "ready").await;
    assert_eq!(state["pinned"], true);
    client.chat("other").await;
    client.until("other", "asleep").await;
    assert_eq!(claim(&client, "pinned").await, state["slots"][0]["claim"]);
    client.scale("pinned", "unpin").await;
    client.until("pinned", "asleep").await;
}

#[tokio::test]
async fn a_pinned_model_comes_back_after_a_restart() {
    let serve = Serve::start(Config::with([idle("demo", &[])])).await;
    serve.client().scale("demo", "pin").await;
    serve.client().until("demo", "ready").await;
    let serve = serve.restart_with(Config::with([idle("demo", &[])])).await;
    assert_eq!(serve.client().until("demo", "ready").await["pinned"], true);
}
