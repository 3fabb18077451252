use serde_json::{Value, json};

use super::{create, serve};

const JOBS: &str = r#"
[jobs.commands.say]
program = ["echo"]

[jobs.commands.greet]
program = ["echo", "hello {name}"]

[jobs.templates.hello]
kind = "command"
arguments = { command = "greet" }
schema = { properties = { command = { const = "greet" }, values = { properties = { name = { pattern = "^[a-z]+$" } } } } }
"#;

/// Every field that makes no sense is named, and no job comes of it.
#[tokio::test]
async fn bad_jobs_are_refused_with_the_field() {
    let (_serve, client) = serve(JOBS).await;
    let http = |url: &str| json!({"kind": "http", "arguments": {"url": url}});
    let with = |name: &str, value: Value| {
        let mut body = http("https://example.com");
        body[name] = value;
        body
    };
    let say = |arguments: Value| json!({"kind": "command", "arguments": arguments});
    for (body, param) in [
        (json!({}), "kind"),
        (json!({"kind": "noop"}), "kind"),
        (json!({"kind": "batch"}), "kind"),
        (json!({"kind": "Http"}), "kind"),
        (json!({"kind": "http"}), "arguments.url"),
        (json!({"kind": "http", "arguments": []}), "arguments"),
        (http("http://169.254.169.254/latest/meta-data/"), "arguments.url"),
        (http("http://2130706433/"), "arguments.url"),
        (http("http://[::ffff:10.0.0.1]/"), "arguments.url"),
        (http("file:///etc/passwd"), "arguments.url"),
        (say(json!({"command": "rm"})), "arguments.command"),
        (say(json!({"command": "say", "arguments": "text"})), "arguments.arguments"),
        (say(json!({"command": "say", "shell": true})), "arguments.shell"),
        (say(json!({"command": "greet"})), "arguments.values.name"),
        (json!({"template": "absent"}), "template"),
        (json!({"template": "hello", "kind": "http"}), "template"),
        (
            json!({"template": "hello", "arguments": {"values": {"name": "X"}}}),
            "arguments.values.name",
        ),
        (json!({"template": "hello", "arguments": {"command": "say"}}), "arguments.command"),
        (with("queue", json!("No Queue")), "queue"),
        (with("priority", json!(5)), "priority"),
        (with("max_attempts", json!(0)), "max_attempts"),
        (with("timeout", json!(0)), "timeout"),
        (with("run_at", json!("tomorrow")), "run_at"),
        (with("delay", json!("-1s")), "delay"),
        (with("unique_key", json!("")), "unique_key"),
        (with("tags", json!({"": "x"})), "tags"),
        (with("when", json!("now")), "when"),
    ] {
        let answer = client.post("/api/v1/jobs", &body).await;
        let error = answer.json();
        assert_eq!(answer.status, 400, "{body}: {error}");
        assert_eq!(error["error"]["param"], param, "{body}: {error}");
    }
    let jobs = client.get("/api/v1/jobs").await.json();
    assert_eq!(jobs["data"], json!([]));
}

/// A unique key is one job's until that has ended.
#[tokio::test]
async fn a_unique_key_is_taken_once() {
    let (_serve, client) = serve(JOBS).await;
    let mut body = super::command("say", &["hello"]);
    body["unique_key"] = json!("nightly");
    body["delay"] = json!("1h");
    let first = create(&client, &body).await;
    let answer = client.post("/api/v1/jobs", &body).await;
    let error = answer.json();
    assert_eq!((answer.status.as_u16(), &error["error"]["param"]), (409, &json!("unique_key")));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains(&first), "{message}");
    client.post(&format!("/api/v1/jobs/{first}/cancel"), &json!({})).await;
    create(&client, &body).await;
}
