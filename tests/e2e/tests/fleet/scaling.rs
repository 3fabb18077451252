//! More than one replica.
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails at once")]

use std::time::{Duration, Instant};

use diogenes_e2e::{Config, Event, EventStream, Model, Serve, ready};

fn two(flags: &[&str]) -> Model {
    Model::mock("demo", flags).line("max_replicas = 2\ntarget_concurrency = 1")
}

const SLOW: [&str; 4] = ["--tokens", "10000", "--tokens-per-second", "20"];

/// The slot that serves a stream.
fn slot(stream: &EventStream) -> String {
    let target = stream.headers["x-diogenes-target"].to_str().unwrap_or_default();
    target.split('/').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_comes_when_the_first_has_enough_to_do() {
    let (serve, client) = Serve::ready(two(&SLOW)).await;
    let began = Instant::now();
    let first = client.chat_stream("demo").await;
    // Beyond the target concurrency: served at once, and a reason for another replica.
    let second = client.chat_stream("demo").await;
    assert_eq!((slot(&first).as_str(), slot(&second).as_str()), ("0", "0"));
    client.until_replicas("demo", 2).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // The one with the least to do serves; the cap holds.
    let others = [client.chat_stream("demo").await, client.chat_stream("demo").await];
    assert_eq!(others.each_ref().map(slot), ["1", "1"]);
    assert_eq!(serve.folder().processes().len(), 2);
    assert_eq!(client.state("demo").await["in_flight"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_requests_bring_as_many_replicas_as_they_need() {
    let flags = ["--tokens", "10", "--tokens-per-second", "10", "--load-weights-delay", "300ms"];
    let serve = Serve::start(Config::with([two(&flags)])).await;
    let client = serve.client();
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.chat("demo").await })
        })
        .collect();
    client
        .until_state("demo", "has two slots", |state| {
            state["slots"].as_array().is_some_and(|slots| slots.len() == 2)
        })
        .await;
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert_eq!(serve.log().matches("launched ").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_replica_goes_when_it_is_no_longer_needed() {
    let model = two(&SLOW).line("idle_timeout = \"300ms\"");
    let (serve, client) = Serve::ready(model).await;
    let mut first = client.chat_stream("demo").await;
    let second = client.chat_stream("demo").await;
    client.until_replicas("demo", 2).await;
    drop(second);
    let began = Instant::now();
    let state = client
        .until_state("demo", "has one slot", |state| {
            state["slots"].as_array().is_some_and(|slots| slots.len() == 1)
        })
        .await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(ready(&state)[0]["index"], 0, "the newest goes first");
    assert_eq!(serve.folder().processes().len(), 1);
    assert!(matches!(first.next().await, Some(Event::Data(_))), "the first goes on");
}

#[tokio::test]
async fn a_replica_that_is_too_old_is_replaced() {
    let model = Model::mock("demo", &["--tokens", "3"]).line("max_lifetime = \"1s\"");
    let serve = Serve::start(Config::with([model.line("min_replicas = 1")])).await;
    let client = serve.client();
    let first = client.until("demo", "ready").await["slots"][0]["claim"].clone();
    client
        .until_state("demo", "has another claim", |state| {
            ready(state).first().is_some_and(|slot| slot["claim"] != first)
        })
        .await;
    assert_eq!(client.chat("demo").await.status, 200);
}
