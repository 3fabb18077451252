use diogenes_e2e::{Config, Model, Serve};
use serde_json::{Value, json};

use crate::Sheet;

async fn serve() -> Serve {
    Serve::start(Config::with([Model::mock("demo", &[])])).await
}

#[tokio::test]
async fn keys_that_are_not_issued() {
    let serve = serve().await;
    let client = serve.client();
    let mut sheet = Sheet::default();
    let with = |field: &str, value: Value| {
        let mut body = json!({"email": "ada@example.com"});
        body[field] = value;
        body
    };
    for (what, body) in [
        ("nothing", json!({})),
        ("a list", json!([])),
        ("an unknown field", with("scope", json!("admin"))),
        ("no address", with("email", json!("ada"))),
        ("a number for an address", with("email", json!(7))),
        ("a long name", with("name", json!("x".repeat(101)))),
        ("no scopes", with("scopes", json!([]))),
        ("an unknown scope", with("scopes", json!(["root"]))),
        ("no models", with("models", json!([]))),
        ("no model's name", with("models", json!(["a b"]))),
        ("a model with a typo", with("models", json!(["dmeo"]))),
        ("in the past", with("expires_at", json!("2020-01-01T00:00:00Z"))),
        ("no time", with("expires_at", json!("tomorrow"))),
        ("no duration", with("expires_in", json!("soon"))),
        ("a negative duration", with("expires_in", json!(-1))),
        ("a zero", with("limits", json!({"requests_per_minute": 0}))),
        ("a negative limit", with("limits", json!({"concurrency": -1}))),
        ("an unknown limit", with("limits", json!({"rpm": 5}))),
    ] {
        sheet.add(what, &client.post("/api/v1/keys", &body).await);
    }
    let both = json!({"email": "ada@example.com", "expires_in": "1h", "expires_at": "2999-01-01T00:00:00Z"});
    sheet.add("two expiries", &client.post("/api/v1/keys", &both).await);
    sheet.add("broken JSON", &client.post_bytes("/api/v1/keys", "{\"email\": ").await);
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn keys_that_are_not_there_and_pages_that_are_none() {
    let serve = serve().await;
    let client = serve.client();
    let mut sheet = Sheet::default();
    sheet.add("shown", &client.get("/api/v1/keys/0000000000000000").await);
    sheet.add("revoked", &client.delete("/api/v1/keys/0000000000000000").await);
    sheet.add("rotated", &client.post("/api/v1/keys/0/rotate", &json!({})).await);
    let (id, _) = client.create_key(&json!({"email": "ada@example.com"})).await;
    sheet.replace(&id, "[id]");
    let rotate = format!("/api/v1/keys/{id}/rotate");
    sheet.add("a grace that is none", &client.post(&rotate, &json!({"grace": "soon"})).await);
    sheet.add("an unknown field", &client.post(&rotate, &json!({"graze": "1h"})).await);
    client.delete(&format!("/api/v1/keys/{id}")).await;
    sheet.add("rotated when revoked", &client.post(&rotate, &json!({})).await);
    let (id, _) = client.create_key(&json!({"email": "ada@example.com"})).await;
    sheet.replace(&id, "[id]");
    let rotate = format!("/api/v1/keys/{id}/rotate");
    client.post(&rotate, &json!({})).await;
    sheet.add("rotated twice", &client.post(&rotate, &json!({})).await);
    for query in ["cursor=x", "limit=0", "limit=501", "limit=many", "page=2"] {
        sheet.add(query, &client.get(&format!("/api/v1/keys?{query}")).await);
    }
    let page = client.get("/api/v1/keys?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let other = format!("/api/v1/keys?email=ada@example.com&cursor={cursor}");
    sheet.add("the cursor of another listing", &client.get(&other).await);
    insta::assert_snapshot!(sheet.text());
}
