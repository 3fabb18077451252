//! Projects, and the audit log, by the commands of an operator.

use diogenes_e2e::{Config, Model, Serve};
use serde_json::{Value, json};

#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
fn json_of(serve: &Serve, arguments: &[&str]) -> Value {
    let output = serve.cli(&[arguments, &["-o", "json"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(serve: &Serve, arguments: &[&str]) -> (Option<i32>, String) {
    let output = serve.cli(arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn serve() -> Serve {
    Serve::start(Config::with([Model::mock("demo", &["--tokens", "3"])])).await
}

#[tokio::test]
async fn a_project_lives_from_its_creation_to_its_archival() {
    let serve = serve().await;
    let created = json_of(&serve, &["project", "create", "search", "--description", "a team"]);
    assert_eq!((&created["id"], &created["status"]), (&json!("search"), &json!("active")));
    let key =
        json_of(&serve, &["key", "create", "--email", "ada@example.com", "--project", "search"]);
    assert_eq!((&key["project"], &key["scopes"]), (&json!("search"), &json!(["inference"])));
    let ada = serve.client_with(key["key"].as_str().unwrap());
    assert_eq!(ada.chat("demo").await.status, 200);

    let listed = json_of(&serve, &["key", "list", "--project", "search"]);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["data"][0]["id"], key["id"]);
    let listed = json_of(&serve, &["key", "list"]);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "the operator's: {listed}");

    json_of(&serve, &["project", "archive", "search", "--yes"]);
    assert_eq!(ada.chat("demo").await.refusal(), (401, "project_archived".into()));
    let shown = json_of(&serve, &["project", "show", "search"]);
    assert_eq!(shown["status"], "archived");
    let listed = json_of(&serve, &["project", "list"]);
    let ids: Vec<&Value> =
        listed["data"].as_array().unwrap().iter().map(|project| &project["id"]).collect();
    assert_eq!(ids, ["default", "search"]);

    for (arguments, code, text) in [
        (&["project", "create", "Search"][..], 2, "is not a project id"),
        (&["project", "create", "search"], 1, "already exists"),
        (&["project", "show", "absent"], 6, "project `absent` does not exist"),
        (&["project", "archive", "default", "--yes"], 1, "cannot be archived"),
        (
            &["key", "create", "--email", "a@b.c", "--project", "absent"],
            6,
            "`absent` does not exist",
        ),
        (&["key", "list", "--project", "absent"], 6, "`absent` does not exist"),
        (&["key", "create", "--email", "a@b.c", "--project", "search"], 1, "is archived"),
        (&["key", "create", "--email", "a@b.c", "--scope", "root"], 2, "`root` is not a scope"),
    ] {
        let (status, error) = refusal(&serve, arguments);
        assert!(status == Some(code) && error.contains(text), "{arguments:?}: {status:?} {error}");
    }
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_what_from_where() {
    let serve = serve().await;
    let admin = serve.client();
    let key = json_of(&serve, &["key", "create", "--email", "ada@example.com"]);
    let target = format!("key/{}", key["id"].as_str().unwrap());
    assert_eq!(admin.scale("demo", "pin").await.status, 202);

    let audit = json_of(&serve, &["audit"]);
    let records: Vec<(&str, &str, &str)> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap_or_default();
            (text("subject"), text("action"), text("target"))
        })
        .collect();
    let admin_key = json_of(&serve, &["key", "list", "--email", "admin@localhost"]);
    let admin_key = format!("key/{}", admin_key["data"][0]["id"].as_str().unwrap());
    assert_eq!(
        records,
        [
            ("admin@localhost", "model.pin", "model/demo"),
            ("admin@localhost", "key.create", &target),
            ("operator", "key.create", &admin_key),
            ("operator", "model.apply", "model/demo"),
        ]
    );
    assert_eq!(audit["data"][0]["address"], "127.0.0.1");
    assert!(audit["data"][1]["user_agent"].as_str().unwrap().contains("diogenes"), "{audit}");
    assert!(!audit.to_string().contains("dg_"), "a key");

    let filtered = json_of(&serve, &["audit", "--action", "key.", "--subject", "operator"]);
    assert_eq!(filtered["data"].as_array().map(Vec::len), Some(1), "{filtered}");
    json_of(&serve, &["project", "create", "search"]);
    let key = ["key", "create", "--email", "bob@example.com", "--project", "search"];
    let key = json_of(&serve, &key);
    assert_eq!(admin.scale("demo", "pin").await.status, 202);
    let all = json_of(&serve, &["audit", "--all-projects", "--limit", "3"]);
    let all: Vec<_> = all["data"].as_array().unwrap().iter().collect();
    let told: Vec<_> = all.iter().map(|record| [&record["project"], &record["action"]]).collect();
    assert_eq!(
        json!(told),
        json!([["default", "model.pin"], ["search", "key.create"], ["search", "project.create"]])
    );
    let bob = serve.client_with(key["key"].as_str().unwrap());
    assert_eq!(bob.get("/api/v1/audit").await.status, 403);
    let (code, error) = refusal(&serve, &["audit", "--action", "key.made"]);
    assert!(code == Some(1) && error.contains("`key.create`"), "{error}");
    let newest = json_of(&serve, &["audit", "--limit", "1"]);
    assert_eq!(newest["data"][0]["action"], "model.pin");
    let table = String::from_utf8(serve.cli(&["audit"]).stdout).unwrap();
    assert!(table.starts_with("TIME ") && table.lines().count() == 6, "{table}");
}
