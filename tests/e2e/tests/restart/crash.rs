//! Killed without warning.
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails at once")]

use std::time::Duration;

use diogenes_e2e::{Client, Config, Model, Serve};
use rustix::process::Pid;
use serde_json::{Value, json};

fn mock(flags: &[&str]) -> Config {
    Config::with([Model::mock("demo", flags)])
}

/// What a restart must not change of a replica.
fn identity(state: &Value) -> [Value; 3] {
    let slot = &state["slots"][0];
    [slot["claim"].clone(), slot["base_url"].clone(), slot["ready_at"].clone()]
}

fn the_process(serve: &Serve) -> Pid {
    let processes = serve.folder().processes();
    assert_eq!(processes.len(), 1, "{processes:?}");
    processes[0]
}

fn launches(serve: &Serve) -> usize {
    serve.log().matches("launched ").count()
}

#[tokio::test]
async fn keys_and_models_survive() {
    let serve = Serve::start(mock(&["--tokens", "3"])).await;
    let admin = serve.client();
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    let (revoked, revoked_key) = admin.create_key(&json!({"email": "bob@example.com"})).await;
    admin.delete(&format!("/api/v1/keys/{revoked}")).await;
    let model = Model::mock("org/api", &["--tokens", "4"]);
    assert_eq!(admin.put("/api/v1/models/org/api", &model.spec()).await.status, 201);
    let (keys, models) =
        (admin.get("/api/v1/keys").await.json(), admin.get("/api/v1/models").await.json());
    let admin_key = serve.admin_key();
    let serve = serve.crash_and_restart().await;
    assert_eq!(serve.admin_key(), admin_key);
    let admin = serve.client();
    assert_eq!(admin.get("/api/v1/keys").await.json(), keys);
    assert_eq!(admin.get("/api/v1/models").await.json(), models);
    assert_eq!(admin.get(&format!("/api/v1/keys/{id}")).await.json()["status"], "active");
    assert_eq!(serve.client_with(&key).chat("org/api").await.status, 200);
    assert_eq!(serve.client_with(&revoked_key).chat("demo").await.code(), "revoked_api_key");
}

#[tokio::test]
async fn a_ready_replica_serves_on_without_another_launch() {
    let serve = Serve::start(mock(&["--tokens", "3"])).await;
    serve.client().chat("demo").await;
    let before = identity(&serve.client().until("demo", "ready").await);
    let process = the_process(&serve);
    let mut serve = serve;
    for _ in 0..3 {
        serve = serve.crash_and_restart().await;
        // At once: it is published before the first request is accepted.
        let answer = serve.client().chat("demo").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-diogenes-cold-start-ms")),
            (200, None)
        );
        assert_eq!(identity(&serve.client().state("demo").await), before);
        assert_eq!((the_process(&serve), launches(&serve)), (process, 0));
    }
    assert_eq!(serve.client().upstream_stats("demo").await["requests"], 4);
    // And it can still be ended.
    serve.client().scale("demo", "down").await;
    serve.client().until("demo", "asleep").await;
    assert_eq!(serve.folder().processes(), []);
}

#[tokio::test]
async fn a_boot_goes_on_without_another_launch() {
    let serve = Serve::start(mock(&["--load-weights-delay", "1s", "--tokens", "3"])).await;
    serve.client().scale("demo", "up").await;
    serve
        .client()
        .until_state("demo", "boots", |state| state["slots"][0]["state"] == "booting")
        .await;
    let process = the_process(&serve);
    let claim = serve.client().state("demo").await["slots"][0]["claim"].clone();
    let serve = serve.crash_and_restart().await;
    assert_eq!(serve.client().chat("demo").await.status, 200);
    assert_eq!(serve.client().state("demo").await["slots"][0]["claim"], claim);
    assert_eq!((the_process(&serve), launches(&serve)), (process, 0));
}

#[tokio::test]
async fn a_replica_that_died_meanwhile_is_replaced() {
    let serve = Serve::start(mock(&["--tokens", "3"])).await;
    serve.client().chat("demo").await;
    let mut serve = serve;
    let process = the_process(&serve);
    serve.kill();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    let serve = serve.crash_and_restart().await;
    assert_eq!(serve.client().chat("demo").await.status, 200);
    assert_ne!(the_process(&serve), process);
}

/// How often it is killed; `DIOGENES_KILLS=1000` for a soak.
fn kills() -> u64 {
    std::env::var("DIOGENES_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_that_is_cut_off_leaves_one_process() {
    let serve = Serve::start(mock(&["--load-weights-delay", "300ms", "--tokens", "3"])).await;
    let mut serve = serve;
    for round in 0..kills() {
        let calls: Vec<_> = (0..30)
            .map(|_| {
                let client = serve.client();
                let request = client
                    .request(reqwest::Method::POST, "/v1/chat/completions")
                    .json(&diogenes_e2e::chat("demo", false));
                tokio::spawn(async move { request.send().await.is_ok() })
            })
            .collect();
        // Later in each round: from before the claim to the middle of the boot.
        let held = round * 10 % 40;
        serve
            .client()
            .until_state("demo", "holds some", |state| {
                state["held"].as_u64() >= Some(held) || state["standing"] == "ready"
            })
            .await;
        // And at any moment of what comes next; in the first rounds at once.
        tokio::time::sleep(Duration::from_millis((round / 4) * 37 % 331)).await;
        serve = serve.crash_and_restart().await;
        for call in calls {
            call.await.unwrap();
        }
        assert!(serve.folder().processes().len() <= 1);
    }
    assert_eq!(serve.client().chat("demo").await.status, 200);
    the_process(&serve);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_a_crash_cuts_off_is_cancelled_at_the_replica() {
    let flags = ["--tokens", "1000", "--tokens-per-second", "20"];
    let serve = Serve::start(mock(&flags)).await;
    let client: Client = serve.client();
    client.scale("demo", "up").await;
    client.until("demo", "ready").await;
    let mut stream = client.chat_stream("demo").await;
    stream.next().await;
    let serve = serve.crash_and_restart().await;
    let client = serve.client();
    client.until("demo", "ready").await;
    client.until_stats("demo", "has cancelled it", |stats| stats["cancelled"] == 1).await;
    assert_eq!(client.state("demo").await["in_flight"], 0);
}

#[tokio::test]
async fn a_back_off_outlasts_a_restart() {
    let serve = Serve::start(mock(&["--exit-during-boot", "3"])).await;
    assert_eq!(serve.client().chat("demo").await.code(), "model_failed_exited");
    let failure = serve.client().until("demo", "failed").await["failure"].clone();
    let serve = serve.crash_and_restart().await;
    assert_eq!(serve.client().state("demo").await["failure"], failure);
    assert_eq!(serve.client().chat("demo").await.code(), "model_failed_exited");
    assert_eq!(launches(&serve), 0);
}

#[tokio::test]
async fn estimates_outlast_a_restart() {
    let serve = Serve::start(mock(&["--load-weights-delay", "300ms", "--tokens", "3"])).await;
    serve.client().chat("demo").await;
    serve.client().scale("demo", "down").await;
    serve.client().until("demo", "asleep").await;
    let serve = serve.crash_and_restart().await;
    let request = serve
        .client()
        .request(reqwest::Method::POST, "/v1/chat/completions")
        .header("prefer", "wait=0")
        .json(&diogenes_e2e::chat("demo", false));
    let answer = serve.client().send(request).await;
    assert_eq!(answer.refusal(), (503, "model_warming".into()));
    assert!(answer.header("x-diogenes-eta-seconds").is_some(), "{:?}", answer.headers);
}
