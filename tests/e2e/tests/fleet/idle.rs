//! A replica that nobody uses costs nothing.

use std::time::{Duration, Instant};

use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::since;
use diogenes_e2e::{Client, Config, Event, Model, Serve};
use serde_json::Value;

/// Far above the idle timeouts here, far below the interval at which everything is reconciled.
const SOON: Duration = Duration::from_secs(10);

fn idle(name: &str, flags: &[&str]) -> Model {
    Model::mock(name, flags).line("idle_timeout = \"300ms\"")
}

async fn asleep_soon(client: &Client, model: &str) {
    let began = Instant::now();
    client.until(model, "asleep").await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_idle_replica_is_terminated_and_its_process_is_gone() {
    let serve = Serve::start(Config::with([idle("demo", &["--tokens", "3"])])).await;
    let client = serve.client();
    for _ in 0..2 {
        assert_eq!(client.chat("demo").await.status, 200);
        asleep_soon(&client, "demo").await;
        assert_eq!(serve.folder().processes(), []);
    }
}

#[tokio::test]
async fn a_replica_whose_caller_never_came_back_is_terminated() {
    let model = idle("demo", &["--load-weights-delay", "200ms"]).line("cold_start = \"reject\"");
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    assert_eq!(client.chat("demo").await.code(), "model_warming");
    client.until_state("demo", "boots", |state| state["standing"] == "starting").await;
    asleep_soon(&client, "demo").await;
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test]
async fn a_long_stream_counts_as_use_from_its_first_byte_to_its_last() {
    let model = idle("demo", &["--tokens", "30", "--tokens-per-second", "15"]);
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let events = client.chat_stream("demo").await.all().await;
    assert_eq!(events.last(), Some(&Event::Done));
    assert_eq!(serve.log().matches("launched ").count(), 1);
    asleep_soon(&client, "demo").await;
}

/// A request that was held for long has not left its replica idle for as long.
#[tokio::test]
async fn idleness_counts_from_the_end_of_the_last_request() {
    let flags = ["--load-weights-delay", "1s", "--tokens", "3"];
    let model = Model::mock("demo", &flags).line("idle_timeout = \"2s\"");
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    assert_eq!(client.chat("demo").await.status, 200);
    let idle = client.until_state("demo", "is idle", |state| state["in_flight"] == 0).await;
    let at = |state: &Value, field: &str| -> Timestamp {
        state[field].as_str().expect("a time").parse().expect("a time")
    };
    let held = since(at(&idle, "last_request_at"), at(&idle, "last_used_at"));
    assert!(held >= Duration::from_secs(1), "{idle}");
    // Nor is it forgotten with the replica.
    let asleep = client.until("demo", "asleep").await;
    assert_eq!(at(&asleep, "last_used_at"), at(&idle, "last_used_at"));
}

#[tokio::test]
async fn a_replica_in_use_outlives_an_idle_one() {
    // More than there ever is between two requests on a busy machine.
    let models = ["busy", "idle"]
        .map(|name| Model::mock(name, &["--tokens", "2"]).line("idle_timeout = \"3s\""));
    let serve = Serve::start(Config::with(models)).await;
    let client = serve.client();
    client.chat("busy").await;
    let first = client.state("busy").await["slots"][0]["claim"].clone();
    client.chat("idle").await;
    while client.state("idle").await["standing"] != "asleep" {
        assert_eq!(client.chat("busy").await.status, 200);
    }
    assert_eq!(client.state("busy").await["slots"][0]["claim"], first);
}

#[tokio::test]
async fn the_least_replicas_run_without_a_request_and_never_fall_idle() {
    let kept = idle("kept", &[]).line("min_replicas = 2\nmax_replicas = 3");
    let serve = Serve::start(Config::with([kept, idle("other", &[])])).await;
    let client = serve.client();
    let claims = |state: &serde_json::Value| {
        diogenes_e2e::ready(state).iter().map(|slot| slot["claim"].to_string()).collect::<Vec<_>>()
    };
    let before = claims(&client.until_replicas("kept", 2).await);
    client.chat("other").await;
    client.until("other", "asleep").await;
    assert_eq!(claims(&client.state("kept").await), before);
}
