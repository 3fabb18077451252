//! A caller that goes away is not worked for any longer.

use std::time::Duration;

use diogenes_e2e::{Client, Config, Model, Serve, chat};
use tokio::task::JoinHandle;

fn slow() -> Model {
    Model::mock("demo", &["--tokens", "1000", "--tokens-per-second", "10"])
}

/// A call that runs until it is aborted.
fn call(client: &Client, stream: bool) -> JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move {
        client.post("/v1/chat/completions", &chat("demo", stream)).await;
    })
}

async fn leaves(stream: bool) {
    let (_serve, client) = Serve::ready(slow()).await;
    let call = call(&client, stream);
    client.until_stats("demo", "works on it", |stats| stats["in_flight"] == 1).await;
    let left = std::time::Instant::now();
    call.abort();
    client
        .until_stats("demo", "has cancelled it", |stats| {
            stats["cancelled"] == 1 && stats["in_flight"] == 0
        })
        .await;
    // A second by contract; what is above it is for a busy machine.
    assert!(left.elapsed() < Duration::from_secs(5), "{:?}", left.elapsed());
    client.until_state("demo", "counts nothing in flight", |state| state["in_flight"] == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_a_stream_cancels_it_upstream() {
    leaves(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_a_plain_call_cancels_it_upstream() {
    leaves(false).await;
}

async fn leaves_while_held(stream: bool) {
    let model = Model::mock("demo", &["--never-healthy"]).line("max_held = 1");
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    for _ in 0..2 {
        let call = call(&client, stream);
        client.until_state("demo", "holds one", |state| state["held"] == 1).await;
        call.abort();
        client.until_state("demo", "holds none", |state| state["held"] == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_stream_whose_caller_leaves_gives_its_place_back() {
    leaves_while_held(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plain_call_whose_caller_leaves_gives_its_place_back() {
    leaves_while_held(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_left_while_it_was_held_is_not_served_later() {
    let serve =
        Serve::start(Config::with([Model::mock("demo", &["--load-weights-delay", "500ms"])])).await;
    let client = serve.client();
    let call = call(&client, true);
    client.until_state("demo", "holds one", |state| state["held"] == 1).await;
    call.abort();
    client.until_state("demo", "holds none", |state| state["held"] == 0).await;
    client.until("demo", "ready").await;
    assert_eq!(client.upstream_stats("demo").await["requests"], 0);
}
