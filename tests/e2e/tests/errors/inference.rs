use diogenes_e2e::{Config, Model, RawConnection, Serve, chat};
use reqwest::Method;
use serde_json::json;

use crate::Sheet;

async fn serve() -> Serve {
    let demo = Model::mock("demo", &["--tokens", "3"]).line("aliases = [\"gpt-4o\"]");
    let config = Config::with([demo, Model::mock("Qwen/Qwen3-8B", &[])]);
    Serve::start(config.line("max_body_bytes = 1000")).await
}

#[tokio::test]
async fn bodies_of_inference() {
    let serve = serve().await;
    let client = serve.client();
    let mut sheet = Sheet::default();
    let path = "/v1/chat/completions";
    for (what, body) in [
        ("no body", ""),
        ("broken JSON", "{\"model\": \"demo\","),
        ("text behind the JSON", "{\"model\": \"demo\"} x"),
        ("a list", "[\"demo\"]"),
        ("a string", "\"demo\""),
        ("no model", "{\"messages\": []}"),
        ("an empty model", "{\"model\": \"\"}"),
        ("a null model", "{\"model\": null}"),
        ("a model that is a number", "{\"model\": 7}"),
        ("a model that stands twice", "{\"model\": \"demo\", \"model\": \"x\"}"),
        ("a stream that is a string", "{\"model\": \"demo\", \"stream\": \"yes\"}"),
        ("a model with a typo", "{\"model\": \"dmeo\"}"),
        ("a model without its organisation", "{\"model\": \"qwen3-8b\"}"),
        ("an unknown model", "{\"model\": \"mistral-large\"}"),
    ] {
        sheet.add(what, &client.post_bytes(path, body).await);
    }
    sheet.add("a long body", &client.post_bytes(path, "x".repeat(1001)).await);
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn paths_and_methods() {
    let serve = serve().await;
    let client = serve.client();
    let mut sheet = Sheet::default();
    for (method, path) in [
        (Method::GET, "/"),
        (Method::POST, "/v1/audio/speech"),
        (Method::GET, "/api/v1/unknown"),
        (Method::GET, "/v1/models/dmeo"),
        (Method::GET, "/v1/chat/completions"),
        (Method::DELETE, "/v1/models"),
        (Method::POST, "/v1/models/demo"),
        (Method::POST, "/healthz"),
        (Method::PUT, "/api/v1/keys"),
        (Method::PATCH, "/api/v1/models/demo"),
        (Method::GET, "/api/v1/cluster/scale"),
    ] {
        let answer = client.send(client.request(method.clone(), path)).await;
        sheet.add(&format!("{method} {path}"), &answer);
    }
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn no_model_at_all() {
    let serve = Serve::start(Config::default()).await;
    let mut sheet = Sheet::default();
    sheet.add("the first request", &serve.client().chat("demo").await);
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn keys_that_do_not_count() {
    let (serve, other) = (serve().await, serve().await);
    let admin = serve.client();
    let mut sheet = Sheet::default();
    let mut connection = RawConnection::open(serve.base_url()).await;
    for (what, header) in [
        ("no header", "x-none: 1"),
        ("another scheme", "authorization: Basic YTpi"),
        ("no token", "authorization: Bearer "),
        ("not a key of ours", "authorization: Bearer sk-1234"),
    ] {
        connection.send("GET /v1/models", &[header], "").await;
        sheet.add(what, &connection.answer().await);
    }
    let mut typo = serve.admin_key();
    let last = typo.pop();
    typo.push(if last == Some('0') { '1' } else { '0' });
    sheet.add("a typo", &serve.client_with(&typo).get("/v1/models").await);
    let foreign = serve.client_with(&other.admin_key());
    sheet.add("of another deployment", &foreign.get("/v1/models").await);
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    sheet.replace(&id, "[id]");
    admin.delete(&format!("/api/v1/keys/{id}")).await;
    sheet.add("revoked", &serve.client_with(&key).get("/v1/models").await);
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    sheet.replace(&id, "[id]");
    admin.post(&format!("/api/v1/keys/{id}/rotate"), &json!({})).await;
    sheet.add("expired", &serve.client_with(&key).get("/v1/models").await);
    let body = json!({"email": "ada@example.com", "models": ["demo"]});
    let (id, key) = admin.create_key(&body).await;
    sheet.replace(&id, "[id]");
    let client = serve.client_with(&key);
    sheet.add("without the scope", &client.get("/api/v1/cluster").await);
    sheet.add("without the model", &client.chat("Qwen/Qwen3-8B").await);
    sheet.add("without the model, shown", &client.get("/v1/models/Qwen/Qwen3-8B").await);
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn limits_that_are_reached() {
    let slow = ["--tokens", "10000", "--tokens-per-second", "20"];
    let (serve, admin) = Serve::ready(Model::mock("demo", &slow)).await;
    let mut sheet = Sheet::default();
    let body = json!({"model": "demo", "messages": [], "max_tokens": 2});
    for (what, limits) in [
        ("requests", json!({"requests_per_minute": 1})),
        ("tokens", json!({"tokens_per_minute": 1})),
    ] {
        let body_of_key = json!({"email": "ada@example.com", "limits": limits});
        let (_, key) = admin.create_key(&body_of_key).await;
        let client = serve.client_with(&key);
        let refused = diogenes_e2e::eventually("a refusal", async || {
            let answer = client.post("/v1/chat/completions", &body).await;
            if answer.status == 429 { Ok(answer) } else { Err(answer.status) }
        })
        .await;
        sheet.add(what, &refused);
    }
    let limits = json!({"email": "ada@example.com", "limits": {"concurrency": 1}});
    let (_, key) = admin.create_key(&limits).await;
    let client = serve.client_with(&key);
    let stream = client.stream("/v1/chat/completions", &chat("demo", true)).await;
    assert_eq!(stream.status, 200);
    sheet.add("requests at once", &client.chat("demo").await);
    insta::assert_snapshot!(sheet.text());
}
