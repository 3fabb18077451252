//! A data directory of version 0.1.0 under today's `serve`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails at once"
)]

use diogenes_e2e::{Client, Config, Folder, Model, Serve, eventually};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A folder with the data directory, as `serve` of 0.1.0 left it when it was killed.
fn data_of_0_1_0() -> (std::sync::Arc<Folder>, Value) {
    let folder = std::sync::Arc::new(Folder::new());
    let data = folder.data_dir();
    std::fs::create_dir(&data).unwrap();
    let sql = include_str!("../../fixtures/0.1.0/state.sql");
    Connection::open(data.join("state.db")).unwrap().execute_batch(sql).unwrap();
    let keys: Value = serde_json::from_str(include_str!("../../fixtures/0.1.0/keys.json")).unwrap();
    std::fs::write(data.join("admin.key"), keys["admin"].as_str().unwrap()).unwrap();
    (folder, keys)
}

#[tokio::test]
async fn keys_models_and_pins_of_0_1_0_work() {
    let (folder, keys) = data_of_0_1_0();
    let demo = Model::mock("demo", &["--tokens", "3"]).line(r#"aliases = ["small"]"#);
    let serve = Serve::start_in(folder, Config::with([demo])).await;
    let client = |key: &str| Client::new(serve.base_url(), keys[key].as_str().unwrap());
    let admin = client("admin");

    let cluster = admin.get("/api/v1/cluster").await.json();
    let models = cluster["data"].as_array().unwrap();
    let pinned: Vec<_> =
        models.iter().map(|model| (model["model"].as_str().unwrap(), &model["pinned"])).collect();
    assert_eq!(pinned, [("demo", &json!(false)), ("org/other", &json!(true))], "{cluster}");

    assert_eq!(client("plain").chat("small").await.status, 200);
    let limited = client("limited").chat("small").await;
    assert_eq!(limited.status, 200);
    assert_eq!(limited.header("x-ratelimit-limit-tokens"), Some("100000"));
    for (key, code) in [("revoked", "revoked_api_key"), ("expired", "expired_api_key")] {
        assert_eq!(client(key).chat("small").await.refusal(), (401, code.into()));
    }
    assert_eq!(client("ops").get("/api/v1/keys").await.json()["data"].as_array().unwrap().len(), 6);

    // The model of the API keeps its alias, and gives it up with its record.
    let mut other = json!({"command": ["mock-vllm", "--port", "{port}"], "aliases": ["large"]});
    let path = "/api/v1/models/org/other";
    assert_eq!(admin.put("/api/v1/models/new", &other).await.code(), "conflict");
    other["aliases"] = json!(["small"]);
    assert_eq!(admin.put(path, &other).await.code(), "conflict");
    assert_eq!(admin.delete(path).await.status, 200);
    other["aliases"] = json!(["large"]);
    assert_eq!(admin.put("/api/v1/models/new", &other).await.status, 201);
    eventually("the old model to be gone", async || {
        let listed = admin.get("/api/v1/models").await.json();
        let names: Vec<_> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["name"].as_str().unwrap().to_owned())
            .collect();
        if names == ["demo", "new"] { Ok(()) } else { Err(names) }
    })
    .await;
}
