use std::path::Path;
use std::time::Duration;

use diogenes_e2e::aws::lambda::{Function, LambdaHost};
use diogenes_e2e::eventually;
use serde_json::{Value, json};

use crate::fixture::{open, program, stopped};

/// A function that counts in a file after it has answered.
async fn counting(freeze: bool, file: &Path) -> LambdaHost {
    let program = program("echo-function");
    let host = LambdaHost::start([Function { freeze, ..Function::new("counting", program) }]);
    invoke(&host, json!({"after": file})).await;
    host.wait_idle().await;
    host
}

/// Invokes it with a query.
async fn invoke(host: &LambdaHost, query: Value) {
    let event = json!({
        "httpMethod": "GET",
        "path": "/",
        "headers": {"host": "h"},
        "queryStringParameters": query,
        "requestContext": {"httpMethod": "GET"},
    });
    host.invoke("counting", event.to_string()).await.unwrap();
}

/// What is in the file; it may be empty while it is written.
fn count(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.parse().ok()
}

async fn counts_on(file: &Path) {
    let begin = count(file);
    eventually("more", async || {
        let now = count(file);
        if now.is_some() && now > begin { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test]
async fn a_process_is_frozen_between_invocations() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("count");
    let host = counting(true, &file).await;
    stopped(host.pids("counting")[0]).await;
    let before = std::fs::read(&file).ok();
    // Far longer than the function waits between two numbers.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(std::fs::read(&file).ok(), before);
    // What was left goes on with the next invocation, in the same process.
    let gate = folder.path().join("gate");
    let (other, held) = (host.clone(), gate.clone());
    let invocation = tokio::spawn(async move { invoke(&other, json!({"gate": held})).await });
    counts_on(&file).await;
    open(&gate);
    invocation.await.unwrap();
    assert_eq!(host.starts("counting"), 1);
}

#[tokio::test]
async fn freezing_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("count");
    let host = counting(false, &file).await;
    counts_on(&file).await;
    drop(host);
}
