//! Batches that outlast an invocation of their workers.

use std::time::Duration;

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::stack::{JOBS, Stack};
use diogenes_e2e::batch::{content, create, custom_ids, lines, until, upload};
use diogenes_e2e::{eventually, eventually_within};
use serde_json::json;

use crate::batches::{brisk, model};

/// How many invocations it takes at least.
const INVOCATIONS: usize = 20;

/// A deadline of three seconds: each invocation invokes the next, more often than Lambda would let it
/// unless the template said so.
#[tokio::test]
async fn a_batch_goes_on_through_many_invocations() {
    let Some(stack) = Stack::with(brisk().variable(JOBS, "DIOGENES_STINT", "3s")).await else {
        return;
    };
    let admin = stack.admin().await;
    stack.apply(&admin, &model("600ms")).await;
    let client = stack.client(&[Scope::Inference]).await;
    let count = INVOCATIONS * 20;
    let batch = create(&client, &upload(&client, &lines(count, "demo")).await).await;
    let path = format!("/v1/batches/{batch}");
    let mut completed = 0;
    let done = loop {
        // It may take longer than what tests wait for, as long as it gets on. What Lambda has lost is
        // made up for after two minutes.
        let done = eventually_within(Duration::from_mins(3), "more answers", async || {
            let batch = client.get(&path).await.json();
            let now = batch["request_counts"]["completed"].as_u64().unwrap_or(0);
            let is_on = now > completed || batch["status"] == "completed";
            if is_on { Ok(batch) } else { Err((batch, stack.host.logs(JOBS))) }
        })
        .await;
        completed = done["request_counts"]["completed"].as_u64().unwrap_or(0);
        if done["status"] == "completed" {
            break done;
        }
    };
    assert_eq!(done["request_counts"], json!({"total": count, "completed": count, "failed": 0}));
    let output = content(&client, &done["output_file_id"]).await;
    let expected: Vec<_> = (1..=count).map(|number| format!("r{number}")).collect();
    assert_eq!(custom_ids(&output), expected, "each line once");
    let invocations = stack.host.invocations(JOBS);
    assert!(invocations >= INVOCATIONS, "{invocations}");
    assert!(stack.host.dropped(JOBS).is_empty(), "none failed");
    let usage = admin.get("/api/v1/usage?by=key").await.json();
    let asked = usage["data"].as_array().unwrap().iter().filter_map(|one| one["requests"].as_u64());
    assert_eq!(asked.max(), Some(count as u64), "handlers come to a good place: {usage}");
}

/// A model whose answers take longer than an invocation works: after three that got nowhere the chain
/// ends, and another one is tried later.
#[tokio::test]
async fn a_batch_that_gets_nowhere_keeps_no_workers_busy() {
    let Some(stack) = Stack::with(brisk().variable(JOBS, "DIOGENES_STINT", "1s")).await else {
        return;
    };
    let admin = stack.admin().await;
    stack.apply(&admin, &model("10m")).await;
    let client = stack.client(&[Scope::Inference]).await;
    let batch = create(&client, &upload(&client, &lines(3, "demo")).await).await;
    until(&client, &batch, "in_progress").await;
    // Each ends 20 s after it was told to.
    let log = |wanted: &'static str| {
        let stack = &stack;
        async move {
            eventually(wanted, async || {
                let log = stack.host.logs(JOBS);
                if log.contains(wanted) { Ok(()) } else { Err(log) }
            })
            .await;
        }
    };
    log("\"fruitless\":1").await;
    log("\"fruitless\":2").await;
    let dropped = eventually("an event that was given up", async || {
        let dropped = stack.host.dropped(JOBS);
        if dropped.is_empty() { Err(stack.host.logs(JOBS)) } else { Ok(dropped) }
    })
    .await;
    let error = format!("{:?}", dropped[0].error);
    assert!(error.contains("got no further in 3 invocations"), "{error}");
    stack.host.wait_idle().await;
    let invocations = stack.host.invocations(JOBS);
    let next = stack.front.schedules().into_iter().map(|schedule| schedule.at).max();
    let quarter = Duration::from_mins(13);
    assert!(next > Some(jiff::Timestamp::now() + quarter), "{:?}", stack.front.schedules());
    assert_eq!(stack.host.invocations(JOBS), invocations, "none follows");
}
