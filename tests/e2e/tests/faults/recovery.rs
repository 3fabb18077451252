//! Replicas that are killed in the middle of streams, along a route that recovers them.

use diogenes_e2e::{Client, Config, Event, Model, Serve, ready};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

const ROUTE: &str = "[routes.assistant]\ntargets = [\"demo\"]\nrecover = true\n";

async fn serve() -> (Serve, Client) {
    serve_with("").await
}

/// Two replicas of a model with this line.
async fn serve_with(line: &str) -> (Serve, Client) {
    let model = Model::mock("demo", &["--tokens", "40", "--tokens-per-second", "40"])
        .line("min_replicas = 2")
        .line("max_replicas = 2")
        .line(line);
    let serve = Serve::start(Config::with([model]).tables(ROUTE)).await;
    let client = serve.client();
    client.until_replicas("demo", 2).await;
    (serve, client)
}

/// What a caller makes of a stream: one id, one role, one end.
fn said(events: &[Event]) -> (String, Value) {
    let (mut text, mut usage, mut ids, mut roles, mut ends) =
        (String::new(), Value::Null, Vec::new(), 0, 0);
    assert_eq!(events.iter().filter(|event| **event == Event::Done).count(), 1, "{events:?}");
    for event in events {
        let Event::Data(chunk) = event else { continue };
        let known = ids.contains(&chunk["id"]);
        ids.extend(Some(chunk["id"].clone()).filter(|_| !known));
        assert!(chunk.get("prompt_token_ids").is_none(), "{chunk}");
        let Some(choice) = chunk["choices"].get(0) else {
            usage = chunk["usage"].clone();
            continue;
        };
        assert!(choice.get("token_ids").is_none() && chunk.get("usage").is_none(), "{chunk}");
        let piece = choice["delta"].get("content").or(choice.get("text"));
        text.push_str(piece.and_then(Value::as_str).unwrap_or_default());
        roles += usize::from(choice["delta"].get("role").is_some());
        ends += usize::from(!choice["finish_reason"].is_null());
    }
    assert_eq!((ids.len(), ends, roles < 2), (1, 1, true), "{events:?}");
    (text, usage)
}

/// A number of the metrics of a mock.
async fn metric(replica: &Client, name: &str) -> u64 {
    let page = replica.get("/metrics").await.text();
    let line = page.lines().find(|line| line.starts_with(&format!("vllm:{name}_total")));
    let value = line.and_then(|line| line.rsplit(' ').next()).expect(name);
    value.split('.').next().and_then(|whole| whole.parse().ok()).expect(name)
}

/// The process that listens where this replica answers.
fn process_of(serve: &Serve, replica: &Client) -> rustix::process::Pid {
    let port = replica.base_url().rsplit(':').next().expect("a port").to_owned();
    let has_port = |pid: &rustix::process::Pid| {
        let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
        let command = std::fs::read(path).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|argument| argument == port.as_bytes())
    };
    serve.folder().processes().into_iter().find(has_port).expect("a process")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_replica_is_killed_reads_as_if_it_had_not_been() {
    let (serve, client) = serve().await;
    let chat = |content: &str| {
        json!({
            "model": "assistant", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": content}],
        })
    };
    let text = json!({
        "model": "assistant", "stream": true, "stream_options": {"include_usage": true},
        "prompt": "tell me", "max_tokens": 40,
    });
    for (path, body, spoken) in [
        ("/v1/chat/completions", chat(""), 10),
        // Cut in the middle of words, and maybe of a crab.
        ("/v1/chat/completions", chat("🦀🦀🦀🦀 and é"), 12),
        ("/v1/completions", text, 10),
    ] {
        let (whole, usage) = said(&client.stream(path, &body).await.all().await);
        assert_eq!(usage["completion_tokens"], 40);

        client.until_replicas("demo", 2).await;
        let mut stream = client.stream(path, &body).await;
        let target = stream.headers["x-diogenes-target"].to_str().expect("text").to_owned();
        assert_eq!(stream.headers["x-diogenes-route"], "assistant; position=1; recover");
        let slot: u64 =
            target.split('/').next().and_then(|slot| slot.parse().ok()).expect("a slot");
        let (dying, other) =
            (client.replica("demo", slot).await, client.replica("demo", 1 - slot).await);
        let counted =
            (metric(&other, "prompt_tokens").await, metric(&other, "generation_tokens").await);
        let mut events = Vec::new();
        for _ in 0..spoken {
            events.push(stream.next().await.expect("an event"));
        }
        kill_process(process_of(&serve, &dying), Signal::KILL).expect("it runs");
        events.extend(stream.all().await);

        let (recovered, told) = said(&events);
        assert_eq!(recovered, whole, "{path}");
        assert_eq!(told["prompt_tokens"], usage["prompt_tokens"], "{path}");
        assert_eq!(told["completion_tokens"], 40, "{path}");
        // Its prompt was the first one with what had come, and it has generated only the rest.
        let prompt = metric(&other, "prompt_tokens").await - counted.0;
        let generated = metric(&other, "generation_tokens").await - counted.1;
        if path == "/v1/chat/completions" && spoken == 10 {
            let had_come = prompt - usage["prompt_tokens"].as_u64().expect("a number");
            assert!((9..40).contains(&had_come), "{had_come}");
            assert_eq!(generated, 40 - had_come);
        }
        assert!(generated < 40, "{path}: {generated}");
    }
    let metrics = client.get("/metrics").await.text();
    let line = r#"diogenes_recoveries_total{model="demo",kind="recovered"} 3"#;
    assert!(metrics.contains(line), "{metrics}");
    let tokens = r#"diogenes_tokens_total{model="demo",kind="completion"} 240"#;
    assert!(metrics.contains(tokens), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_translated_response_whose_replica_is_killed_is_one_response() {
    let (serve, client) = serve_with("responses = \"translated\"").await;
    let body = json!({"model": "assistant", "stream": true, "input": "tell me"});
    // The text and the usage, of a response that is whole.
    let said = |events: &[Event]| {
        let events: Vec<&Value> = events
            .iter()
            .filter_map(|event| match event {
                Event::Data(event) => Some(event),
                _ => None,
            })
            .collect();
        let numbers = events.iter().map(|event| event["sequence_number"].as_u64());
        assert!(numbers.eq((0..events.len() as u64).map(Some)), "{events:?}");
        let ids = events.iter().filter_map(|event| event.pointer("/response/id"));
        let ids: std::collections::BTreeSet<_> = ids.map(Value::to_string).collect();
        assert_eq!(ids.len(), 1, "{events:?}");
        let completed = events.iter().filter(|event| event["type"] == "response.completed");
        let (completed, last) = (completed.collect::<Vec<_>>(), events.last().expect("events"));
        assert_eq!(completed, [last], "{events:?}");
        let deltas = events.iter().filter(|event| event["type"] == "response.output_text.delta");
        let text: String = deltas.filter_map(|event| event["delta"].as_str()).collect();
        let response = &last["response"];
        assert_eq!(response["output"][0]["content"][0]["text"], text.as_str());
        (text, response["usage"].clone())
    };
    let whole = said(&client.stream("/v1/responses", &body).await.all().await);
    assert_eq!(whole.1["output_tokens"], 40);
    let mut stream = client.stream("/v1/responses", &body).await;
    assert_eq!(stream.headers["x-diogenes-route"], "assistant; position=1; recover");
    let target = stream.headers["x-diogenes-target"].to_str().expect("text").to_owned();
    let slot = target.split('/').next().and_then(|slot| slot.parse().ok()).expect("a slot");
    let dying = client.replica("demo", slot).await;
    let mut events = Vec::new();
    for _ in 0..14 {
        events.push(stream.next().await.expect("an event"));
    }
    kill_process(process_of(&serve, &dying), Signal::KILL).expect("it runs");
    events.extend(stream.all().await);
    assert_eq!(said(&events), whole);
    let metrics = client.get("/metrics").await.text();
    let line = r#"diogenes_recoveries_total{model="demo",kind="recovered"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_waits_for_its_model_to_come_back() {
    let model = Model::mock("demo", &["--tokens", "40", "--tokens-per-second", "40"]);
    let serve = Serve::start(Config::with([model]).tables(ROUTE)).await;
    let client = serve.client();
    let body = json!({
        "model": "assistant", "stream": true, "messages": [{"role": "user", "content": "hi"}],
    });
    let (whole, _) = said(&client.stream("/v1/chat/completions", &body).await.all().await);
    let mut stream = client.stream("/v1/chat/completions", &body).await;
    let mut events = Vec::new();
    for _ in 0..8 {
        events.push(stream.next().await.expect("an event"));
    }
    assert_eq!(ready(&client.state("demo").await).len(), 1);
    let dying = client.replica("demo", 0).await;
    kill_process(process_of(&serve, &dying), Signal::KILL).expect("it runs");
    events.extend(stream.all().await);
    assert_eq!(said(&events).0, whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_leaves_a_replica_that_drains_before_it_is_ended() {
    let serve = Serve::start(Config::with([]).tables(ROUTE)).await;
    let client = serve.client();
    let at_most = |replicas: u64| {
        let mut spec =
            Model::mock("demo", &["--tokens", "160", "--tokens-per-second", "40"]).spec();
        spec["min_replicas"] = replicas.into();
        spec["max_replicas"] = replicas.into();
        spec["drain_timeout"] = "2s".into();
        spec
    };
    assert_eq!(client.put("/api/v1/models/demo", &at_most(2)).await.status, 201);
    client.until_replicas("demo", 2).await;
    let body = json!({
        "model": "assistant", "stream": true, "messages": [{"role": "user", "content": "hi"}],
    });
    // One on each replica.
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = client.stream("/v1/chat/completions", &body).await;
        let first = stream.next().await.expect("an event");
        streams.push((stream, vec![first]));
    }
    assert_eq!(client.put("/api/v1/models/demo", &at_most(1)).await.status, 200);
    let mut texts = Vec::new();
    for (stream, mut events) in streams {
        events.extend(stream.all().await);
        texts.push(said(&events).0);
    }
    assert_eq!(texts[0], texts[1]);
    let metrics = client.get("/metrics").await.text();
    let count = |kind: &str| {
        let line = format!(r#"diogenes_recoveries_total{{model="demo",kind="{kind}"}} "#);
        let value = metrics.lines().find_map(|each| each.strip_prefix(&line));
        value.unwrap_or("0").to_owned()
    };
    assert_eq!((&*count("handed_over"), &*count("recovered")), ("1", "0"), "{metrics}");
}
