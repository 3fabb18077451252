//! From issue to revocation.

use diogenes_e2e::{Client, Config, Model, RawConnection, Serve, chat, eventually};
use serde_json::{Value, json};

fn config() -> Config {
    Config::with([Model::mock("demo", &["--tokens", "3"])])
}

/// Waits until the key is refused with this code.
async fn until_refused(client: &Client, code: &str) {
    eventually(&format!("the refusal `{code}`"), async || {
        let answer = client.get("/v1/models").await;
        if answer.status == 401 && answer.code() == code { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn a_key_is_shown_once_and_never_again() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    let body = json!({"email": "ada@example.com", "name": "laptop", "models": ["demo"]});
    let created = admin.post("/api/v1/keys", &body).await;
    assert_eq!(created.status, 201);
    let created = created.json();
    let key = created["key"].as_str().unwrap();
    assert!(key.starts_with("dg_") && key.len() == 52, "{key}");
    let shown = admin.get(&format!("/api/v1/keys/{}", created["id"].as_str().unwrap())).await;
    let mut without = created.clone();
    without.as_object_mut().unwrap().remove("key");
    assert_eq!(shown.json(), without);
    assert_eq!(without["status"], "active");
    assert_eq!((&without["scopes"], &without["models"]), (&json!(["inference"]), &json!(["demo"])));
    let list = admin.get("/api/v1/keys").await.text();
    assert!(
        list.contains("ada@example.com") && !list.contains(key) && !list.contains("hash"),
        "{list}"
    );
    assert_eq!(serve.client_with(key).chat("demo").await.status, 200);
}

#[tokio::test]
async fn keys_are_listed_page_by_page_each_once() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    let mut created = Vec::new();
    for number in 0..7 {
        let email = if number % 2 == 0 { "ada@example.com" } else { "bob@example.com" };
        created
            .push(admin.create_key(&json!({"email": email, "name": number.to_string()})).await.0);
    }
    let pages = async |query: &str| {
        let (mut ids, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("/api/v1/keys?limit=3{query}{cursor}")).await.json();
            let rows = page["data"].as_array().unwrap().clone();
            sizes.push(rows.len());
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            match &page["next_cursor"] {
                Value::String(next) => cursor = format!("&cursor={next}"),
                _ => return (ids, sizes),
            }
        }
    };
    let (all, sizes) = pages("").await;
    assert_eq!(
        (all.len(), sizes.iter().max()),
        (8, Some(&3)),
        "seven and the operator's: {sizes:?}"
    );
    assert!(created.iter().all(|id| all.contains(id)));
    let (of_ada, _) = pages("&email=ada@example.com").await;
    let expected: Vec<_> = created.iter().step_by(2).cloned().collect();
    assert_eq!(of_ada, expected, "oldest first");
    assert_eq!(pages("&email=nobody@example.com").await.0, Vec::<String>::new());
}

#[tokio::test]
async fn a_revoked_key_stops_at_once_and_stays_on_record() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    let client = serve.client_with(&key);
    assert_eq!(client.chat("demo").await.status, 200);
    for _ in 0..2 {
        let revoked = admin.delete(&format!("/api/v1/keys/{id}")).await;
        assert_eq!((revoked.status.as_u16(), &revoked.json()["status"]), (200, &"revoked".into()));
        assert_eq!(client.chat("demo").await.refusal(), (401, "revoked_api_key".into()));
    }
    assert_eq!(admin.get(&format!("/api/v1/keys/{id}")).await.json()["status"], "revoked");
}

#[tokio::test]
async fn a_revoked_key_stops_between_two_requests_of_one_connection() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    let mut connection = RawConnection::open(serve.base_url()).await;
    let headers = [format!("authorization: Bearer {key}"), "content-type: application/json".into()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let body = chat("demo", false).to_string();
    for status in [200, 200, 401] {
        if status == 401 {
            admin.delete(&format!("/api/v1/keys/{id}")).await;
        }
        connection.send("POST /v1/chat/completions", &headers, &body).await;
        assert_eq!(connection.answer().await.status, status);
    }
}

#[tokio::test]
async fn a_key_that_was_rotated_without_grace_stops_at_once() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    let body = json!({"email": "ada@example.com", "name": "ci", "models": ["demo"],
        "limits": {"requests_per_minute": 100}});
    let (id, key) = admin.create_key(&body).await;
    assert_eq!(serve.client_with(&key).get("/v1/models").await.status, 200);
    let rotated = admin.post(&format!("/api/v1/keys/{id}/rotate"), &json!({})).await;
    assert_eq!(rotated.status, 201);
    let rotated = rotated.json();
    let old = serve.client_with(&key).get("/v1/models").await;
    assert_eq!(old.refusal(), (401, "expired_api_key".into()));
    let fresh = serve.client_with(rotated["key"].as_str().unwrap());
    assert_eq!(fresh.chat("demo").await.status, 200);
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(rotated[field], *value, "{field}");
    }
    let record = admin.get(&format!("/api/v1/keys/{id}")).await.json();
    assert_eq!((&record["status"], &record["rotated_to"]), (&"expired".into(), &rotated["id"]));
    // What counts no more cannot be rotated again.
    let again = admin.post(&format!("/api/v1/keys/{id}/rotate"), &json!({})).await;
    assert_eq!(again.refusal(), (409, "conflict".into()));
}

#[tokio::test]
async fn a_key_that_was_rotated_with_grace_works_until_that_is_over() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    let body = json!({"grace": "2s"});
    let rotated = admin.post(&format!("/api/v1/keys/{id}/rotate"), &body).await.json();
    for key in [key.as_str(), rotated["key"].as_str().unwrap()] {
        assert_eq!(serve.client_with(key).get("/v1/models").await.status, 200);
    }
    until_refused(&serve.client_with(&key), "expired_api_key").await;
}

#[tokio::test]
async fn a_key_expires_also_while_it_is_in_use() {
    let serve = Serve::start(config()).await;
    let body = json!({"email": "ada@example.com", "expires_in": "2s"});
    let (id, key) = serve.client().create_key(&body).await;
    let client = serve.client_with(&key);
    assert_eq!(client.get("/v1/models").await.status, 200);
    until_refused(&client, "expired_api_key").await;
    let record = serve.client().get(&format!("/api/v1/keys/{id}")).await.json();
    assert_eq!(record["status"], "expired");
}
