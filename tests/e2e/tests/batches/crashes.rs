use std::collections::BTreeMap;

use diogenes_e2e::{Client, Config, Model, Serve};
use serde_json::json;

use super::{caller, content, create, custom_ids, lines, tokens, until, upload};

/// Lines for each kill.
const LINES_PER_KILL: usize = 150;
/// How many answers a process gets before it is killed, at least.
const ANSWERS: u64 = 30;
/// How many a replica works on at once.
const CONCURRENCY: usize = 8;
const KILLS: usize = 20;

/// How often it is killed; `DIOGENES_BATCH_KILLS` for long runs.
fn kills() -> usize {
    std::env::var("DIOGENES_BATCH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// How many requests a process has had answered.
async fn answered(client: &Client) -> u64 {
    let metrics = client.get("/metrics").await.text();
    let name = "diogenes_requests_total{model=\"demo\",status=\"200\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(name));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Killed at whatever moment, `serve` goes on where it was: each line has one line in the output, and
/// no more were asked twice than were under way.
#[tokio::test]
async fn a_killed_server_goes_on_with_a_batch_and_answers_each_line_once() {
    let model = Model::mock("demo", &["--ttft", "30ms"])
        .line(&format!("target_concurrency = {CONCURRENCY}"));
    let kills = kills();
    let count = (kills + 2) * LINES_PER_KILL;
    let mut serve = Serve::start(Config::with([model])).await;
    let client = caller(&serve.client()).await;
    let batch = create(&client, &upload(&client, &lines(count, "demo")).await).await;
    let mut client = client;
    for _ in 0..kills {
        // In the middle of whatever it does, once it has got further: one that never does is given up.
        diogenes_e2e::eventually("some answers of this process", async || {
            let answered = answered(&client).await;
            if answered >= ANSWERS { Ok(()) } else { Err(answered) }
        })
        .await;
        serve = serve.crash_and_restart().await;
        client = client.at(serve.base_url());
    }
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": count, "completed": count, "failed": 0}));
    let output = content(&client, &done["output_file_id"]).await;
    let expected: Vec<_> = (1..=count).map(|number| format!("r{number}")).collect();
    assert_eq!(custom_ids(&output), expected);
    let answers: BTreeMap<_, _> =
        output.iter().map(|line| (line["id"].to_string(), &line["response"])).collect();
    assert_eq!(answers.len(), count);
    let bill = &done["usage"];
    let billed = (bill["input_tokens"].as_u64().unwrap(), bill["output_tokens"].as_u64().unwrap());
    assert_eq!(billed, tokens(&output), "each answer is billed once");
    let usage = serve.client().get("/api/v1/usage?by=key").await.json();
    let asked = usage["data"][0]["requests"].as_u64().unwrap_or(0);
    assert!(asked <= (count + kills * CONCURRENCY) as u64, "{usage}");
    let job = done["job_id"].as_str().unwrap().to_owned();
    assert!(serve.log().contains(&job), "{}", serve.log());
}

/// A server that is asked to end gives its batch back, and the next one goes on.
#[tokio::test]
async fn a_server_that_ends_gives_its_batch_back() {
    let model = || Model::mock("demo", &["--ttft", "20ms"]).line("target_concurrency = 4");
    let serve = Serve::start(Config::with([model()])).await;
    let client = caller(&serve.client()).await;
    let batch = create(&client, &upload(&client, &lines(300, "demo")).await).await;
    diogenes_e2e::eventually("some answers", async || {
        let batch = client.get(&format!("/v1/batches/{batch}")).await.json();
        if batch["request_counts"]["completed"].as_u64() > Some(20) { Ok(()) } else { Err(batch) }
    })
    .await;
    let serve = serve.restart_with(Config::with([model()])).await;
    let client = client.at(serve.base_url());
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"]["completed"], 300);
    let output = content(&client, &done["output_file_id"]).await;
    assert_eq!(output.len(), 300);
}
