//! Asked to end.

use diogenes_e2e::{Client, Config, Event, Model, Serve, eventually};

const SLOW: [&str; 4] = ["--tokens", "30", "--tokens-per-second", "15"];

/// Waits until no new connection is accepted.
async fn until_closed(serve: &Serve) {
    let base_url = serve.base_url().to_owned();
    eventually("a closed port", async || {
        // A fresh client has no connection to use again.
        if Client::new(&base_url, "none").is_up().await { Err("it listens") } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_finishes_before_the_end_and_its_replica_ends_with_it() {
    let (mut serve, client) = Serve::ready(Model::mock("demo", &SLOW)).await;
    let mut stream = client.chat_stream("demo").await;
    stream.next().await;
    serve.ask_to_end();
    until_closed(&serve).await;
    assert_eq!(serve.folder().processes().len(), 1, "it still streams");
    assert_eq!(stream.all().await.last(), Some(&Event::Done));
    let status = serve.ended().await;
    assert!(status.success(), "{status}: {}", serve.log());
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_call_finishes_before_the_end() {
    let (mut serve, client) = Serve::ready(Model::mock("demo", &SLOW)).await;
    let caller = client.clone();
    let call = tokio::spawn(async move { caller.chat("demo").await });
    client.until_stats("demo", "works on it", |stats| stats["in_flight"] == 1).await;
    serve.ask_to_end();
    assert_eq!(call.await.unwrap().status, 200);
    assert!(serve.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_longer_than_the_drain_is_cut_off() {
    let model = Model::mock("demo", &["--tokens", "100000", "--tokens-per-second", "20"]);
    let config = Config::with([model]).line("drain_timeout = \"500ms\"");
    let mut serve = Serve::start(config).await;
    let client = serve.client();
    let mut stream = client.chat_stream("demo").await;
    while !matches!(stream.next().await, Some(Event::Data(_))) {}
    let status = serve.terminate().await;
    assert!(status.success(), "{status}");
    assert!(serve.log().contains("cut off"), "{}", serve.log());
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_requests_are_told_that_it_ends() {
    let mut serve = Serve::start(Config::with([Model::mock("demo", &["--never-healthy"])])).await;
    let client = serve.client();
    let caller = client.clone();
    let plain = tokio::spawn(async move { caller.chat("demo").await });
    let stream = client.chat_stream("demo").await;
    client.until_state("demo", "holds two", |state| state["held"] == 2).await;
    serve.ask_to_end();
    let plain = plain.await.unwrap();
    assert_eq!(plain.refusal(), (503, "shutting_down".into()));
    assert_eq!(plain.header("retry-after"), Some("5"));
    let events = stream.all().await;
    assert_eq!(events.last().and_then(Event::error_code), Some("shutting_down"));
    assert!(serve.ended().await.success());
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test]
async fn a_replica_that_ignores_sigterm_is_killed() {
    let model = Model::mock("demo", &["--ignore-sigterm"]);
    let mut serve = Serve::start(Config::with([model]).line("kill_grace = \"300ms\"")).await;
    serve.client().scale("demo", "up").await;
    serve.client().until("demo", "ready").await;
    assert!(serve.terminate().await.success());
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test]
async fn a_boot_is_ended_too() {
    let mut serve = Serve::start(Config::with([Model::mock("demo", &["--never-healthy"])])).await;
    serve.client().scale("demo", "up").await;
    serve.client().until("demo", "starting").await;
    assert!(serve.terminate().await.success());
    assert_eq!(serve.folder().processes(), []);
}

/// An end that was asked for is nobody's failure: the next start finds the slot free.
#[tokio::test]
async fn a_boot_that_ended_with_the_server_is_not_a_failure_of_its_model() {
    let config = || {
        let flags = ["--load-weights-delay", "1s", "--tokens", "3"];
        Config::with([Model::mock("demo", &flags)])
    };
    let mut serve = Serve::start(config()).await;
    let client = serve.client();
    let caller = client.clone();
    let call = tokio::spawn(async move { caller.chat("demo").await });
    client.until_state("demo", "boots", |state| state["slots"][0]["state"] == "booting").await;
    assert!(serve.terminate().await.success());
    assert_eq!(call.await.expect("an answer").code(), "shutting_down");
    let folder = serve.folder();
    drop(serve);
    let serve = Serve::start_in(folder, config()).await;
    let state = serve.client().state("demo").await;
    assert_eq!((&state["standing"], &state["slots"]), (&"asleep".into(), &serde_json::json!([])));
    let answer = serve.client().chat("demo").await;
    assert_eq!(answer.status, 200, "{} {}", answer.text(), serve.log());
}

#[tokio::test]
async fn a_clean_restart_misses_no_replica() {
    let config = || Config::with([Model::mock("demo", &["--tokens", "3"])]);
    let serve = Serve::start(config()).await;
    serve.client().chat("demo").await;
    let serve = serve.restart_with(config()).await;
    assert_eq!(serve.client().state("demo").await["standing"], "asleep");
    let log = serve.log();
    assert!(!log.contains("disappeared") && !log.contains("WARN"), "{log}");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut serve = Serve::start(Config::default()).await;
    let connection = diogenes_e2e::RawConnection::open(serve.base_url()).await;
    let kept = serve.client();
    kept.get("/v1/models").await;
    let began = std::time::Instant::now();
    assert!(serve.terminate().await.success());
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    drop(connection);
}

#[tokio::test]
async fn an_interrupt_or_a_closed_terminal_ends_it_like_sigterm() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::HUP] {
        let (mut serve, _client) = Serve::ready(Model::mock("demo", &[])).await;
        rustix::process::kill_process(serve.pid(), signal).unwrap();
        assert!(serve.ended().await.success());
        assert_eq!(serve.folder().processes(), []);
    }
}
