//! Replicas that fail.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails at once")]
use diogenes_e2e::{Client, Config, Event, Model, Serve, ready};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Kills the first replica's process and waits until its port is closed: in between, the kernel
/// accepts a connection that nobody will answer, and its caller gets a 502.
async fn kill(client: &Client, process: Pid) {
    let replica = client.replica("demo", 0).await;
    kill_process(process, Signal::KILL).expect("it runs");
    until_closed(&replica).await;
}

async fn until_closed(replica: &Client) {
    diogenes_e2e::eventually("a closed port", async || {
        if Client::new(replica.base_url(), "none").is_up().await { Err("open") } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_crashes_is_replaced_and_callers_are_held_meanwhile() {
    let model = Model::mock("demo", &["--tokens", "3", "--load-weights-delay", "300ms"]);
    let (serve, client) = Serve::ready(model).await;
    for _ in 0..2 {
        let before = client.state("demo").await["slots"][0]["claim"].clone();
        let processes = serve.folder().processes();
        assert_eq!(processes.len(), 1);
        kill(&client, processes[0]).await;
        let calls = futures_util::future::join_all((0..10).map(|_| client.chat("demo"))).await;
        for answer in calls {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        assert_ne!(client.state("demo").await["slots"][0]["claim"], before);
        assert_eq!(serve.folder().processes().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_a_stream_ends_it_with_an_error_and_the_next_caller_is_served() {
    let (serve, client) =
        Serve::ready(Model::mock("demo", &["--tokens", "1000", "--tokens-per-second", "20"])).await;
    let mut stream = client.chat_stream("demo").await;
    stream.next().await;
    kill(&client, serve.folder().processes()[0]).await;
    let events = stream.all().await;
    assert_eq!(events.last().and_then(Event::error_code), Some("upstream_cut"));
    let mut next = client.chat_stream("demo").await;
    while !matches!(next.next().await, Some(Event::Data(_))) {}
}

#[tokio::test]
async fn a_replica_that_crashes_with_nobody_there_is_replaced_by_the_next_request_only() {
    // Long enough for the crash to come first on a busy machine.
    let model = Model::mock("demo", &["--tokens", "3"]).line("idle_timeout = \"3s\"");
    let (serve, client) = Serve::ready(model).await;
    kill(&client, serve.folder().processes()[0]).await;
    client.until("demo", "asleep").await;
    assert_eq!(client.chat("demo").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_has_left_no_log_is_told_with_the_log_before_it() {
    let serve = Serve::start(Config::default()).await;
    let client = serve.client();
    let logs = async || client.get("/api/v1/cluster/logs?model=demo").await;
    let broken = Model::command("demo", &["/nowhere/vllm", "{port}"]).spec();
    client.put("/api/v1/models/demo", &broken).await;
    client.until_state("demo", "is there", |state| state["model"] == "demo").await;
    client.scale("demo", "up").await;
    client.until("demo", "failed").await;
    let answer = logs().await;
    assert_eq!(answer.refusal(), (404, "not_found".into()));
    assert!(
        answer.text().contains("could not be started, so it has no log: "),
        "{}",
        answer.text()
    );

    client.put("/api/v1/models/demo", &Model::mock("demo", &[]).spec()).await;
    client.scale("demo", "up").await;
    client.until("demo", "ready").await;
    assert_eq!(logs().await.json()["failure"], serde_json::Value::Null);
    client.put("/api/v1/models/demo", &broken).await;
    client.scale("demo", "down").await;
    client.until("demo", "asleep").await;
    client.scale("demo", "up").await;
    client.until("demo", "failed").await;
    let page = logs().await.json();
    assert!(page["text"].as_str().is_some_and(|text| !text.is_empty()), "{page}");
    assert!(page["failure"].as_str().is_some_and(|why| why.contains("/nowhere/vllm")), "{page}");
}

/// Two replicas that each say which they are, and the one of slot 0.
async fn scripted_pair() -> (Serve, Client, Client) {
    let script = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let model = Model::scripted("demo", script, true).line("min_replicas = 2\nmax_replicas = 2");
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    client.until_replicas("demo", 2).await;
    let first = client.replica("demo", 0).await;
    (serve, client, first)
}

async fn refuse(replica: &Client, millis: u32) {
    let request = replica.request(Method::POST, &format!("/refuse/{millis}"));
    assert_eq!(replica.send(request).await.status, 200);
    // The answer leaves before the port closes, and a request in between would be lost.
    until_closed(replica).await;
}

/// When the first line with `text` was written, in seconds of the day.
fn logged_at(log: &str, text: &str) -> f64 {
    let line = log.lines().find(|line| line.contains(text));
    let line = line.unwrap_or_else(|| panic!("no `{text}` in {log}"));
    // `2026-11-27T03:30:00.123456Z`
    let time = line.split(['T', 'Z']).nth(1).unwrap_or_default();
    time.split(':').fold(0.0, |sum, part| {
        sum * 60.0 + part.parse::<f64>().unwrap_or_else(|_| panic!("no time in {line}"))
    })
}

async fn target(client: &Client) -> String {
    let answer = client.chat("demo").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
        .header("x-diogenes-target")
        .and_then(|target| target.split('/').next())
        .unwrap_or("?")
        .to_owned()
}

#[tokio::test]
async fn a_replica_that_refuses_connections_is_left_out_and_probed_back_in() {
    let (serve, client, first) = scripted_pair().await;
    assert_eq!(target(&client).await, "0");
    refuse(&first, 1000).await;
    diogenes_e2e::eventually("the other serves", async || match target(&client).await.as_str() {
        "1" => Ok(()),
        slot => Err(slot.to_owned()),
    })
    .await;
    assert_eq!(target(&client).await, "1");
    let claims = ready(&client.state("demo").await);
    diogenes_e2e::eventually("the first serves again", async || {
        match target(&client).await.as_str() {
            "0" => Ok(()),
            slot => Err(slot.to_owned()),
        }
    })
    .await;
    assert_eq!(ready(&client.state("demo").await), claims, "neither was replaced");
    assert!(serve.log().contains("accepts connections again"), "{}", serve.log());
}

#[tokio::test]
async fn a_replica_that_keeps_refusing_is_replaced() {
    let (serve, client, first) = scripted_pair().await;
    let state = client.state("demo").await;
    let before: Vec<Value> = ready(&state).iter().map(|slot| slot["claim"].clone()).collect();
    refuse(&first, 600_000).await;
    diogenes_e2e::eventually("the other serves", async || match target(&client).await.as_str() {
        "1" => Ok(()),
        slot => Err(slot.to_owned()),
    })
    .await;
    client
        .until_state("demo", "has another first replica", |state| {
            let now = ready(state);
            now.len() == 2 && now[0]["claim"] != before[0] && now[1]["claim"] == before[1]
        })
        .await;
    // Three glances, a second apart, and what a busy machine adds; its health check alone would
    // take 15 s. How long the next one boots is not counted.
    let log = serve.log();
    let noticed = logged_at(&log, "went from ready to") - logged_at(&log, "is out of rotation");
    assert!((0.0..5.0).contains(&noticed.rem_euclid(86_400.0)), "{noticed} s in {log}");
    assert_eq!(target(&client).await, "0");
}

#[tokio::test]
async fn a_failed_scale_up_is_not_tried_again_before_its_time() {
    let model = Model::mock("demo", &["--exit-during-boot", "3"]);
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    assert_eq!(client.chat("demo").await.code(), "model_failed_exited");
    let failure = client.until("demo", "failed").await["failure"].clone();
    let until = failure["until"].as_str().unwrap().to_owned();
    assert_eq!((&failure["attempts"], &failure["kind"]), (&json!(1), &json!("exited")));
    let mut refused = 0;
    let second = loop {
        let answer = client.chat("demo").await;
        assert_eq!(answer.code(), "model_failed_exited");
        let state = client.state("demo").await;
        match &state["failure"] {
            next if next["attempts"] == 2 => break next.clone(),
            _ => refused += 1,
        }
    };
    assert!(refused > 0);
    assert!(second["at"].as_str().unwrap() >= until.as_str(), "{second} {until}");
    assert_eq!(serve.log().matches("launched ").count(), 2, "{}", serve.log());
}

#[tokio::test]
async fn an_operators_up_does_not_wait_for_the_back_off() {
    let model = Model::mock("demo", &["--exit-during-boot", "3"]);
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    client.chat("demo").await;
    client.until("demo", "failed").await;
    client.scale("demo", "up").await;
    diogenes_e2e::eventually("a second launch", async || {
        let log = serve.log();
        if log.matches("launched ").count() == 2 { Ok(()) } else { Err(log) }
    })
    .await;
}
