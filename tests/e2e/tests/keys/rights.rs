//! What a key may do.

use diogenes_e2e::{Config, Model, RawConnection, Serve, chat};
use serde_json::{Value, json};

async fn serve() -> Serve {
    let demo = Model::mock("demo", &["--tokens", "3"]).line("aliases = [\"short\"]");
    Serve::start(Config::with([demo, Model::mock("org/other", &["--tokens", "3"])])).await
}

#[tokio::test]
async fn a_key_for_inference_controls_nothing() {
    let serve = serve().await;
    let (id, key) = serve.client().create_key(&json!({"email": "ada@example.com"})).await;
    let client = serve.client_with(&key);
    for path in ["/api/v1/keys", "/api/v1/models", "/api/v1/cluster", "/api/v1/models/demo"] {
        assert_eq!(client.get(path).await.refusal(), (403, "insufficient_scope".into()), "{path}");
    }
    let refused = client.delete(&format!("/api/v1/keys/{id}")).await;
    assert_eq!(refused.refusal(), (403, "insufficient_scope".into()));
    assert_eq!(client.scale("demo", "up").await.status, 403);
    assert_eq!(client.chat("demo").await.status, 200);
}

#[tokio::test]
async fn a_key_for_control_asks_no_model() {
    let serve = serve().await;
    let body = json!({"email": "ops@example.com", "scopes": ["admin"]});
    let (_, key) = serve.client().create_key(&body).await;
    let client = serve.client_with(&key);
    assert_eq!(client.get("/api/v1/cluster").await.status, 200);
    for answer in [client.chat("demo").await, client.get("/v1/models").await] {
        assert_eq!(answer.refusal(), (403, "insufficient_scope".into()));
    }
    assert_eq!(serve.client().state("demo").await["standing"], "asleep", "it was not woken");
}

#[tokio::test]
async fn a_key_uses_the_models_of_its_list_only_by_whatever_name() {
    let serve = serve().await;
    let body = json!({"email": "ada@example.com", "models": ["demo"]});
    let (_, key) = serve.client().create_key(&body).await;
    let client = serve.client_with(&key);
    for name in ["demo", "short"] {
        assert_eq!(client.chat(name).await.status, 200, "{name}");
    }
    assert_eq!(client.chat("org/other").await.refusal(), (403, "model_not_allowed".into()));
    let list = client.get("/v1/models").await.json();
    let names: Vec<&Value> =
        list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["demo", "short"]);
    assert_eq!(client.get("/v1/models/org/other").await.refusal(), (404, "model_not_found".into()));
    assert_eq!(serve.client().state("org/other").await["standing"], "asleep", "it was not woken");
}

#[tokio::test]
async fn a_near_miss_in_a_list_names_no_model_that_the_issuer_may_not_use() {
    let serve = serve().await;
    let body = json!({"email": "ops@example.com", "scopes": ["keys"], "models": ["demo"]});
    let (_, key) = serve.client().create_key(&body).await;
    let client = serve.client_with(&key);
    for (typo, suggested) in [("dmeo", Some("demo")), ("org/othr", None)] {
        let body = json!({"email": "ada@example.com", "models": [typo]});
        let answer = client.post("/api/v1/keys", &body).await;
        assert_eq!(answer.refusal(), (404, "model_not_found".into()));
        let text = answer.text();
        assert!(!text.contains("org/other"), "{text}");
        assert!(suggested.is_none_or(|name| text.contains(&format!("`{name}`"))), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_key_is_told_apart_by_its_code() {
    let serve = serve().await;
    let mut typo = serve.admin_key();
    let last = typo.pop();
    typo.push(if last == Some('0') { '1' } else { '0' });
    let never_issued = "dg_0000000000000000000000000000000000000000000";
    for (token, code) in [
        (typo.as_str(), "invalid_api_key"),
        ("sk-1234", "invalid_api_key"),
        (never_issued, "invalid_api_key"),
    ] {
        let client = serve.client_with(token);
        assert_eq!(client.chat("demo").await.refusal(), (401, code.into()), "{token}");
        assert_eq!(client.get("/api/v1/keys").await.refusal(), (401, code.into()), "{token}");
    }
}

#[tokio::test]
async fn a_request_without_a_bearer_token_is_told_how_to_send_one() {
    let serve = serve().await;
    let mut connection = RawConnection::open(serve.base_url()).await;
    for header in [
        "x-none: 1",
        "authorization: Basic YTpi",
        "authorization: Bearer",
        "authorization: Bearer  ",
    ] {
        connection
            .send("POST /v1/chat/completions", &[header], &chat("demo", false).to_string())
            .await;
        let answer = connection.answer().await;
        assert_eq!(answer.refusal(), (401, "missing_api_key".into()), "{header}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    // The scheme's case does not matter.
    let header = format!("authorization: bEARER {}", serve.admin_key());
    connection.send("GET /v1/models", &[&header], "").await;
    assert_eq!(connection.answer().await.status, 200);
}
