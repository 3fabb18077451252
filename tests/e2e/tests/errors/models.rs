use diogenes_e2e::{Config, Model, Serve};
use serde_json::{Value, json};

use crate::Sheet;

async fn serve() -> Serve {
    let demo = Model::mock("demo", &[]).line("aliases = [\"short\"]");
    Serve::start(Config::with([demo])).await
}

#[tokio::test]
async fn specs_that_make_no_sense() {
    let serve = serve().await;
    let client = serve.client();
    let fixed = json!({"command": ["x"], "port": 9001});
    assert_eq!(client.put("/api/v1/models/fixed", &fixed).await.status, 201);
    // What stands may be applied again.
    assert_eq!(client.put("/api/v1/models/fixed", &fixed).await.status, 200);
    let mut sheet = Sheet::default();
    let with = |field: &str, value: Value| {
        let mut spec = json!({"command": ["x", "{port}"]});
        spec[field] = value;
        spec
    };
    for (what, spec) in [
        ("nothing", json!({})),
        ("an unknown field", with("idel_timeout", json!("1s"))),
        ("a command that is a string", with("command", json!("vllm serve"))),
        ("an empty command", with("command", json!([]))),
        ("a blank program", with("command", json!([" "]))),
        ("a NUL byte", with("command", json!(["a\0b"]))),
        ("a variable without a name", with("env", json!({"": "x"}))),
        ("a variable that is a number", with("env", json!({"A": 1}))),
        ("two references", with("env", json!({"A": {"env": "B", "file": "/c"}}))),
        ("a reference to nowhere", with("env", json!({"A": {"vault": "b"}}))),
        ("a relative file", with("env", json!({"A": {"file": "token"}}))),
        ("an SSM parameter on one machine", with("env", json!({"A": {"ssm": "/a/b"}}))),
        ("a mask of nothing", with("env", json!({"A": "***"}))),
        ("a health path that is none", with("health_path", json!("health"))),
        ("no replicas", with("max_replicas", json!(0))),
        ("many replicas", with("max_replicas", json!(101))),
        ("more at least than at most", with("min_replicas", json!(2))),
        ("a negative number", with("min_replicas", json!(-1))),
        ("no concurrency", with("target_concurrency", json!(0))),
        ("no duration", with("idle_timeout", json!("soon"))),
        ("no time", with("stall_timeout", json!("0s"))),
        ("too long", with("drain_timeout", json!("100000h"))),
        ("no life", with("max_lifetime", json!(0))),
        ("an unknown choice", with("cold_start", json!("wait"))),
        ("an alias that is not a name", with("aliases", json!(["a b"]))),
        ("an alias that is taken", with("aliases", json!(["demo"]))),
        ("an alias that is an alias", with("aliases", json!(["short"]))),
        ("a rung of nothing", with("ladder", json!([{"market": "spot"}]))),
        ("no price", with("ladder", json!([{"instance_type": "a", "price_per_hour": "$1"}]))),
        ("a ladder on one machine", with("ladder", json!([{"instance_type": "g6.xlarge"}]))),
        ("a command without a port", with("command", json!(["vllm", "serve", "x"]))),
        ("a fixed port of many", json!({"command": ["x"], "port": 9000, "max_replicas": 2})),
        ("no port", with("port", json!(0))),
        ("a port out of range", with("port", json!(99999))),
        ("a NUL byte in the directory", with("working_dir", json!("/a\0b"))),
        ("the port of another model", json!({"command": ["x"], "port": 9001})),
    ] {
        sheet.add(what, &client.put("/api/v1/models/new", &spec).await);
    }
    sheet.add(
        "a name that is an alias",
        &client.put("/api/v1/models/short", &json!({"command": ["x", "{port}"]})).await,
    );
    sheet.add("broken JSON", &client.post_bytes("/api/v1/cluster/scale", "{").await);
    insta::assert_snapshot!(sheet.text());
}

#[tokio::test]
async fn models_that_are_not_there_or_not_to_be_changed() {
    let serve = serve().await;
    let client = serve.client();
    let mut sheet = Sheet::default();
    sheet.add("shown", &client.get("/api/v1/models/dmeo").await);
    sheet.add("deleted", &client.delete("/api/v1/models/org/unknown").await);
    sheet.add("no name", &client.get("/api/v1/models/a%20b").await);
    sheet.add(
        "changed",
        &client.put("/api/v1/models/demo", &json!({"command": ["x", "{port}"]})).await,
    );
    sheet.add("deleted, of the file", &client.delete("/api/v1/models/demo").await);
    for query in ["cursor=x", "limit=0", "limit=many", "page=2"] {
        sheet.add(query, &client.get(&format!("/api/v1/models?{query}")).await);
    }
    insta::assert_snapshot!(sheet.text());
}
