//! Budgets, by the commands of an operator, and what they do to requests.

use diogenes_e2e::{Config, Model, Serve, eventually};
use serde_json::{Value, json};

const ROUTE: &str = "[routes.assistant]\ntargets = [\"demo\"]\n";

async fn serve() -> Serve {
    Serve::start(Config::with([Model::mock("demo", &["--tokens", "3"])]).tables(ROUTE)).await
}

#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
fn text_of(serve: &Serve, arguments: &[&str]) -> String {
    let output = serve.cli(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
fn json_of(serve: &Serve, arguments: &[&str]) -> Value {
    serde_json::from_str(&text_of(serve, &[arguments, &["-o", "json"]].concat())).unwrap()
}

/// The id and the text of a new key of the project.
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails at once"
)]
fn key_of(serve: &Serve, project: &str) -> (String, String) {
    let key =
        json_of(serve, &["key", "create", "--email", "ada@example.com", "--project", project]);
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

#[tokio::test]
async fn a_budget_is_set_listed_and_deleted() {
    let serve = serve().await;
    assert_eq!(text_of(&serve, &["budget", "list"]), "");
    json_of(&serve, &["project", "create", "search"]);
    let (key, _) = key_of(&serve, "search");
    let of_key = format!("key/{key}/tokens/day");
    let set = ["budget", "set", "--key", &key, "--tokens", "2M", "--per", "day"];
    let budget = json_of(&serve, &set);
    assert_eq!([&budget["id"], &budget["cap"]], [&json!(of_key), &json!("2M")]);
    for more in [
        &["--project", "search", "--usd", "20", "--per", "month"][..],
        &["--route", "assistant", "--usd", "$0.50", "--per", "total"],
    ] {
        json_of(&serve, &[&["budget", "set"], more].concat());
    }

    let table = text_of(&serve, &["budget", "list"]);
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().take(5).collect()).collect();
    assert_eq!(
        rows,
        [
            ["ID", "CAP", "CHARGED", "LEFT", "USED"],
            ["route/assistant/usd/total", "$0.50", "$0.00", "$0.50", "0%"],
            [&of_key, "2M", "0", "2M", "0%"],
            ["project/search/usd/month", "$20.00", "$0.00", "$20.00", "0%"],
        ]
    );
    assert!(table.contains("never") && table.contains(" in "), "{table}");
    let of_project = json_of(&serve, &["budget", "list", "--project", "search"]);
    assert_eq!(of_project["data"].as_array().map(Vec::len), Some(2), "{of_project}");

    let raised =
        json_of(&serve, &["budget", "set", "--key", &key, "--tokens", "3M", "--per", "day"]);
    assert_eq!(raised["created_at"], budget["created_at"]);
    let shown = text_of(&serve, &["budget", "show", &of_key]);
    assert!(shown.contains("3M per day") && shown.contains("search"), "{shown}");
    let deleted = text_of(&serve, &["budget", "delete", &of_key, "--yes"]);
    assert_eq!(deleted, format!("budget `{of_key}` is deleted\n"));
    let audit = json_of(&serve, &["audit", "--project", "search", "--action", "budget."]);
    let told = audit["data"].as_array().expect("records").iter();
    let told: Vec<_> = told.map(|one| one["summary"].as_str().unwrap_or_default()).collect();
    assert_eq!(told, ["was 3M", "from 2M to 3M", "$20.00", "2M"]);

    for (arguments, code, text) in [
        (&["budget", "show", &of_key][..], 6, "does not exist"),
        (&["budget", "show", "project/search"], 2, "write it as `key/ID/usd/month`"),
        (&["budget", "delete", "project/search/usd/month"], 2, "use --yes"),
        (&["budget", "set", "--usd", "1", "--per", "day"], 2, "--project"),
        (&["budget", "set", "--key", "x", "--per", "day"], 2, "--usd"),
        (&["budget", "set", "--key", "x", "--usd", "1", "--per", "week"], 2, "use `day`"),
        (&["budget", "set", "--key", "x", "--usd", "-1", "--per", "day"], 2, "--usd"),
        (&["budget", "set", "--key", "absent", "--usd", "1", "--per", "day"], 6, "`absent` does"),
        (&["budget", "set", "--project", "x", "--usd", "1", "--per", "day"], 6, "`x` does not"),
        (&["budget", "set", "--route", "x", "--usd", "1", "--per", "day"], 6, "`x` does not"),
        (&["budget", "list", "--project", "absent"], 6, "`absent` does not exist"),
    ] {
        let output = serve.cli(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(code) && error.contains(text),
            "{arguments:?}: {:?} {error}",
            output.status
        );
    }
}

#[tokio::test]
async fn a_budget_tells_what_was_used_and_refuses_what_does_not_fit() {
    let serve = serve().await;
    for project in ["wide", "narrow"] {
        json_of(&serve, &["project", "create", project]);
    }
    let (key, text) = key_of(&serve, "wide");
    json_of(&serve, &["budget", "set", "--key", &key, "--tokens", "1M", "--per", "total"]);
    let answer = serve.client_with(&text).chat("demo").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let used = json!(answer.json()["usage"]["total_tokens"].to_string());
    let id = format!("key/{key}/tokens/total");
    eventually("what was used", async || {
        let budget = json_of(&serve, &["budget", "show", &id]);
        if budget["charged"] == used { Ok(()) } else { Err(budget) }
    })
    .await;

    let (_, text) = key_of(&serve, "narrow");
    json_of(&serve, &["budget", "set", "--project", "narrow", "--tokens", "100", "--per", "day"]);
    let refused = serve.client_with(&text).chat("demo").await;
    assert_eq!(refused.refusal(), (402, "request_exceeds_budget".into()), "{}", refused.text());
    assert_eq!(refused.header("x-diogenes-budget"), Some("project/narrow/tokens/day"));
}
