//! What files, batches and looks at queues cost: their calls of AWS, counted.

use diogenes_e2e::aws::stack::{JOBS, Stack};
use diogenes_e2e::batch::{line, upload};
use http::Method;
use serde_json::{Value, json};

use crate::calls::Mark;

const BATCHES: &str = "BatchesFunction";

#[tokio::test]
async fn files_and_batches_cost_what_they_did() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    // The workers leave it alone.
    let paused = admin.request(Method::PATCH, "/api/v1/queues/batch");
    assert_eq!(admin.send(paused.json(&json!({"paused": true}))).await.status, 200);
    stack.host.wait_idle().await;
    let mark = Mark::new(&stack);
    let file = upload(&admin, &line("a", "demo")).await;
    let mut found = vec![format!("POST /v1/files: {}", mark.words(BATCHES).join(", "))];
    let new = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let mark = Mark::new(&stack);
    let batch = admin.post("/v1/batches", &new).await.json();
    found.push(format!("POST /v1/batches: {}", mark.words(BATCHES).join(", ")));
    stack.host.wait_idle().await;
    let id = |value: &Value| value.as_str().expect("an id").to_owned();
    let (job, batch) = (id(&batch["job_id"]), id(&batch["id"]));
    for (method, path) in [
        ("GET", "/v1/files".to_owned()),
        ("GET", format!("/v1/files/{file}")),
        ("GET", format!("/v1/files/{file}/content")),
        ("GET", "/v1/batches".into()),
        ("GET", format!("/v1/batches/{batch}")),
        ("GET", "/api/v1/jobs".into()),
        ("GET", format!("/api/v1/jobs/{job}")),
        ("GET", "/api/v1/queues".into()),
        ("POST", format!("/v1/batches/{batch}/cancel")),
        ("DELETE", format!("/v1/files/{file}")),
    ] {
        let mark = Mark::new(&stack);
        let answer = admin.send(admin.request(method.parse().expect("a method"), &path)).await;
        assert!(!answer.status.is_client_error(), "{method} {path}: {}", answer.text());
        let path = [&file, &job, &batch].iter().fold(path, |path, id| path.replace(*id, "ID"));
        found.push(format!("{method} {path}: {}", mark.words(BATCHES).join(", ")));
        stack.host.wait_idle().await;
    }
    insta::assert_snapshot!(found.join("\n"));
}

/// A look that finds nothing looks twice, as the index may lag, and arranges no other.
#[tokio::test]
async fn a_look_where_nothing_is_due_is_some_reads_and_no_write() {
    let Some(stack) = Stack::start().await else { return };
    let mark = Mark::new(&stack);
    let look = json!({"work": {"queue": "batch"}}).to_string();
    stack.host.invoke(JOBS, look).await.expect("a look");
    insta::assert_snapshot!(mark.words(JOBS).join("\n"));
    assert!(stack.front.schedules().is_empty());
}
