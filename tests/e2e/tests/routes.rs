//! Routes of `serve`: names that lead to one of several models.

use std::sync::Arc;

use diogenes_e2e::{Config, Event, Model, Serve};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const ROUTE: &str = "[routes.assistant]\ntargets = [\"big\", \"small\"]\n";

fn big() -> Model {
    Model::mock("big", &["--load-weights-delay", "1s", "--tokens", "5"])
}

fn small() -> Model {
    Model::mock("small", &["--tokens", "5"])
}

#[tokio::test]
async fn a_small_model_answers_until_the_big_one_is_ready() {
    let serve = Serve::start(Config::with([big(), small()]).tables(ROUTE)).await;
    let client = serve.client();
    // The small one runs.
    assert_eq!(client.chat("small").await.status, 200);
    let first = client.chat("assistant").await;
    assert_eq!((first.status.as_u16(), first.header("x-diogenes-model")), (200, Some("small")));
    assert_eq!(first.header("x-diogenes-route"), Some("assistant; position=2; reason=cold"));
    assert_eq!(first.header("x-diogenes-cold-start-ms"), None);
    assert_eq!(first.json()["model"], "small");
    // That has woken the big one, and nothing else will.
    client.until("big", "ready").await;
    let later = client.chat("assistant").await;
    assert_eq!(later.header("x-diogenes-model"), Some("big"));
    assert_eq!(later.header("x-diogenes-route"), Some("assistant; position=1"));
    assert_eq!(later.json()["model"], "big");
}

#[tokio::test]
async fn a_cold_route_is_held_and_streams() {
    let serve = Serve::start(Config::with([big(), small()]).tables(ROUTE)).await;
    let events = serve.client().chat_stream("assistant").await.all().await;
    assert_eq!(events.last(), Some(&Event::Done));
    let ready: Vec<Value> = events
        .iter()
        .filter_map(|event| match event {
            Event::Comment(text) => serde_json::from_str(text.strip_prefix("diogenes ")?).ok(),
            _ => None,
        })
        .filter(|report: &Value| report["phase"] == "ready")
        .collect();
    assert_eq!(ready[0]["model"], "big");
    assert_eq!(ready[0]["route"], "assistant; position=1");
}

#[tokio::test]
async fn routes_are_listed_beside_the_models() {
    let serve = Serve::start(Config::with([small()]).tables(ROUTE)).await;
    let listed = serve.client().get("/v1/models").await.json();
    let names: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["small", "assistant"]);
    assert_eq!(serve.client().get("/v1/models/assistant").await.status, 200);
    // A target that nobody has registered is passed over.
    assert_eq!(serve.client().chat("assistant").await.header("x-diogenes-model"), Some("small"));
}

#[tokio::test]
async fn targets_that_are_not_there_are_told() {
    let serve = Serve::start(Config::with([small()]).tables(ROUTE)).await;
    let log = serve.log();
    assert!(
        log.contains("route assistant: `big` is neither a registered model nor one of"),
        "{log}"
    );
    assert!(!log.contains("route assistant: `small`"), "{log}");
    let missing = async || {
        let routes = serve.client().get("/api/v1/routes").await.json();
        let route = serve.client().get("/api/v1/routes/assistant").await.json();
        assert_eq!(routes["data"][0], route);
        route["missing_targets"].clone()
    };
    assert_eq!(missing().await, serde_json::json!(["big"]));
    let applied = serve.client().put("/api/v1/models/big", &big().spec()).await;
    assert_eq!(applied.status, 201, "{}", applied.text());
    assert_eq!(missing().await, serde_json::json!([]));
    assert_eq!(serve.client().delete("/api/v1/models/big").await.status, 200);
    assert_eq!(missing().await, serde_json::json!(["big"]));
    let listed = serve.cli(&["route", "list"]);
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(text.contains("big(missing),small"), "{text}");
}

#[tokio::test]
async fn a_key_can_be_issued_for_a_route() {
    let serve = Serve::start(Config::with([small()]).tables(ROUTE)).await;
    let body = serde_json::json!({"email": "ann@example.com", "models": ["assistant"]});
    let (_, key) = serve.client().create_key(&body).await;
    let client = serve.client_with(&key);
    assert_eq!(client.chat("assistant").await.header("x-diogenes-model"), Some("small"));
    assert_eq!(client.chat("small").await.refusal().0, 403);
    let misspelt = serde_json::json!({"email": "ann@example.com", "models": ["asistant"]});
    let refused = serve.client().post("/api/v1/keys", &misspelt).await;
    assert_eq!(refused.status, 404, "{}", refused.text());
    assert!(refused.text().contains("did you mean `assistant`?"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_are_made_at_once_are_all_kept() {
    let serve = Arc::new(Serve::start(Config::with([small()])).await);
    let applied = serve.cli(&["route", "apply", "assistant", "small"]);
    assert!(applied.status.success(), "{applied:?}");
    let changes = [
        ["--strategy", "weighted"],
        ["--while-cold", "hold"],
        ["--sticky", "30m"],
        ["--cache-ttl", "10m"],
        ["--recover", "true"],
        ["--egress", "true"],
    ];
    let mut commands = JoinSet::new();
    for change in changes {
        let serve = serve.clone();
        commands.spawn_blocking(move || {
            let arguments = [&["route", "apply", "assistant"], &change[..]].concat();
            serve.cli(&arguments)
        });
    }
    for done in commands.join_all().await {
        assert!(done.status.success(), "{done:?}");
    }
    let spec = serve.client().get("/api/v1/routes/assistant").await.json()["spec"].take();
    for (field, expected) in [
        ("strategy", json!("weighted")),
        ("while_cold", json!("hold")),
        ("sticky", json!("30m")),
        ("cache_ttl", json!("10m")),
        ("recover", json!(true)),
        ("egress", json!(true)),
    ] {
        assert_eq!(spec[field], expected, "{spec}");
    }
}

#[tokio::test]
async fn a_change_of_what_was_not_read_is_refused() {
    let serve = Serve::start(Config::with([small()])).await;
    let client = serve.client();
    let put = async |name: &str, value: &str, minutes: u32| {
        let spec = json!({"targets": ["small"], "sticky": format!("{minutes}m")});
        let request = client.request(Method::PUT, "/api/v1/routes/assistant").json(&spec);
        client.send(request.header(name.to_owned(), value)).await
    };
    let added = put("if-none-match", "*", 1).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let tag = added.header("etag").unwrap().to_owned();
    let read = client.get("/api/v1/routes/assistant").await;
    assert_eq!(read.header("etag"), Some(tag.as_str()));
    let changed = put("if-match", &tag, 2).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    for (name, value, status, code) in [
        ("if-match", tag.as_str(), 412, "precondition_failed"),
        ("if-none-match", "*", 412, "precondition_failed"),
        ("if-match", "unquoted", 400, "invalid_request"),
    ] {
        let refused = put(name, value, 3).await;
        assert_eq!(refused.status, status, "{}", refused.text());
        assert_eq!(refused.json()["error"]["code"], code);
    }
    let request = client.request(Method::DELETE, "/api/v1/routes/assistant");
    let refused = client.send(request.header("if-match", &tag)).await;
    assert_eq!(refused.status, 412, "{}", refused.text());
}
