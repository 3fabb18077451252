//! An operator's commands against the deployed URL: what they print, and what they did.

use std::process::{Output, Stdio};
use std::time::Duration;

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::stack::{ORCHESTRATOR, Stack, StackSettings};
use diogenes_e2e::{Client, DEADLINE, diogenes, ready};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::slow;

/// Somebody at a shell with the URL and a key of the stack, and nothing else.
pub(crate) struct Operator {
    url: String,
    key: String,
    home: TempDir,
}

impl Operator {
    pub(crate) async fn of(stack: &Stack) -> Self {
        let key = stack.key(&Scope::ALL).await;
        let home = TempDir::with_prefix("diogenes-operator-").unwrap();
        Self { url: stack.gateway.base_url(), key, home }
    }

    /// Where it works.
    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(diogenes());
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("DIOGENES_URL", &self.url)
            .env("DIOGENES_API_KEY", &self.key)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output()).await;
        assert!(output.is_ok(), "{arguments:?} does not end");
        output.unwrap().unwrap()
    }

    /// What a command prints, which succeeds.
    pub(crate) async fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["-o", "json"]].concat()).await;
        let parsed = serde_json::from_str(&text);
        assert!(parsed.is_ok(), "{arguments:?}: no JSON: {text}");
        parsed.unwrap()
    }

    /// The exit code of a command that fails, and what it says.
    pub(crate) async fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), error)
    }
}

/// The one model of the cluster's state that `ps -o json` prints.
fn only(fleet: &Value) -> &Value {
    let models = fleet["data"].as_array().unwrap();
    assert_eq!(models.len(), 1, "{fleet}");
    &models[0]
}

#[tokio::test]
async fn health_routes_and_prices_are_told_as_on_one_machine() {
    let Some(stack) = Stack::start().await else { return };
    let (operator, client) = (Operator::of(&stack).await, stack.admin().await);
    stack.apply(&client, &slow("demo")).await;
    let health = operator.json(&["health"]).await;
    assert_eq!((&health["models"]["total"], &health["models"]["asleep"]), (&json!(1), &json!(1)));
    operator.text(&["route", "apply", "assistant", "demo"]).await;
    operator.text(&["model", "delete", "demo", "--yes"]).await;
    let routes = operator.text(&["route", "list"]).await;
    assert!(routes.contains("demo(missing)"), "{routes}");
    let origin = async || {
        let prices = operator.json(&["prices", "list", "gpt-5-mini", "--provider", "openai"]).await;
        assert_eq!(prices["data"].as_array().unwrap().len(), 1, "{prices}");
        prices["data"][0]["origin"].clone()
    };
    assert_eq!(origin().await, "embedded");
    let list = json!({"source": "ours", "date": "2026-11-27", "providers": {"openai": {
        "hosts": ["api.openai.com"],
        "models": [{"match": ["gpt-5-mini"], "price": {"input": "1", "output": "2"}}]}}});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    std::fs::write(&file, list.to_string()).unwrap();
    let imported = operator.json(&["prices", "import", file.to_str().unwrap()]).await;
    assert_eq!(imported["added"], 1, "{imported}");
    assert_eq!(origin().await, "imported");
    operator.text(&["prices", "clear", "--yes"]).await;
    assert_eq!(origin().await, "embedded");
}

#[tokio::test]
async fn the_commands_about_models_do_what_they_say() {
    let settings = StackSettings::default()
        .variable(ORCHESTRATOR, "DIOGENES_ROUTER_LAG", "1s")
        .schedule(Duration::from_millis(200));
    let Some(stack) = Stack::with(settings).await else { return };
    let (operator, client) = (Operator::of(&stack).await, stack.admin().await);
    let mut spec = slow("demo").spec();
    spec["ladder"] = json!([{"instance_type": "g6.xlarge", "market": "spot"}]);
    spec["idle_timeout"] = json!("10m");
    std::fs::write(operator.home.path().join("demo.json"), spec.to_string()).unwrap();

    let applied = operator.json(&["model", "apply", "demo", "--file", "demo.json"]).await;
    assert_eq!(applied["name"], "demo", "{applied}");
    let changed = operator.json(&["model", "apply", "demo", "--alias", "short"]).await;
    assert_eq!(changed["spec"]["aliases"], json!(["short"]), "{changed}");
    assert_eq!(changed["spec"]["command"], spec["command"], "the rest stays: {changed}");
    let shown = operator.json(&["model", "show", "short"]).await;
    assert_eq!(shown, client.get("/api/v1/models/demo").await.json());
    let listed = operator.text(&["model", "list"]).await;
    assert!(listed.contains("demo") && listed.contains("short"), "{listed}");
    let asleep = operator.text(&["ps"]).await;
    assert!(asleep.contains("demo") && asleep.contains("asleep"), "{asleep}");

    let up = operator.text(&["up", "demo"]).await;
    assert!(up.starts_with("model `demo` is ready after "), "{up}");
    let [instance] = &stack.alive().await[..] else { panic!("{:?}", stack.instances().await) };
    let fleet = operator.json(&["ps", "demo"]).await;
    let [replica] = &ready(only(&fleet))[..] else { panic!("{fleet}") };
    assert_eq!(replica["instance"], json!(instance.id), "{fleet}");
    let row = operator.text(&["ps"]).await;
    assert!(row.contains("ready"), "{row}");

    let streamed = operator.text(&["chat", "demo", "Hello!"]).await;
    let plain = operator.json(&["chat", "short", "Hello!", "--no-stream"]).await;
    assert_eq!(plain["choices"][0]["message"]["content"], json!(streamed.trim_end()), "{plain}");
    let log = operator.text(&["logs", "demo"]).await;
    let page = client.get("/api/v1/cluster/logs?model=demo").await.json();
    let last = log.lines().last().unwrap_or_default();
    assert!(!last.is_empty() && page["text"].as_str().unwrap().contains(last), "{log}\n{page}");

    for (command, said, is_pinned) in
        [("pin", "is pinned", true), ("unpin", "is no longer pinned", false)]
    {
        let printed = operator.text(&[command, "demo"]).await;
        assert!(printed.contains(said), "{printed}");
        let state = client.state("demo").await;
        assert_eq!(state["pinned"], is_pinned, "{state}");
    }

    let down = operator.text(&["down", "demo"]).await;
    assert!(down.starts_with("model `demo` is down after "), "{down}");
    let ended = stack.instances().await;
    assert!(ended.len() == 1 && !ended[0].is_alive(), "{ended:?}");
    assert_eq!(client.state("demo").await["slots"], json!([]));

    let deleted = operator.text(&["model", "delete", "demo", "--yes"]).await;
    assert_eq!(deleted, "model `demo` is deleted\n");
    let gone = client.get("/api/v1/models/demo").await;
    assert_eq!(gone.refusal(), (404, "model_not_found".into()), "{}", gone.text());
    for command in [&["up", "demo"][..], &["model", "show", "demo"], &["chat", "demo", "Hello!"]] {
        let (code, error) = operator.failure(command).await;
        assert_eq!(code, 6, "{command:?}: {error}");
        assert!(error.contains("`demo`"), "{command:?}: {error}");
    }
}

#[tokio::test]
async fn the_commands_about_keys_do_what_they_say() {
    let Some(stack) = Stack::start().await else { return };
    let (operator, client) = (Operator::of(&stack).await, stack.admin().await);
    let whose = ["--email", "ada@example.com"];
    let created =
        operator.json(&[&["key", "create", "--name", "laptop"], &whose[..]].concat()).await;
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    let url = stack.gateway.base_url();
    let ada = Client::new(&url, key);
    assert_eq!(ada.get("/v1/models").await.status, 200);
    assert_eq!(ada.get("/api/v1/keys").await.refusal(), (403, "insufficient_scope".into()));
    let table = operator.text(&[&["key", "list"], &whose[..]].concat()).await;
    assert!(table.contains(id) && table.contains("laptop") && table.contains("active"), "{table}");
    assert!(!table.contains(key), "{table}");

    let rotated = operator.text(&["key", "rotate", id, "--quiet"]).await;
    // The gateway would go on knowing the old one for five minutes.
    stack.gateway.forget_authorizations();
    assert_eq!(ada.get("/v1/models").await.refusal(), (401, "expired_api_key".into()));
    let successor = Client::new(&url, rotated.trim_end());
    assert_eq!(successor.get("/v1/models").await.status, 200);

    let keys = client.get("/api/v1/keys?email=ada@example.com").await.json();
    let keys = keys["data"].as_array().unwrap();
    let new = keys.iter().find(|key| key["id"] != id).unwrap()["id"].as_str().unwrap();
    let revoked = operator.text(&["key", "revoke", new]).await;
    assert_eq!(revoked, format!("key `{new}` is revoked\n"));
    stack.gateway.forget_authorizations();
    assert_eq!(successor.get("/v1/models").await.refusal(), (401, "revoked_api_key".into()));
    let listed = operator.json(&[&["key", "list"], &whose[..]].concat()).await;
    let status = |id: &str| {
        let keys = listed["data"].as_array().unwrap();
        keys.iter().find(|key| key["id"] == id).map(|key| key["status"].clone())
    };
    assert_eq!(status(id), Some(json!("expired")), "{listed}");
    assert_eq!(status(new), Some(json!("revoked")), "{listed}");

    let (code, error) = operator.failure(&["key", "revoke", "nobodys"]).await;
    assert_eq!(code, 6, "{error}");
    let (code, error) = operator.failure(&["ps", "--api-key", key]).await;
    assert_eq!(code, 5, "{error}");
    assert!(error.contains("expired") && !error.contains(key), "{error}");
}
