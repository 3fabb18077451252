//! Prompts: the function that keeps them, and requests that name them.

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::front::Fault;
use diogenes_e2e::aws::stack::Stack;
use diogenes_e2e::batch::{content, create, until, upload};
use diogenes_e2e::{Answer, Client, eventually};
use http::Method;
use serde_json::{Value, json};

use crate::calls::Mark;
use crate::{fast, until_ready};

const PROMPTS: &str = "PromptsFunction";
const ROUTER: &str = "RouterFunction";
const LABEL: &str = "/api/v1/prompts/tutor/labels/production";

fn tutor(text: &str) -> Value {
    json!({
        "model": "demo", "messages": [{"role": "system", "content": text}],
        "variables": [{"name": "subject"}], "default_config": {"max_tokens": 3},
    })
}

/// A request that names the prompt.
fn question() -> Value {
    json!({
        "prompt": {"id": "tutor", "variables": {"subject": "maths"}},
        "messages": [{"role": "user", "content": "Why?"}],
    })
}

async fn ask(client: &Client) -> Answer {
    client.post("/v1/chat/completions", &question()).await
}

fn version(answer: &Answer) -> Option<&str> {
    answer.header("x-diogenes-prompt-version")
}

/// A prompt with two versions, the first of which is in use.
async fn two_versions(admin: &Client) {
    for text in ["You teach {{ subject }}.", "You explain {{ subject }}."] {
        let pushed = admin.post("/api/v1/prompts/tutor/versions", &tutor(text)).await;
        assert_eq!(pushed.status, 201, "{}", pushed.text());
    }
    let moved = admin.put(LABEL, &json!({"version": "v1"})).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
}

/// Does what can be done with prompts, among them requests and a batch that name one.
pub(crate) async fn everything(admin: &Client, client: &Client) {
    two_versions(admin).await;
    let prompt = admin.get("/api/v1/prompts/tutor").await.json();
    let by_id = format!("/api/v1/prompts/{}", prompt["id"].as_str().expect("an id"));
    for path in [
        "/api/v1/prompts",
        &by_id,
        "/api/v1/prompts/tutor/versions",
        "/api/v1/prompts/tutor/versions/latest",
        "/api/v1/prompts/tutor/compare?from=v1&to=v2",
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let answer = ask(client).await;
    assert_eq!((answer.status.as_u16(), version(&answer)), (200, Some("tutor:v1")));
    let mut body = question();
    body["model"] = "demo".into();
    let line =
        json!({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body});
    let batch = create(client, &upload(client, &line.to_string()).await).await;
    let done = until(client, &batch, "completed").await;
    let output = content(client, &done["output_file_id"]).await;
    assert_eq!(output[0]["response"]["body"]["usage"]["completion_tokens"], 3, "{output:?}");

    assert_eq!(admin.delete(LABEL).await.status, 200);
    let archived = admin.request(Method::PATCH, "/api/v1/prompts/tutor");
    let archived = admin.send(archived.json(&json!({"status": "archived"}))).await;
    assert_eq!(archived.status, 200, "{}", archived.text());
    assert_eq!(admin.delete("/api/v1/prompts/tutor").await.status, 200);
}

#[tokio::test]
async fn a_prompt_costs_no_read_within_five_seconds_and_its_label_is_followed_after() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    two_versions(&admin).await;
    let client = stack.client(&[Scope::Inference]).await;
    let refused = client.get("/api/v1/prompts").await;
    assert_eq!(refused.refusal(), (403, "insufficient_scope".into()));
    let first = ask(&client).await;
    assert_eq!((first.status.as_u16(), version(&first)), (200, Some("tutor:v1")));
    assert_eq!(first.json()["usage"]["completion_tokens"], 3, "the prompt's `max_tokens`");
    until_ready(&stack, &admin).await;

    let moved = admin.put(LABEL, &json!({"version": "v2", "from": 1})).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    let reads = || stack.front.calls().by(ROUTER).on_key("PROMPT").count();
    let (before, mut asked) = (reads(), 0);
    eventually("the label is followed", async || {
        let answer = ask(&client).await;
        asked += 1;
        if version(&answer) == Some("tutor:v2") { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    // A look at the prompt finds the label elsewhere, and another one reads the version there.
    assert!(reads() - before <= 2, "{} reads for {asked} requests", reads() - before);
}

#[tokio::test]
async fn the_last_known_version_is_served_while_prompts_cannot_be_read() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    two_versions(&admin).await;
    let client = stack.client(&[Scope::Inference]).await;
    assert_eq!(ask(&client).await.status, 200);
    let away = stack.front.rule().by(ROUTER).on_key("PROMPT").fail(Fault::denied());
    let stale = eventually("what is known is no longer fresh", async || {
        let answer = ask(&client).await;
        let is_stale = answer.header("x-diogenes-prompt-stale-seconds").is_some();
        if is_stale { Ok(answer) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!((stale.status.as_u16(), version(&stale)), (200, Some("tutor:v1")));
    away.remove();
    // A process that has never known it cannot serve it.
    stack.host.kill(ROUTER);
    stack.front.rule().by(ROUTER).on_key("PROMPT").fail(Fault::denied());
    let answer = ask(&client).await;
    assert_eq!(answer.refusal(), (503, "store_unavailable".into()));
}

#[tokio::test]
async fn prompts_cost_what_they_did() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    let none = Value::Null;
    let (first, second) = (tutor("You teach {{ subject }}."), tutor("You explain {{ subject }}."));
    let (label, values) = (json!({"version": "v1"}), json!({"variables": {"subject": "maths"}}));
    let archived = json!({"status": "archived"});
    let mut found = Vec::new();
    for (method, path, body) in [
        ("POST", "/api/v1/prompts/tutor/versions", &first),
        ("POST", "/api/v1/prompts/tutor/versions", &second),
        ("PUT", LABEL, &label),
        ("GET", "/api/v1/prompts", &none),
        ("GET", "/api/v1/prompts/tutor", &none),
        ("GET", "/api/v1/prompts/tutor/versions", &none),
        ("GET", "/api/v1/prompts/tutor/versions/production", &none),
        ("POST", "/api/v1/prompts/tutor/versions/v1/render", &values),
        ("GET", "/api/v1/prompts/tutor/compare?from=v1&to=v2", &none),
        ("DELETE", LABEL, &none),
        ("PATCH", "/api/v1/prompts/tutor", &archived),
        ("DELETE", "/api/v1/prompts/tutor", &none),
    ] {
        let mark = Mark::new(&stack);
        let mut request = admin.request(method.parse().expect("a method"), path);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = admin.send(request).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        found.push(format!("{method} {path}: {}", mark.words(PROMPTS).join(", ")));
        stack.host.wait_idle().await;
    }
    insta::assert_snapshot!(found.join("\n"));
}
