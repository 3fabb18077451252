//! Providers of `serve`: requests that leave for a service that hosts models. Another `serve` is
//! the provider here.

use diogenes_e2e::{Config, Event, Model, Serve, eventually, refused_to_start};
use serde_json::json;
use tempfile::TempDir;

const ROUTE: &str = "[routes.assistant]\ntargets = [\"big\", \"other/small\"]\negress = true\n";

/// The provider, and a server that knows it.
async fn pair(tables: &str) -> (Serve, Serve) {
    pair_of("openai", tables).await
}

/// The same, where the provider is asked in the API of this kind.
async fn pair_of(kind: &str, tables: &str) -> (Serve, Serve) {
    let provider = Serve::start(Config::with([Model::mock("small", &["--tokens", "5"])])).await;
    let key = provider.data_dir().join("admin.key");
    let tables = format!(
        "{tables}[providers.other]\nkind = \"{kind}\"\nbase_url = \"{}/v1\"\napi_key = {{ file = \"{}\" }}\n",
        provider.base_url(),
        key.display()
    );
    let big = Model::mock("big", &["--load-weights-delay", "1s", "--tokens", "5"]);
    let serve = Serve::start(Config::with([big]).tables(&tables)).await;
    (provider, serve)
}

#[tokio::test]
async fn a_provider_answers_until_the_own_model_is_ready() {
    let (_provider, serve) = pair(ROUTE).await;
    let (_, key) = serve.client().create_key(&json!({"email": "a@b.c", "egress": true})).await;
    let client = serve.client_with(&key);
    let first = client.chat("assistant").await;
    assert_eq!(
        (first.status.as_u16(), first.header("x-diogenes-model")),
        (200, Some("other/small"))
    );
    assert_eq!(first.header("x-diogenes-route"), Some("assistant; position=2; reason=cold"));
    serve.client().until("big", "ready").await;
    assert_eq!(client.chat("assistant").await.header("x-diogenes-model"), Some("big"));
    // And by its own name, streamed.
    let events = client.chat_stream("other/small").await.all().await;
    assert_eq!(events.last(), Some(&Event::Done));
    let metrics = serve.client().get("/metrics").await.text();
    assert!(metrics.contains("model=\"other/small\""), "{metrics}");
}

#[tokio::test]
async fn a_provider_that_speaks_messages_answers_who_speaks_chat() {
    let (_provider, serve) = pair_of("anthropic", ROUTE).await;
    let (_, key) = serve.client().create_key(&json!({"email": "a@b.c", "egress": true})).await;
    let client = serve.client_with(&key);
    let answer = client.chat("other/small").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["usage"]["completion_tokens"], 5);
    let events = client.chat_stream("assistant").await.all().await;
    assert_eq!(events.last(), Some(&Event::Done));
    let body = json!({"model": "other/small", "input": "x"});
    let refusal = client.post("/v1/embeddings", &body).await.refusal();
    assert_eq!(refusal, (400, "invalid_request".into()));
}

#[tokio::test]
async fn a_key_without_egress_stays_with_the_own_models() {
    let (_provider, serve) = pair(ROUTE).await;
    let (_, key) = serve.client().create_key(&json!({"email": "a@b.c"})).await;
    let client = serve.client_with(&key);
    assert_eq!(client.chat("other/small").await.refusal(), (403, "egress_not_allowed".into()));
    let held = client.chat("assistant").await;
    assert_eq!(held.header("x-diogenes-model"), Some("big"));
    // A key can be limited to a provider's model.
    let body = json!({"email": "a@b.c", "models": ["other/small"], "egress": true});
    let (_, key) = serve.client().create_key(&body).await;
    assert_eq!(serve.client_with(&key).chat("other/small").await.status, 200);
    assert_eq!(serve.client_with(&key).chat("other/else").await.refusal().0, 403);
}

#[tokio::test]
async fn a_deleted_models_requests_do_not_leave() {
    let (_provider, serve) = pair("").await;
    let (_, key) = serve.client().create_key(&json!({"email": "a@b.c", "egress": true})).await;
    let client = serve.client_with(&key);
    assert_eq!(client.chat("other/small").await.header("x-diogenes-target"), Some("other"));
    let spec = json!({"command": ["true", "{port}"], "cold_start": "reject"});
    assert!(serve.client().put("/api/v1/models/other/small", &spec).await.status.is_success());
    assert_eq!(client.chat("other/small").await.status, 503);
    assert!(serve.client().delete("/api/v1/models/other/small").await.status.is_success());
    eventually("the deletion", async || match client.chat("other/small").await.status.as_u16() {
        404 => Ok(()),
        status => Err(status),
    })
    .await;
    // Not after a restart either.
    let serve = serve.crash_and_restart().await;
    let refusal = serve.client_with(&key).chat("other/small").await.refusal();
    assert_eq!(refusal, (404, "model_not_found".into()));
}

#[test]
fn a_provider_without_its_key_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("diogenes.toml");
    let table = "[providers.openai]\nkind = \"openai\"\nbase_url = \"https://api.openai.com/v1\"\n";
    let data_dir = folder.path().join("data");
    for (rest, part) in [
        ("api_key = { env = \"NOBODY_SETS_THIS\" }\n", "`NOBODY_SETS_THIS`, which is not set"),
        ("api_key = \"sk-secret\"\n", "name where the secret is kept"),
        ("stall_timeout = \"0s\"\n", "must be longer than 0"),
    ] {
        std::fs::write(&file, format!("{table}{rest}")).unwrap();
        let (code, error) = refused_to_start(&[
            "--config",
            file.to_str().unwrap(),
            "--data-dir",
            data_dir.to_str().unwrap(),
        ]);
        assert_ne!(code, Some(0));
        assert!(error.contains(part) && !error.contains("sk-secret"), "{error}");
    }
}

#[tokio::test]
async fn imported_prices_count_at_once_and_outlive_a_restart() {
    let (_provider, serve) = pair("").await;
    let (_, key) = serve.client().create_key(&json!({"email": "a@b.c", "egress": true})).await;
    let cost = async |serve: &Serve| {
        let answer = serve.client_with(&key).chat("other/small").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-diogenes-cost-usd").map(str::to_owned)
    };
    assert_eq!(cost(&serve).await, None, "nobody knows a price");
    let folder = TempDir::new().unwrap();
    let import = |serve: &Serve, output: &str| {
        let list = json!({"source": "ours", "date": "2026-11-27", "providers": {"other": {
            "models": [{"match": ["small"], "price": {"input": "0", "output": output}}]}}});
        let file = folder.path().join("prices.json");
        std::fs::write(&file, list.to_string()).unwrap();
        let done = serve.cli(&["prices", "import", file.to_str().unwrap()]);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stderr).unwrap()
    };
    let told = import(&serve, "1000");
    assert!(told.contains("counted by these prices from now on"), "{told}");
    assert_eq!(cost(&serve).await.as_deref(), Some("0.005000000"));
    import(&serve, "2000");
    assert_eq!(cost(&serve).await.as_deref(), Some("0.010000000"));
    let again = import(&serve, "2000");
    assert!(again.contains("the imported prices stay as they are"), "{again}");
    let serve = serve.crash_and_restart().await;
    assert_eq!(cost(&serve).await.as_deref(), Some("0.010000000"));
    let cleared = serve.cli(&["prices", "clear", "--yes"]);
    assert!(cleared.status.success(), "{cleared:?}");
    assert_eq!(cost(&serve).await, None);
    let cleared = serve.cli(&["prices", "clear", "--yes"]);
    assert_eq!(cleared.status.code(), Some(6), "{cleared:?}");
}
