//! Datasets: the function that answers for them, and the one that imports and exports them.

use std::fmt::Write as _;
use std::time::Duration;

use diogenes_e2e::aws::front::Fault;
use diogenes_e2e::aws::stack::{Stack, StackSettings, TRANSFERS};
use diogenes_e2e::{Answer, Client};
use http::Method;
use serde_json::{Value, json};

use crate::calls::Mark;
use crate::cli::Operator;
use crate::jobs::{looks_come_to, until};

pub(crate) const DATASETS: &str = "DatasetsFunction";
const GOLDEN: &str = "/api/v1/datasets/golden";

/// Makes an empty dataset that keeps its three newest snapshots.
async fn golden(client: &Client) {
    let new = json!({"name": "golden", "keep_snapshots": 3});
    let created = client.post("/api/v1/datasets", &new).await;
    assert_eq!(created.status, 201, "{}", created.text());
}

/// Sends a file for `golden` as it is; returns its id.
async fn send(client: &Client, name: &str, content: impl Into<Vec<u8>>) -> String {
    let request = client.request(Method::POST, &format!("{GOLDEN}/files?filename={name}"));
    let request = request.header("content-type", "application/octet-stream");
    let sent = client.send(request.body(content.into())).await;
    assert_eq!(sent.status, 201, "{}", sent.text());
    sent.json()["id"].as_str().expect("an id").to_owned()
}

/// Has `golden` imported or exported; returns the id of the job.
async fn transfer(client: &Client, way: &str, body: &Value) -> String {
    let created = client.post(&format!("{GOLDEN}/{way}"), body).await;
    assert_eq!(created.status, 202, "{}", created.text());
    created.json()["id"].as_str().expect("an id").to_owned()
}

/// The content of a file of `golden`, from where it is.
async fn content(client: &Client, file: &Value) -> Answer {
    let path = format!("{GOLDEN}/files/{}", file.as_str().expect("a file"));
    let there = client.get(&path).await;
    assert_eq!(there.status, 302, "{}", there.text());
    client.elsewhere(there.header("location").expect("a place")).await
}

/// So many examples as lines of JSON, each of about `size` bytes.
fn lines(count: usize, size: usize) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        let _ = writeln!(lines, "{{\"input\": \"{number} {}\"}}", "x".repeat(size));
        lines
    })
}

#[tokio::test]
async fn what_is_imported_from_csv_is_exported_though_an_invocation_is_lost() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    golden(&client).await;
    // Bytes that are not UTF-8 reach the function as they are.
    let csv = b"question,answer\nGr\xfc\xdfe?,caf\xe9\n\"6, 7?\",\"42\nor so\"\n";
    let file = send(&client, "latin.csv", csv).await;
    let lost = stack.front.rule().by(DATASETS).action("Invoke").first(1).fail(Fault::denied());
    let map = ["input=question", "expected=answer"];
    let import = transfer(&client, "import", &json!({"file": file, "map": map})).await;
    assert_eq!((lost.hits(), stack.host.invocations(TRANSFERS)), (1, 0));
    stack.run_schedules();
    let done = until(&client, &import, "completed").await;
    let result = &done["result"];
    assert_eq!((&result["imported"], &result["version"]), (&json!(2), &json!(2)), "{done}");
    let examples = client.get(&format!("{GOLDEN}/examples")).await.json();
    assert_eq!(examples["data"][0]["input"], "Grüße?", "{examples}");
    assert_eq!(examples["data"][1]["expected"], "42\nor so", "{examples}");

    let export = transfer(&client, "export", &json!({"format": "csv"})).await;
    let done = until(&client, &export, "completed").await;
    let csv = content(&client, &done["result"]["file"]).await;
    assert!(csv.text().contains("Grüße?") && csv.text().contains("\"6, 7?\""), "{}", csv.text());
    let export = transfer(&client, "export", &json!({"format": "parquet"})).await;
    let done = until(&client, &export, "completed").await;
    let parquet = content(&client, &done["result"]["file"]).await;
    assert!(parquet.body.starts_with(b"PAR1"), "{}", parquet.text());

    // What a row has wrong is told, and nothing of the file is seen.
    let file = send(&client, "bad.csv", "input,expected\nfine,a\nnot,fine,b\n").await;
    let import = transfer(&client, "import", &json!({"file": file})).await;
    let failed = until(&client, &import, "discarded").await;
    let why = failed["failure"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("bad.csv: line 3"), "{failed}");
    assert_eq!(client.get(GOLDEN).await.json()["examples"], 2);

    // The commands send a large file in parts, which no event carries at once.
    let operator = Operator::of(&stack).await;
    let large = lines(100, 50_000);
    std::fs::write(operator.home().join("large.jsonl"), &large).unwrap();
    let imported = operator.text(&["dataset", "import", "golden", "large.jsonl"]).await;
    assert!(imported.contains("imported 100 of 100 rows"), "{imported}");
    operator.text(&["dataset", "export", "golden@latest", "out.jsonl"]).await;
    let out = std::fs::read_to_string(operator.home().join("out.jsonl")).unwrap();
    assert_eq!(out.lines().count(), 102);

    looks_come_to(&stack, 0).await;
    assert!(stack.host.dropped(TRANSFERS).is_empty(), "no invocation failed");
}

/// An invocation whose time ends in the middle of an import gives it back; the next one begins from the
/// start of the file, and each row is there once.
#[tokio::test]
async fn an_import_that_is_cut_off_begins_anew_in_the_next_invocation() {
    let settings = StackSettings::default().variable(TRANSFERS, "DIOGENES_STINT", "6s");
    let Some(stack) = Stack::with(settings).await else { return };
    let client = stack.admin().await;
    golden(&client).await;
    let file = send(&client, "rows.jsonl", lines(40, 20_000)).await;
    let slow = Duration::from_secs(8);
    let slow = stack.front.rule().by(TRANSFERS).action("PutObject").first(1).delay(slow);
    let import = transfer(&client, "import", &json!({"file": file})).await;
    let done = until(&client, &import, "completed").await;
    assert_eq!((slow.hits(), &done["attempt"]), (1, &json!(1)), "it was no failure: {done}");
    assert_eq!(done["result"]["imported"], 40, "{done}");
    assert!(stack.host.invocations(TRANSFERS) >= 2, "{}", stack.host.logs(TRANSFERS));
    let dataset = client.get(GOLDEN).await.json();
    assert_eq!((&dataset["examples"], &dataset["version"]), (&json!(40), &json!(2)), "{dataset}");
}

/// Does what can be done with datasets in the project of `client`; leaves `golden` there.
pub(crate) async fn everything(stack: &Stack, admin: &Client, client: &Client) {
    golden(client).await;
    let example = json!({"input": "hi", "expected": "something"});
    let examples = json!({"examples": vec![&example; 4]});
    let added = client.post(&format!("{GOLDEN}/examples"), &examples).await;
    assert!(added.status.is_success(), "{}", added.text());
    let id = added.json()["dataset"]["id"].as_str().expect("an id").to_owned();
    // The second time nothing changes, and what was written is removed.
    for _ in 0..2 {
        let changed = json!({"input": "ho"});
        let changed = client.put(&format!("{GOLDEN}/examples/ex_1"), &changed).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
    }
    let removed = json!({"ids": ["ex_2"]});
    let removed = client.post(&format!("{GOLDEN}/examples/remove"), &removed).await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    let digest = client.get(GOLDEN).await.json()["digest"].as_str().expect("a digest").to_owned();
    for path in [
        "/api/v1/datasets",
        &format!("/api/v1/datasets/{id}"),
        &format!("{GOLDEN}/examples?search=hi"),
        &format!("{GOLDEN}/examples/ex_3"),
        &format!("{GOLDEN}/snapshots"),
        &format!("{GOLDEN}/snapshots/{digest}"),
        &format!("{GOLDEN}/compare?from=v3&to=v4"),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    transfers(admin, client).await;
    let deleted = client.post("/api/v1/datasets", &json!({"name": "short-lived"})).await;
    assert_eq!(deleted.status, 201, "{}", deleted.text());
    assert_eq!(client.delete("/api/v1/datasets/short-lived").await.status, 200);
    stack.host.wait_idle().await;
}

/// Imports and exports, also those that fail or are called off.
async fn transfers(admin: &Client, client: &Client) {
    let set = async |body: Value| {
        let request = admin.request(Method::PATCH, "/api/v1/queues/import");
        let answer = admin.send(request.json(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    set(json!({"paused": true, "max_running": 2})).await;
    let rows = send(client, "rows.jsonl", "{\"input\": 1}\nnothing\n").await;
    let import = transfer(client, "import", &json!({"file": rows})).await;
    let cancelled = client.post(&format!("/api/v1/jobs/{import}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    set(json!({"paused": false})).await;
    let skipping = json!({"file": rows, "on_error": "skip", "skip_duplicates": true});
    let import = transfer(client, "import", &skipping).await;
    let done = until(client, &import, "completed").await;
    content(client, &done["result"]["rejected_file"]).await;
    // Some chunks are kept by the time that a row is wrong.
    let wrong = send(client, "wrong.jsonl", lines(20, 20_000) + "nothing\n").await;
    let import = transfer(client, "import", &json!({"file": wrong})).await;
    until(client, &import, "discarded").await;
    let export = transfer(client, "export", &json!({})).await;
    until(client, &export, "completed").await;
}

#[tokio::test]
async fn datasets_cost_what_they_did() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    let none = Value::Null;
    let new = json!({"name": "golden"});
    let examples = json!({"examples": [{"input": "a"}, {"input": "b"}]});
    let (changed, removed) = (json!({"input": "c"}), json!({"ids": ["ex_1"]}));
    let update = json!({"description": "What is asked."});
    let mut found = Vec::new();
    for (method, path, body) in [
        ("POST", "", &new),
        ("POST", "/golden/examples", &examples),
        ("PUT", "/golden/examples/ex_2", &changed),
        ("POST", "/golden/examples/remove", &removed),
        ("PATCH", "/golden", &update),
        ("GET", "", &none),
        ("GET", "/golden", &none),
        ("GET", "/golden/examples", &none),
        ("GET", "/golden/examples/ex_2", &none),
        ("GET", "/golden/snapshots", &none),
        ("GET", "/golden/snapshots/v2", &none),
        ("GET", "/golden/compare?from=v2", &none),
    ] {
        let path = format!("/api/v1/datasets{path}");
        let mark = Mark::new(&stack);
        let mut request = client.request(method.parse().expect("a method"), &path);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = client.send(request).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        found.push(format!("{method} {path}: {}", mark.words(DATASETS).join(", ")));
    }
    let mark = Mark::new(&stack);
    let file = send(&client, "rows.csv", "input\nx\ny\n").await;
    found.push(format!("POST …/files: {}", mark.words(DATASETS).join(", ")));
    for (way, body) in [("import", json!({"file": file})), ("export", json!({}))] {
        let mark = Mark::new(&stack);
        let job = transfer(&client, way, &body).await;
        found.push(format!("POST …/{way}: {}", mark.words(DATASETS).join(", ")));
        until(&client, &job, "completed").await;
        stack.host.wait_idle().await;
        // How often it looks and beats depends on the machine.
        let mut words = mark.words(TRANSFERS);
        words.retain(|word| !word.contains("JOB#") && !word.starts_with("Query index"));
        words.retain(|word| !word.starts_with("GetItem QUEUES"));
        found.push(format!("what the {way} does: {}", words.join(", ")));
    }
    insta::assert_snapshot!(found.join("\n"));
}
