use std::collections::BTreeMap;

use diogenes_e2e::{Config, Model, Serve};
use serde_json::json;

use super::{caller, content, create, custom_ids, lines, until, upload};

/// Lines for each kill.
const LINES_PER_KILL: usize = 100;
/// How many a replica works on at once.
const CONCURRENCY: usize = 8;
const KILLS: usize = 4;

/// How often it is killed; `DIOGENES_BATCH_KILLS` for long runs.
fn kills() -> usize {
    std::env::var("DIOGENES_BATCH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// Killed at whatever moment, `serve` goes on where it was: each line has one line in the output, and
/// no more were asked twice than were under way.
#[tokio::test]
async fn a_killed_server_goes_on_with_a_batch_and_answers_each_line_once() {
    let model = Model::mock("demo", &["--ttft", "10ms"])
        .line(&format!("target_concurrency = {CONCURRENCY}"));
    let kills = kills();
    let count = (kills + 2) * LINES_PER_KILL;
    let mut serve = Serve::start(Config::with([model])).await;
    let client = caller(&serve.client()).await;
    let batch = create(&client, &upload(&client, &lines(count, "demo")).await).await;
    let mut client = client;
    for kill in 1..=kills {
        // In the middle of whatever it does: not at a state that it tells.
        let wanted = (kill * LINES_PER_KILL) as u64;
        diogenes_e2e::eventually("some answers", async || {
            let batch = client.get(&format!("/v1/batches/{batch}")).await.json();
            let completed = batch["request_counts"]["completed"].as_u64();
            if completed >= Some(wanted) { Ok(()) } else { Err(batch) }
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
