//! Evals of `serve`, driven by the program.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

use std::process::Output;

use diogenes_e2e::{Client, Config, Model, Serve, eventually};
use serde_json::{Value, json};

/// Makes a dataset of so many questions, whose expected outputs contain what the model `demo` says to the first half.
async fn dataset(client: &Client, name: &str, count: usize, expected: &str) {
    let made = client.post("/api/v1/datasets", &json!({"name": name})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let path = format!("/api/v1/datasets/{name}/examples");
    let examples: Vec<Value> = (0..count)
        .map(|number| {
            let expected = if number < count / 2 { expected } else { "something else" };
            json!({"input": "hi", "expected": expected, "tags": [format!("t{}", number % 2)],
                "metadata": {"answer": if number == 0 { "something" } else { "something else" }}})
        })
        .collect();
    let added = client.post(&path, &json!({"examples": examples})).await;
    assert!(added.status.is_success(), "{}", added.text());
}

/// What the mock says to "hi".
async fn says(client: &Client) -> String {
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "hi"}]});
    let answer = client.post("/v1/chat/completions", &body).await.json();
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

struct World {
    serve: Serve,
    client: Client,
}

impl World {
    async fn new(flags: &[&str]) -> Self {
        let model = Model::mock("demo", &[&["--tokens", "4"], flags].concat());
        let serve = Serve::start(Config::with([model.line("target_concurrency = 8")])).await;
        let client = serve.client();
        Self { serve, client }
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.serve.cli(arguments);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }
}

#[tokio::test]
async fn a_run_wakes_its_model_and_exits_as_its_results_say() {
    let world = World::new(&[]).await;
    let expected = says(&world.client).await;
    dataset(&world.client, "golden", 40, &expected).await;
    let eval = ["eval", "run", "--model", "demo", "--dataset", "golden", "--evaluator"];
    let (code, text, error) = world.run(&[&eval[..], &["exact_match"]].concat());
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("20 (50.0 %), 20 failed"), "{text}");
    let (code, _, error) =
        world.run(&[&eval[..], &["exact_match", "--min-pass-rate", "0.9"]].concat());
    assert_eq!(code, Some(100), "{error}");
    assert!(error.contains("the pass rate is 0.500, below 0.9"), "{error}");
    // A judge that judges by chance: the mock says the same to everybody, and no verdict.
    let judge = r#"{"type":"llm_judge","params":{"model":"demo","rubric":"It is right."}}"#;
    let (code, _, error) = world.run(&[&eval[..], &[judge]].concat());
    assert_eq!(code, Some(101), "{error}");
    assert!(error.contains("favour its own answers"), "{error}");
    let (_, list, _) = world.run(&["eval", "list", "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 3);
    let id = list["data"][2]["id"].as_str().unwrap();
    let (_, failed, _) = world.run(&["eval", "results", id, "--failed-only", "-o", "json"]);
    let failed: Value = serde_json::from_str(&failed).unwrap();
    assert_eq!(failed["data"].as_array().unwrap().len(), 20);
    assert!(
        failed["data"][0]["evaluator_results"][0]["explanation"]
            .as_str()
            .unwrap()
            .contains("expected `something else`")
    );
}

#[tokio::test]
async fn two_runs_are_compared_and_reported() {
    let world = World::new(&[]).await;
    let expected = says(&world.client).await;
    dataset(&world.client, "golden", 100, &expected).await;
    let base = ["eval", "run", "--dataset", "golden", "--evaluator", "exact_match", "-o", "json"];
    let id = |text: &str| {
        let run: Value = serde_json::from_str(text).unwrap();
        run["id"].as_str().unwrap().to_owned()
    };
    let (_, recorded, error) = world.run(&[&base[..], &["--column", "metadata.answer"]].concat());
    let recorded = id(&recorded);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let reports =
        ["junit", "markdown", "html", "csv", "json"].map(|form| format!("{form}={}", file(form)));
    let mut run = [&base[..], &["--model", "demo"]].concat();
    for report in &reports {
        run.extend(["--report", report]);
    }
    let (code, asked, more) = world.run(&run);
    assert_eq!(code, Some(0), "{error}{more}");
    let asked = id(&asked);
    for form in ["junit", "markdown", "html", "csv", "json"] {
        let text = std::fs::read_to_string(file(form)).unwrap();
        assert!(text.contains("ex_") || text.contains("example"), "{form}: {text}");
    }
    // The recorded ones are right where nothing else is expected, and the other way round.
    let (code, text, error) = world.run(&["eval", "compare", &recorded, &asked]);
    assert_eq!(code, Some(101), "{text}{error}");
    assert!(text.starts_with("Nobody can tell yet whether `demo` is better"), "{text}");
    // A report and the exit code come of one comparison.
    let report = format!("json={}", file("margin.json"));
    let more = ["--model", "demo", "--baseline", &recorded, "--margin", "0.5", "--report", &report];
    let (code, _, error) = world.run(&[&base[..], &more].concat());
    assert_eq!(code, Some(0), "{error}");
    let written = std::fs::read_to_string(file("margin.json")).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["comparison"]["verdict"], "no_worse");
    let html = file("page.html");
    let (code, _, error) = world.run(&[
        "eval",
        "results",
        &asked,
        "--as",
        "html",
        "--to",
        &html,
        "--against",
        &recorded,
    ]);
    assert_eq!(code, Some(0), "{error}");
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));
    let (code, _, error) = world.run(&["eval", "compare", &recorded, "eval_0"]);
    assert_eq!(code, Some(6), "{error}");
}

#[tokio::test]
async fn a_killed_server_goes_on_with_a_run_and_has_one_result_for_each_example() {
    // Slow enough that it is not over before it is seen three times.
    let world = World::new(&["--ttft", "100ms"]).await;
    let expected = says(&world.client).await;
    dataset(&world.client, "golden", 400, &expected).await;
    let body =
        json!({"model": "demo", "dataset": "golden", "evaluators": [{"type": "exact_match"}]});
    let run = world.client.post("/api/v1/evals", &body).await.json();
    let path = format!("/api/v1/evals/{}", run["id"].as_str().unwrap());
    let World { mut serve, mut client } = world;
    let mut seen = 0;
    for _ in 0..3 {
        seen = eventually("more results", async || {
            let run = client.get(&path).await.json();
            let completed = run["completed_examples"].as_u64().unwrap_or(0);
            if completed > seen + 20 { Ok(completed) } else { Err(run) }
        })
        .await;
        serve = serve.crash_and_restart().await;
        client = serve.client();
    }
    let done = eventually("the end of the run", async || {
        let run = client.get(&path).await.json();
        if run["status"] == "completed" { Ok(run) } else { Err(run) }
    })
    .await;
    assert_eq!(
        (&done["completed_examples"], &done["summary"]["passed_count"]),
        (&json!(400), &json!(200))
    );
    // What had not been counted when the server was killed is not counted at all.
    let usage = client.get("/api/v1/usage?by=model").await.json();
    let asked = usage["data"][0]["requests"].as_u64().unwrap_or(0);
    assert!(asked <= 401 + 3 * 8, "{usage}");
}

#[tokio::test]
async fn a_run_costs_no_more_than_it_may() {
    let world = World::new(&[]).await;
    let card = json!({"version": "1", "price": {"input": "1", "output": "1000"}});
    let priced = world.client.put("/api/v1/rate-cards/demo", &card).await;
    assert!(priced.status.is_success(), "{}", priced.text());
    dataset(&world.client, "golden", 200, "x").await;
    let eval =
        ["eval", "run", "--model", "demo", "--dataset", "golden", "--evaluator", "exact_match"];
    let capped = ["--param", "max_tokens:=10", "--max-cost", "$0.1", "-o", "json"];
    let (code, text, error) = world.run(&[&eval[..], &capped[..]].concat());
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("`max_cost` lets nothing more be asked"), "{error}");
    let run: Value = serde_json::from_str(&text).unwrap();
    let cost: f64 = run["summary"]["total_cost_usd"].as_str().unwrap().parse().unwrap();
    assert!(cost > 0.05 && cost <= 0.1, "{run}");
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_spent() {
    let world = World::new(&[]).await;
    dataset(&world.client, "golden", 3, "x").await;
    let empty = world.client.post("/api/v1/datasets", &json!({"name": "empty"})).await;
    assert_eq!(empty.status, 201);
    let eval = |more: &[&str]| {
        let (code, _, error) = world.run(&[&["eval", "run"], more].concat());
        (code, error)
    };
    for (arguments, code, told) in [
        (&["--model", "demo", "--dataset", "gone", "--evaluator", "exact_match"][..], 6, "gone"),
        (&["--model", "demo", "--dataset", "golden@v9", "--evaluator", "exact_match"], 6, "v9"),
        (
            &["--model", "demo", "--dataset", "empty", "--evaluator", "exact_match"],
            1,
            "no examples",
        ),
        (&["--model", "gone", "--dataset", "golden", "--evaluator", "exact_match"], 6, "gone"),
        (&["--prompt", "gone:v1", "--dataset", "golden", "--evaluator", "exact_match"], 6, "gone"),
        (&["--model", "demo", "--dataset", "golden", "--evaluator", "bleu"], 2, "exact_match"),
        (&["--model", "demo", "--dataset", "golden", "--evaluator", "regex"], 2, "pattern"),
        (&["--model", "demo", "--dataset", "golden"], 2, "--evaluator"),
        (&["--dataset", "golden", "--evaluator", "exact_match"], 2, "--prompt"),
    ] {
        let (found, error) = eval(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {error}");
        assert!(error.contains(told), "{arguments:?}: {error}");
    }
    let judge = r#"{"type":"llm_judge","params":{"model":"gone","rubric":"x"}}"#;
    let (code, error) = eval(&["--model", "demo", "--dataset", "golden", "--evaluator", judge]);
    assert_eq!(code, Some(6), "{error}");
    let (_, list, _) = world.run(&["eval", "list", "-o", "json"]);
    assert!(list.contains("\"data\": []"), "{list}");
    let plan =
        ["eval", "plan", "--model", "demo", "--dataset", "golden", "--evaluator", "exact_match"];
    let (code, text, error) = world.run(&plan);
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("too few examples") && text.contains("1742"), "{text}");
}
