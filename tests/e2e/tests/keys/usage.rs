//! Who has used how much, as the requests themselves tell it.

use diogenes_e2e::{Client, Config, Event, Model, Serve, chat, eventually};
use serde_json::{Value, json};

const PRICE: &str = "[rate_cards.demo]\nversion = \"2026-11\"\nprice = { input = \"1\", output = \"2\" }\n[routes.assistant]\ntargets = [\"demo\"]\n";

fn config() -> Config {
    Config::with([Model::mock("demo", &["--tokens", "3"])]).tables(PRICE)
}

/// A report, once it has so many requests.
async fn report(client: &Client, query: &str, requests: u64) -> Value {
    let path = format!("/api/v1/usage?{query}");
    eventually("the usage is written", async || {
        let report = client.get(&path).await.json();
        let found = report.pointer("/total/requests").and_then(Value::as_u64);
        if found == Some(requests) { Ok(report) } else { Err(report) }
    })
    .await
}

/// Names and numbers of requests.
fn rows(report: &Value) -> Vec<(Value, u64)> {
    let rows = report.get("data").and_then(Value::as_array).into_iter().flatten();
    let row = |row: &Value| Some((row.get("name")?.clone(), row.get("requests")?.as_u64()?));
    rows.filter_map(row).collect()
}

#[tokio::test]
async fn usage_is_the_sum_of_what_the_answers_told() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    let today = || serve.cli(&["usage"]);
    let told = String::from_utf8(today().stderr).unwrap();
    assert!(told.contains("no usage from"), "{told}");

    admin.post("/api/v1/projects", &json!({"id": "search"})).await;
    let (ada, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    let key_of_ada = serve.client_with(&key);
    let body = json!({"email": "bob@example.com", "project": "search"});
    let (_, key) = admin.create_key(&body).await;
    let key_of_bob = serve.client_with(&key);

    let plain = key_of_ada.chat("demo").await;
    let used = plain.json()["usage"].clone();
    let (prompt, completion) =
        (used["prompt_tokens"].as_u64().unwrap(), used["completion_tokens"].as_u64().unwrap());
    assert_eq!(key_of_ada.chat("assistant").await.status, 200);
    let events = key_of_ada.chat_stream("demo").await.all().await;
    assert!(events.contains(&Event::Done), "{events:?}");
    assert_eq!(key_of_bob.chat("demo").await.status, 200);
    let mut wrong = chat("demo", false);
    wrong["max_tokens"] = json!(-1);
    assert_eq!(key_of_bob.post("/v1/chat/completions", &wrong).await.status, 400);

    let own = report(&admin, "", 3).await;
    let nano = 3 * (prompt * 1_000 + completion * 2_000);
    let counts = json!({
        "requests": 3, "errors": 0, "estimated": 0, "prompt_tokens": 3 * prompt,
        "cached_tokens": 0, "completion_tokens": 3 * completion,
        "cost_usd": format!("0.{nano:09}"),
    });
    assert_eq!(own["total"], counts);
    assert_eq!((&own["data"][0]["name"], own["by"].as_str()), (&json!("demo"), Some("model")));
    assert_eq!(own["data"][0]["price_version"], "rate card 2026-11");
    let keys = report(&admin, "by=key", 3).await;
    assert_eq!(rows(&keys), [(json!(ada), 3)]);
    assert_eq!(keys["data"][0]["subject"], "ada@example.com");
    assert_eq!(
        rows(&report(&admin, "by=route", 3).await),
        [(json!(null), 2), (json!("assistant"), 1)]
    );
    let all = report(&admin, "by=project&all_projects=true", 5).await;
    assert_eq!(rows(&all), [(json!("default"), 3), (json!("search"), 2)]);
    assert_eq!(all["total"]["errors"], 1);
    assert_eq!(rows(&report(&admin, "project=search&by=day", 2).await)[0].1, 2);

    // The same by the command.
    let table = String::from_utf8(serve.cli(&["usage", "--by", "project"]).stdout).unwrap();
    assert!(table.lines().any(|line| line.starts_with("total    5         1 ")), "{table}");
    let output = serve.cli(&["usage", "--project", "search", "--from", "7d", "-o", "json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["total"]["requests"], 2);
    assert_eq!(key_of_bob.get("/api/v1/usage").await.refusal().0, 403);
}

#[tokio::test]
async fn usage_of_the_last_seconds_survives_a_restart() {
    let serve = Serve::start(config()).await;
    let (_, key) = serve.client().create_key(&json!({"email": "ada@example.com"})).await;
    for _ in 0..3 {
        assert_eq!(serve.client_with(&key).chat("demo").await.status, 200);
    }
    let serve = serve.restart_with(config()).await;
    let found = serve.client().get("/api/v1/usage").await.json();
    assert_eq!(found["total"]["requests"], 3, "{found}");
}

#[tokio::test]
async fn what_cannot_be_reported_is_refused_with_its_field() {
    let serve = Serve::start(config()).await;
    let admin = serve.client();
    for (query, param) in [
        ("by=person", "by"),
        ("from=yesterday", "from"),
        ("to=2026-11-27T00:00:00Z", "to"),
        ("from=2026-11-02&to=2026-11-01", "to"),
        ("from=2025-01-01&to=2026-11-01", "from"),
        ("project=Search", "project"),
        ("project=search&all_projects=true", "all_projects"),
        ("since=7d", "since"),
    ] {
        let answer = admin.get(&format!("/api/v1/usage?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["param"]),
            (400, &json!(param))
        );
    }
    let refusal = admin.get("/api/v1/usage?project=absent").await.refusal();
    assert_eq!(refusal, (404, "project_not_found".into()));
}

#[tokio::test]
async fn prices_are_told_as_requests_are_counted_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    let list = json!({"source": "contract", "date": "2026-11-01", "providers": {"openai": {"models": [
        {"match": ["gpt-x"], "price": {"input": "2", "output": "9"}}]}}});
    std::fs::write(&file, list.to_string()).unwrap();
    let serve = Serve::start(config().line(&format!("prices = {file:?}"))).await;
    let prices = serve.client().get("/api/v1/prices").await.json();
    let origins = [0, 1].map(|place| prices["lists"][place]["origin"].clone());
    assert_eq!(origins, ["file", "embedded"]);
    assert_eq!(prices["lists"][0]["list"]["source"], "contract");
    let card = &prices["rate_cards"][0];
    assert_eq!((&card["model"], &card["source"]), (&json!("demo"), &json!("config")));
    assert_eq!(card["price"], json!({"input": "1.00", "output": "2.00"}));
    let listed = |arguments: &[&str]| {
        let output = serve.cli(&[&["prices", "list"], arguments].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(listed(&["demo"]).contains("rate card 2026-11"), "{}", listed(&["demo"]));
    let found = listed(&["gpt-x", "--provider", "openai"]);
    assert!(found.contains("$9.00") && found.contains("contract, 2026-11-01"), "{found}");
    assert!(listed(&["--provider", "anthropic"]).lines().count() > 5);
}

#[tokio::test]
async fn a_rate_card_is_set_changed_and_deleted_without_a_restart() {
    let model = Model::mock("demo", &["--tokens", "4"]);
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let cost = async || {
        let answer = client.chat("demo").await;
        assert_eq!(answer.status, 200);
        answer.headers.get("x-diogenes-cost-usd").map(|cost| cost.to_str().unwrap().to_owned())
    };
    assert_eq!(cost().await, None);
    let set = |version: &str, output: &str| {
        let prices = ["--input-price", "0", "--output-price", output];
        serve.cli(&[&["prices", "set", "demo", "--version", version], &prices[..]].concat())
    };
    let done = set("1", "1000000");
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.contains("(version 1)"), "{said}");
    assert_eq!(cost().await.as_deref(), Some("4.000000000"));
    // A version has one price.
    let refused = set("1", "2000000");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("another price"), "{said}");
    assert!(set("2", "2000000").status.success());
    assert_eq!(cost().await.as_deref(), Some("8.000000000"));
    assert!(serve.cli(&["prices", "unset", "demo", "--yes"]).status.success());
    assert_eq!(cost().await, None);
    let card = json!({"version": "1", "price": {"input": "1", "output": "1"}});
    let absent = client.put("/api/v1/rate-cards/absent", &card).await;
    assert_eq!(absent.refusal(), (404, "model_not_found".into()));
    // Nor may what stood under it before have another one, though none stands now.
    let again = client.put("/api/v1/rate-cards/demo", &card).await;
    assert_eq!(again.refusal(), (409, "conflict".into()));
    let audit = client.get("/api/v1/audit?action=rate_card.").await.json();
    assert_eq!(audit["data"].as_array().unwrap().len(), 3, "{audit}");
}

#[tokio::test]
async fn what_the_fleet_cost_is_told_beside_what_was_charged() {
    let serve = Serve::start(config()).await;
    let client = serve.client();
    assert_eq!(client.chat("demo").await.status, 200);
    assert_eq!(
        client
            .post("/api/v1/cluster/scale", &json!({"model": "demo", "action": "down"}))
            .await
            .status,
        202
    );
    let found = eventually("the instance is counted", async || {
        let found = client.get("/api/v1/cost").await.json();
        let has_charge = found["total"]["charged_usd"] != "0.000000000";
        if found["data"][0]["name"] == "demo" && has_charge { Ok(found) } else { Err(found) }
    })
    .await;
    let row = &found["data"][0];
    let seconds = |part: &str| row["instance_seconds"][part].as_f64().unwrap();
    assert!(seconds("boot") > 0.0 && seconds("total") < 60.0, "{found}");
    assert_eq!(row["instance_seconds"]["total"], row["unpriced_seconds"]);
    assert_eq!(row["cost_usd"]["total"], "0.000000000");
    for by in ["day", "instance_type"] {
        let found = client.get(&format!("/api/v1/cost?by={by}")).await.json();
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found["total"]["instance_seconds"], row["instance_seconds"], "{found}");
    }
    let shown = serve.cli(&["cost"]);
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(
        table.starts_with("MODEL") && table.contains("demo") && table.contains("CHARGED"),
        "{table}"
    );
    assert_eq!(client.get("/api/v1/cost?by=person").await.json()["error"]["param"], "by");
    let (_, key) = client.create_key(&json!({"email": "ada@example.com"})).await;
    assert_eq!(serve.client_with(&key).get("/api/v1/cost").await.refusal().0, 403);
}
