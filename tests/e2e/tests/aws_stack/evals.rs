//! Evals: the function that answers for them, and their runs, which the workers of batches do.

use std::collections::BTreeSet;
use std::time::Duration;

use diogenes_e2e::aws::stack::{JOBS, Stack};
use diogenes_e2e::{Client, eventually, eventually_within};
use http::Method;
use serde_json::{Value, json};

use crate::batches::{brisk, model};
use crate::calls::Mark;

const EVAL: &str = "EvalFunction";
const EVALS: &str = "/api/v1/evals";

/// Makes a dataset of so many words.
async fn words(client: &Client, count: usize) {
    let created = client.post("/api/v1/datasets", &json!({"name": "words"})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let example = |number| json!({"input": format!("word {number}"), "expected": "another one"});
    let examples = json!({"examples": (0..count).map(example).collect::<Vec<_>>()});
    let added = client.post("/api/v1/datasets/words/examples", &examples).await;
    assert!(added.status.is_success(), "{}", added.text());
}

/// Pushes the prompt `echo`, which asks `model` with one variable.
async fn echo(client: &Client, model: &str) {
    let prompt = json!({
        "model": model, "messages": [{"role": "user", "content": "Say {{ word }}."}],
        "variables": [{"name": "word"}], "default_config": {"max_tokens": 4},
    });
    let pushed = client.post("/api/v1/prompts/echo/versions", &prompt).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
}

/// A run of the prompt `echo` that passes whatever is answered.
fn of_echo(dataset: &str) -> Value {
    json!({
        "prompt": "echo:v1", "dataset": dataset, "min_pass_rate": 0.9,
        "evaluators": [{"type": "regex", "params": {"pattern": "."}}],
    })
}

/// Creates a run; returns its path.
async fn create(client: &Client, run: &Value) -> String {
    let created = client.post(EVALS, run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    format!("{EVALS}/{}", created.json()["id"].as_str().expect("an id"))
}

async fn until(client: &Client, run: &str, status: &str) -> Value {
    eventually(&format!("the run {status}"), async || {
        let run = client.get(run).await.json();
        if run["status"] == status { Ok(run) } else { Err(run) }
    })
    .await
}

/// How often models were asked.
async fn asked(admin: &Client) -> u64 {
    let usage = admin.get("/api/v1/usage?by=model").await.json();
    let rows = usage["data"].as_array().expect("rows");
    rows.iter().filter_map(|row| row["requests"].as_u64()).sum()
}

#[tokio::test]
async fn a_run_of_a_prompt_wakes_its_model_comes_to_a_verdict_and_lets_it_go() {
    let Some(stack) = Stack::with(brisk()).await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &model("0s")).await;
    echo(&admin, "demo").await;
    words(&admin, 12).await;
    for (wrong, code) in [
        (json!({"model": "nobody", "dataset": "words"}), (404, "model_not_found")),
        (json!({"model": "demo", "dataset": "words@v9"}), (404, "snapshot_not_found")),
    ] {
        let mut run = json!({"evaluators": [{"type": "exact_match"}]});
        run.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(client_refusal(&admin, &run).await, (code.0, code.1.to_owned()));
    }
    let mut asks = of_echo("words");
    let service = json!({"type": "webhook", "params": {"url": "https://example.com/score"}});
    asks["evaluators"] = json!([service]);
    assert_eq!(client_refusal(&admin, &asks).await, (400, "invalid_request".to_owned()));
    assert_eq!(stack.alive().await, [], "nothing was started for them");

    let run = create(&admin, &of_echo("words")).await;
    assert!(!stack.front.schedules().is_empty(), "a lost invocation would be made up for");
    let done = until(&admin, &run, "completed").await;
    assert_eq!((&done["completed_examples"], &done["verdict"]), (&json!(12), &json!("passed")));
    assert_eq!(done["summary"]["passed_count"], 12, "{done}");
    assert_eq!(asked(&admin).await, 12, "each example once");
    let fails = json!({
        "model": "demo", "dataset": "words", "min_pass_rate": 0.9,
        "evaluators": [{"type": "exact_match"}],
    });
    let fails = until(&admin, &create(&admin, &fails).await, "completed").await;
    assert_eq!(
        (&fails["verdict"], &fails["summary"]["failed_count"]),
        (&json!("below_threshold"), &json!(12))
    );
    eventually("the instance is gone", async || {
        let alive = stack.alive().await;
        if alive.is_empty() { Ok(()) } else { Err((alive, admin.state("demo").await)) }
    })
    .await;
}

async fn client_refusal(client: &Client, run: &Value) -> (u16, String) {
    client.post(EVALS, run).await.refusal()
}

/// How many invocations it takes at least.
const INVOCATIONS: usize = 5;

/// A deadline of three seconds: each invocation comes to a good place and invokes the next.
#[tokio::test]
async fn a_run_goes_on_through_many_invocations_and_asks_no_example_twice() {
    let Some(stack) = Stack::with(brisk().variable(JOBS, "DIOGENES_STINT", "3s")).await else {
        return;
    };
    let admin = stack.admin().await;
    stack.apply(&admin, &model("600ms")).await;
    echo(&admin, "demo").await;
    let count = INVOCATIONS * 20;
    words(&admin, count).await;
    let run = create(&admin, &of_echo("words")).await;
    let done = eventually_within(Duration::from_mins(3), "the end of the run", async || {
        let run = admin.get(&run).await.json();
        if run["status"] == "completed" { Ok(run) } else { Err((run, stack.host.logs(JOBS))) }
    })
    .await;
    assert_eq!(done["summary"]["passed_count"], count, "{done}");
    let results = admin.get(&format!("{run}/results?limit=500")).await.json();
    let results = results["data"].as_array().expect("results").clone();
    let examples: BTreeSet<_> = results.iter().map(|one| one["example_id"].to_string()).collect();
    assert_eq!((results.len(), examples.len()), (count, count), "one result for each");
    assert_eq!(asked(&admin).await, count as u64, "what is under way is waited for");
    let invocations = stack.host.invocations(JOBS);
    assert!(invocations >= INVOCATIONS, "{invocations}");
    assert!(stack.host.dropped(JOBS).is_empty(), "none failed");
}

/// Does what can be done with evals in the project of `client`, on its dataset `golden`, with a model
/// that runs.
pub(crate) async fn everything(stack: &Stack, admin: &Client, client: &Client, model: &str) {
    echo(client, model).await;
    let golden = client.get("/api/v1/datasets/golden").await.json();
    let text = |name: &str| golden[name].as_str().expect("a text").to_owned();
    let (id, digest, version) = (text("id"), text("digest"), &golden["version"]);
    for dataset in [id.clone(), format!("golden@{digest}"), format!("golden@v{version}")] {
        let planned = client.post(&format!("{EVALS}/plan"), &of_echo(&dataset)).await;
        assert_eq!(planned.status, 200, "{dataset}: {}", planned.text());
    }
    let mut unknown = of_echo("golden");
    unknown["model"] = json!("nobody");
    assert_eq!(client_refusal(client, &unknown).await, (404, "model_not_found".to_owned()));
    let exact = json!([{"type": "exact_match"}]);
    let recorded = json!({"column": "expected", "dataset": "golden", "evaluators": exact});
    let asked = json!({"prompt": "echo:v1", "dataset": "golden", "evaluators": exact});
    let mut runs = Vec::new();
    for run in [of_echo("golden"), recorded, asked] {
        let run = create(client, &run).await;
        until(client, &run, "completed").await;
        runs.push(run);
    }
    let baseline = runs[1].rsplit('/').next().expect("an id");
    let first = client.get(&format!("{}/results", runs[0])).await.json();
    let labels = json!({
        "evaluator": "regex",
        "labels": [{"example_id": first["data"][0]["example_id"], "passed": true}],
    });
    let calibrated = client.post(&format!("{}/calibrate", runs[0]), &labels).await;
    assert_eq!(calibrated.status, 200, "{}", calibrated.text());
    for path in
        [EVALS, &format!("{EVALS}/evaluators"), &format!("{}/compare?baseline={baseline}", runs[2])]
    {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let set = async |paused: bool| {
        let request = admin.request(Method::PATCH, "/api/v1/queues/eval");
        let answer = admin.send(request.json(&json!({"paused": paused}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    set(true).await;
    let run = create(client, &of_echo("golden")).await;
    let cancelled = client.post(&format!("{run}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    set(false).await;
    until(client, &run, "cancelled").await;
    stack.host.wait_idle().await;
}

#[tokio::test]
async fn evals_cost_what_they_did() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    words(&admin, 2).await;
    let mut found = Vec::new();
    let recorded = json!({
        "column": "expected", "dataset": "words", "evaluators": [{"type": "exact_match"}],
    });
    let mark = Mark::new(&stack);
    let run = create(&admin, &recorded).await;
    found.push(format!("POST {EVALS}: {}", mark.words(EVAL).join(", ")));
    until(&admin, &run, "completed").await;
    stack.host.wait_idle().await;
    // How often it looks, beats and writes how far it is depends on the machine.
    let mut words = mark.words(JOBS);
    words.retain(|word| word.contains("EVAL") || word.contains("Object"));
    words.dedup_by(|word, before| word == before && word.contains("EVALS#"));
    found.push(format!("what a run over recorded answers does: {}", words.join(", ")));
    let id = run.rsplit('/').next().expect("an id").to_owned();
    for path in [
        EVALS.to_owned(),
        run.clone(),
        format!("{run}/results"),
        format!("{run}/compare?baseline={id}"),
        format!("{EVALS}/evaluators"),
    ] {
        let mark = Mark::new(&stack);
        let answer = admin.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let path = path.replace(&id, "ID");
        found.push(format!("GET {path}: {}", mark.words(EVAL).join(", ")));
    }
    insta::assert_snapshot!(found.join("\n"));
}
