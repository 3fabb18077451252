//! Files, batches and jobs: the function that answers for them, and the one that works on them.

use std::collections::BTreeSet;
use std::time::Duration;

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::front::Calls;
use diogenes_e2e::aws::stack::{JOBS, ORCHESTRATOR, Stack, StackSettings};
use diogenes_e2e::batch::{content, create, custom_ids, download, line, lines, until, upload};
use diogenes_e2e::{Client, Model, eventually};
use http::Method;
use serde_json::{Value, json};

use crate::cli::Operator;
use crate::jobs::looks_come_to;

/// A stack whose orchestrator comes by often and lets replicas go soon.
pub(crate) fn brisk() -> StackSettings {
    StackSettings::default().schedule(Duration::from_secs(1)).variable(
        ORCHESTRATOR,
        "DIOGENES_ROUTER_LAG",
        "1s",
    )
}

/// A model that works on four requests at once, and stays for an hour unless a batch lets it go.
pub(crate) fn model(ttft: &str) -> Model {
    let flags = ["--load-weights-delay", "300ms", "--tokens", "5", "--ttft", ttft];
    Model::mock("demo", &flags).line("idle_timeout = \"1h\"").line("target_concurrency = 4")
}

/// The partitions of jobs that the workers have touched.
fn of_jobs(calls: Calls) -> Calls {
    calls.by(JOBS).that(|call| {
        let keys = &call.resource.leading_keys;
        keys.iter().any(|key| ["JOB", "READY", "RUNNING"].iter().any(|of| key.starts_with(of)))
    })
}

/// From a model that sleeps to the results; then the instance is gone, and nothing looks any more.
#[tokio::test]
async fn a_batch_wakes_its_model_is_answered_and_leaves_nothing_running() {
    let Some(stack) = Stack::with(brisk()).await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &model("0s")).await;
    let client = stack.client(&[Scope::Inference]).await;
    let input = upload(&client, &lines(40, "demo")).await;
    let batch = create(&client, &input).await;
    assert!(!stack.front.schedules().is_empty(), "a lost invocation would be made up for");
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": 40, "completed": 40, "failed": 0}));
    let output = content(&client, &done["output_file_id"]).await;
    let expected: Vec<_> = (1..=40).map(|number| format!("r{number}")).collect();
    assert_eq!(custom_ids(&output), expected, "in the order of the input");
    assert!(output.iter().all(|line| line["response"]["status_code"] == 200), "{output:?}");
    eventually("the instance is gone", async || {
        let alive = stack.alive().await;
        if alive.is_empty() { Ok(()) } else { Err((alive, admin.state("demo").await)) }
    })
    .await;

    // A look that was arranged while there was something finds nothing, and arranges none.
    looks_come_to(&stack, 0).await;
    let (invocations, read) = (stack.host.invocations(JOBS), of_jobs(stack.front.calls()).count());
    for _ in 0..3 {
        stack.tick().await.expect("a reconcile");
    }
    stack.host.wait_idle().await;
    let after = (stack.host.invocations(JOBS), of_jobs(stack.front.calls()).count());
    assert_eq!(after, (invocations, read), "nothing is read where nothing is due");
}

/// Killed in the middle of a line, a worker is missed within minutes, and another one goes on.
#[tokio::test]
async fn another_worker_goes_on_where_one_was_killed() {
    let Some(stack) = Stack::with(brisk()).await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &model("1s")).await;
    let client = stack.client(&[Scope::Inference]).await;
    let batch = create(&client, &upload(&client, &lines(24, "demo")).await).await;
    let path = format!("/v1/batches/{batch}");
    eventually("some answers", async || {
        let batch = client.get(&path).await.json();
        let completed = batch["request_counts"]["completed"].as_u64();
        if completed >= Some(8) { Ok(()) } else { Err(batch) }
    })
    .await;
    stack.host.kill(JOBS);
    // Its lease lasts for a minute, longer than tests wait. A schedule's time comes at once here.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stack.run_schedules();
        if client.get(&path).await.json()["status"] == "completed" {
            break;
        }
    }
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": 24, "completed": 24, "failed": 0}));
    let output = content(&client, &done["output_file_id"]).await;
    let expected: Vec<_> = (1..=24).map(|number| format!("r{number}")).collect();
    assert_eq!(custom_ids(&output), expected, "each line once");
    let usage = admin.get("/api/v1/usage?by=key").await.json();
    let asked = usage["data"].as_array().unwrap().iter().filter_map(|one| one["requests"].as_u64());
    // Those that were under way when it was killed.
    assert!(asked.max() <= Some(24 + 4), "{usage}");
    eventually("the instance is gone", async || {
        let alive = stack.alive().await;
        if alive.is_empty() { Ok(()) } else { Err(alive) }
    })
    .await;
}

#[tokio::test]
async fn files_are_read_from_where_they_are() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.client(&[Scope::Inference]).await;
    let file = upload(&client, "one\ntwo\n").await;
    let answer = client.get(&format!("/v1/files/{file}/content")).await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let there = client.elsewhere(answer.header("location").unwrap()).await;
    assert_eq!(there.text(), "one\ntwo\n");
    let disposition = there.header("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=\"secret.wav\""));
    let other = client.get("/v1/files/file-0/content").await;
    assert_eq!(other.refusal(), (404, "file_not_found".into()));

    // What no event carries comes in parts.
    let large: Vec<u8> = (0..=255u8).cycle().take((9 << 20) + 17).collect();
    let form = client.form("/v1/files", &[("purpose", "user_data")], ("file", &large));
    let refused = client.send(form).await;
    assert_eq!(refused.refusal(), (413, "body_too_large".into()));
    assert!(refused.text().contains("/v1/uploads"), "{}", refused.text());
    let upload = upload_in_parts(&client, &large, 4 << 20).await;
    assert_eq!(upload["file"]["bytes"], large.len());
    let file = upload["file"]["id"].as_str().unwrap().to_owned();
    assert!(download(&client, &file).await.body == large, "the same bytes");
    assert_eq!(client.delete(&format!("/v1/files/{file}")).await.status, 200);
    let gone = client.get(&format!("/v1/files/{file}/content")).await;
    assert_eq!(gone.refusal(), (404, "file_not_found".into()));
}

async fn upload_in_parts(client: &Client, content: &[u8], size: usize) -> Value {
    let create = json!({
        "purpose": "user_data", "filename": "big", "bytes": content.len(),
        "mime_type": "application/octet-stream",
    });
    let upload = client.post("/v1/uploads", &create).await.json();
    let path = format!("/v1/uploads/{}", upload["id"].as_str().unwrap());
    let mut parts = Vec::new();
    for piece in content.chunks(size) {
        let part = client.send(client.form(&format!("{path}/parts"), &[], ("data", piece))).await;
        assert_eq!(part.status, 200, "{}", part.text());
        parts.push(part.json()["id"].clone());
    }
    let body = json!({"part_ids": parts});
    let done = client.post(&format!("{path}/complete"), &body).await;
    assert_eq!(done.status, 200, "{}", done.text());
    done.json()
}

/// An operator's commands send a large file in parts, and read the results from where they are.
#[tokio::test]
async fn the_commands_send_large_files_and_follow_to_the_results() {
    let Some(stack) = Stack::with(brisk()).await else { return };
    stack.apply(&stack.admin().await, &model("0s")).await;
    let operator = Operator::of(&stack).await;
    let text = "long-".repeat(30_000);
    let input: String = (1..=40)
        .map(|number| {
            line(&format!("r{number}"), "demo")
                .replace("\"user\"", &format!("\"user\",\"name\":\"{text}\""))
                + "\n"
        })
        .collect();
    assert!(input.len() > 5_000_000, "more than an event carries");
    std::fs::write(operator.home().join("input.jsonl"), input).unwrap();
    let done = operator.json(&["batch", "create", "input.jsonl", "--wait"]).await;
    assert_eq!(done["request_counts"]["completed"], 40, "{done}");
    let results = operator.text(&["batch", "results", done["id"].as_str().unwrap()]).await;
    assert_eq!(results.lines().count(), 40);
}

/// What waits is shown, held back and ended.
#[tokio::test]
async fn jobs_and_queues_are_shown_and_changed() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    let client = stack.client(&[Scope::Inference]).await;
    let set = async |paused: bool| {
        let request = admin.request(Method::PATCH, "/api/v1/queues/batch");
        let answer = admin.send(request.json(&json!({"paused": paused}))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    set(true).await;
    let batch = create(&client, &upload(&client, &lines(3, "demo")).await).await;
    stack.host.wait_idle().await;
    let jobs = admin.get("/api/v1/jobs?queue=batch").await.json();
    assert_eq!(
        (&jobs["data"][0]["status"], &jobs["data"][0]["kind"]),
        (&json!("available"), &json!("batch"))
    );
    let queues = admin.get("/api/v1/queues").await.json();
    assert_eq!(queues["data"][0]["available"], 1, "{queues}");
    let cancelled = client.post(&format!("/v1/batches/{batch}/cancel"), &json!({})).await;
    assert_eq!(cancelled.json()["status"], "cancelling", "{}", cancelled.text());
    set(false).await;
    let done = until(&client, &batch, "cancelled").await;
    assert_eq!(done["request_counts"]["completed"], 0);
    let audit = admin.get("/api/v1/audit").await.json();
    let actions: BTreeSet<_> =
        audit["data"].as_array().unwrap().iter().filter_map(|one| one["action"].as_str()).collect();
    for action in ["batch.create", "batch.cancel", "queue.pause", "queue.resume"] {
        assert!(actions.contains(action), "{action} in {actions:?}");
    }
}
