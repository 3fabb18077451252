//! What a caller sees when no replica is ready.

use std::collections::BTreeSet;

use diogenes_e2e::{Config, Event, Model, Serve};
use reqwest::Method;
use serde_json::{Value, json};

fn slow(name: &str) -> Model {
    Model::mock(
        name,
        &["--load-weights-delay", "300ms", "--compile-delay", "100ms", "--tokens", "5"],
    )
}

#[tokio::test]
async fn a_stream_opens_at_once_and_tells_how_far_the_boot_is() {
    // Long enough for a busy machine to see the phase.
    let model = Model::mock("demo", &["--load-weights-delay", "2s", "--tokens", "5"]);
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let mut stream = client.chat_stream("demo").await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.headers["content-type"], "text/event-stream; charset=utf-8");
    let Some(Event::Comment(first)) = stream.next().await else { panic!("no comment first") };
    assert!(first.starts_with("diogenes {") && first.contains("\"phase\":"), "{first}");
    let rest = stream.all().await;
    let phases: BTreeSet<String> = rest
        .iter()
        .filter_map(|event| match event {
            Event::Comment(text) => serde_json::from_str(text.strip_prefix("diogenes ")?).ok(),
            _ => None,
        })
        .map(|report: serde_json::Value| report["phase"].as_str().unwrap().to_owned())
        .collect();
    assert!(phases.contains("weights") && phases.contains("ready"), "{phases:?}");
    assert_eq!(rest.last(), Some(&Event::Done));
    let text: String = rest
        .iter()
        .filter_map(|event| match event {
            Event::Data(chunk) => chunk["choices"][0]["delta"]["content"].as_str(),
            _ => None,
        })
        .collect();
    assert!(!text.is_empty());
}

#[tokio::test]
async fn a_plain_call_is_held_and_answered() {
    let serve = Serve::start(Config::with([slow("demo")])).await;
    let answer = serve.client().chat("demo").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["object"], "chat.completion");
    assert_eq!(answer.header("x-diogenes-model"), Some("demo"));
    let waited: f64 = answer.header("x-diogenes-cold-start-ms").unwrap().parse().unwrap();
    assert!(waited >= 300.0, "{waited}");
    for name in ["x-request-id", "x-diogenes-target", "x-diogenes-overhead-ms"] {
        assert!(answer.header(name).is_some(), "{name}");
    }
    let warm = serve.client().chat("demo").await;
    assert_eq!(warm.header("x-diogenes-cold-start-ms"), None);
}

#[tokio::test]
async fn a_herd_of_first_requests_launches_one_process() {
    let serve = Serve::start(Config::with([slow("demo").line("max_replicas = 1")])).await;
    let calls: Vec<_> = (0..100)
        .map(|number| {
            let client = serve.client();
            tokio::spawn(async move {
                if number % 2 == 0 {
                    client.chat("demo").await.status.as_u16()
                } else {
                    let events = client.chat_stream("demo").await.all().await;
                    if events.last() == Some(&Event::Done) { 200 } else { 599 }
                }
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    let launches = serve.log().matches("launched ").count();
    assert_eq!(launches, 1, "{}", serve.log());
}

#[tokio::test]
async fn a_herd_that_one_replica_can_serve_starts_no_second_one() {
    let flags = ["--load-weights-delay", "1s", "--ttft", "3s", "--tokens", "5"];
    let model = Model::mock("demo", &flags).line("max_replicas = 2\ntarget_concurrency = 40");
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let client = serve.client();
            tokio::spawn(async move { client.chat("demo").await.status.as_u16() })
        })
        .collect();
    client.until_state("demo", "holds all of them", |state| state["held"] == 40).await;
    // None of them counts twice, or one replica would not seem to be enough.
    let serves_all = |state: &serde_json::Value| state["in_flight"] == 40 && state["held"] == 0;
    client.until_state("demo", "serves all of them", serves_all).await;
    // A reconcile that sees them.
    assert_eq!(client.scale("demo", "unpin").await.status, 202);
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    let launches = serve.log().matches("launched ").count();
    assert_eq!(launches, 1, "{}", serve.log());
}

#[tokio::test]
async fn a_key_cannot_take_every_place() {
    let model = Model::mock("demo", &["--load-weights-delay", "2s"]).line("max_held_per_key = 2");
    let serve = Serve::start(Config::with([model])).await;
    let admin = serve.client();
    let mut calls = Vec::new();
    for (email, requests) in [("greedy@example.com", 4), ("other@example.com", 1)] {
        let (_, key) = admin.create_key(&serde_json::json!({"email": email})).await;
        for _ in 0..requests {
            let client = serve.client_with(&key);
            calls.push((email, tokio::spawn(async move { client.chat("demo").await })));
        }
    }
    let mut found = Vec::new();
    for (email, call) in calls {
        let answer = call.await.unwrap();
        if answer.status == 429 {
            assert_eq!(answer.code(), "too_many_held_requests");
            let message = answer.json()["error"]["message"].to_string();
            assert!(message.contains("of one key that may wait for it (2)"), "{message}");
        }
        found.push((email, answer.status.as_u16()));
    }
    found.sort_unstable();
    let greedy = "greedy@example.com";
    let expected =
        [(greedy, 200), (greedy, 200), (greedy, 429), (greedy, 429), ("other@example.com", 200)];
    assert_eq!(found, expected);
    // They are given back.
    assert_eq!(admin.scale("demo", "down").await.status, 202);
    admin.until_state("demo", "asleep", |state| state["standing"] == "asleep").await;
    assert_eq!(admin.chat("demo").await.status, 200);
}

#[tokio::test]
async fn beyond_max_held_a_request_is_turned_away() {
    let model = Model::mock("demo", &["--load-weights-delay", "2s"]).line("max_held = 3");
    let serve = Serve::start(Config::with([model])).await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let client = serve.client();
            tokio::spawn(async move { client.chat("demo").await })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 429 {
            assert_eq!(answer.code(), "too_many_held_requests");
            assert!(answer.header("retry-after").is_some());
        }
        statuses.push(answer.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429, 429, 429, 429, 429]);
}

#[tokio::test]
async fn a_caller_that_will_not_wait_gets_503_and_wakes_the_model() {
    let serve = Serve::start(Config::with([slow("demo")])).await;
    let client = serve.client();
    let body = json!({"model": "demo", "stream": true, "messages": []});
    let request =
        client.request(Method::POST, "/v1/chat/completions").header("prefer", "wait=0").json(&body);
    let answer = client.send(request).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.code(), "model_warming");
    assert!(answer.header("x-diogenes-phase").is_some());
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after));
    client.until("demo", "ready").await;
}

#[tokio::test]
async fn a_model_that_rejects_does_so_and_wakes() {
    let serve = Serve::start(Config::with([slow("demo").line("cold_start = \"reject\"")])).await;
    let client = serve.client();
    assert_eq!(client.chat("demo").await.code(), "model_warming");
    client.until("demo", "ready").await;
    assert_eq!(client.chat("demo").await.status, 200);
    // A later cold start knows how long the first took.
    client.scale("demo", "down").await;
    client.until("demo", "asleep").await;
    assert!(client.chat("demo").await.header("x-diogenes-eta-seconds").is_some());
}

#[tokio::test]
async fn a_hold_ends_with_503_on_both_kinds_of_call() {
    let model = Model::mock("demo", &["--never-healthy"]).line("hold_timeout = \"300ms\"");
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let plain = client.chat("demo").await;
    assert_eq!((plain.status.as_u16(), plain.code().as_str()), (503, "model_warming"));
    let body = json!({"model": "demo", "stream": true, "messages": []});
    let request =
        client.request(Method::POST, "/v1/chat/completions").header("prefer", "wait=1").json(&body);
    let streamed = client.send(request).await;
    assert_eq!(streamed.status, 200);
    let text = String::from_utf8(streamed.body).unwrap();
    assert!(text.contains("\"code\":\"model_warming\"") && !text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn a_child_that_exits_while_it_boots_ends_held_requests_with_its_exit_code() {
    let model = Model::mock("demo", &["--load-weights-delay", "200ms", "--exit-during-boot", "7"]);
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let (plain, streamed) =
        tokio::join!(client.chat("demo"), async { client.chat_stream("demo").await.all().await });
    assert_eq!((plain.status.as_u16(), plain.code().as_str()), (503, "model_failed_exited"));
    let message = plain.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("code 7") && message.contains("diogenes logs demo"), "{message}");
    assert_eq!(streamed.last().unwrap().error_code(), Some("model_failed_exited"));
    // While it backs off, nobody is held.
    let next = client.chat("demo").await;
    assert_eq!(next.code(), "model_failed_exited");
    assert!(next.header("retry-after").is_some());
    let logs = client.get("/api/v1/cluster/logs?model=demo").await.json();
    assert!(logs["text"].as_str().unwrap().len() > 20, "{logs}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let model = Model::command("demo", &["no-such-inference-server", "--port", "{port}"]);
    let serve = Serve::start(Config::with([model])).await;
    let answer = serve.client().chat("demo").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "model_failed_invalid_spec")
    );
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("no-such-inference-server"), "{message}");
}

#[tokio::test]
async fn a_boot_that_takes_too_long_fails() {
    let model = Model::mock("demo", &["--never-healthy"]).line("boot_timeout = \"500ms\"");
    let serve = Serve::start(Config::with([model])).await;
    assert_eq!(serve.client().chat("demo").await.code(), "model_failed_boot_timeout");
}

#[tokio::test]
async fn a_wish_to_wait_for_ever_is_no_danger() {
    let serve = Serve::start(Config::with([slow("demo")])).await;
    let client = serve.client();
    let body = json!({"model": "demo", "stream": true, "messages": []});
    let request = client
        .request(Method::POST, "/v1/chat/completions")
        .header("prefer", format!("wait={}", u64::MAX))
        .json(&body);
    let text = String::from_utf8(client.send(request).await.body).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn cold_embeddings_are_plain_even_when_a_stream_is_asked_for() {
    let serve = Serve::start(Config::with([slow("demo")])).await;
    let body = json!({"model": "demo", "stream": true, "input": "x"});
    let answer = serve.client().post("/v1/embeddings", &body).await;
    assert_eq!(answer.json()["object"], "list");
}

#[tokio::test]
async fn a_huge_unknown_name_is_refused_at_once() {
    let serve = Serve::start(Config::with([slow("demo")])).await;
    let answer = serve.client().chat(&"demo".repeat(1_000_000)).await;
    assert_eq!(answer.code(), "model_not_found");
    assert!(answer.body.len() < 1000);
}

#[tokio::test]
async fn embeddings_start_their_model_and_the_command_tells_how_far_it_is() {
    let model = Model::mock("small", &["--load-weights-delay", "2500ms"]);
    let serve = Serve::start(Config::with([model])).await;
    let health = serve.cli(&["health", "-o", "json"]);
    let health: Value = serde_json::from_slice(&health.stdout).unwrap();
    assert_eq!((&health["models"]["total"], &health["models"]["asleep"]), (&json!(1), &json!(1)));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    let embed = serve.cli(&["embed", "small", "one", "two", "--dimensions", "8", "-o", "json"]);
    let told = String::from_utf8_lossy(&embed.stderr);
    assert!(embed.status.success(), "{told}");
    assert!(told.contains("small: weights, "), "{told}");
    let answer: Value = serde_json::from_slice(&embed.stdout).unwrap();
    let lengths: Vec<usize> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["embedding"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [8, 8]);
    let health = serve.cli(&["health"]);
    let text = String::from_utf8_lossy(&health.stdout);
    assert!(text.contains("models:   1: 1 ready"), "{text}");
}
