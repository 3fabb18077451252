use diogenes_e2e::eventually;
use serde_json::json;

use super::{World, lines};

/// Killed in the middle of an import, the next server does all of it, once.
#[tokio::test]
async fn a_killed_server_imports_all_of_a_file_or_nothing() {
    const ROWS: u64 = 60_000;
    let World { mut serve, client } = World::with_golden().await;
    let lines = lines(ROWS, "question");
    let request =
        client.request(reqwest::Method::POST, "/api/v1/datasets/golden/files?filename=many.jsonl");
    let file = client.send(request.body(lines)).await.json();
    let body = json!({"file": file["id"]});
    let job = client.post("/api/v1/datasets/golden/import", &body).await.json();
    let id = job["id"].as_str().unwrap().to_owned();
    let mut client = client;
    for _ in 0..3 {
        serve = serve.crash_and_restart().await;
        client = client.at(serve.base_url());
        let dataset = client.get("/api/v1/datasets/golden").await.json();
        let count = dataset["examples"].as_u64().unwrap();
        assert!(count == 0 || count == ROWS, "{dataset}");
    }
    let result = eventually("the import", async || {
        let job = client.get(&format!("/api/v1/jobs/{id}")).await.json();
        if job["status"] == "completed" { Ok(job["result"].clone()) } else { Err(job) }
    })
    .await;
    assert_eq!((&result["imported"], &result["version"]), (&json!(ROWS), &json!(2)));
    let dataset = client.get("/api/v1/datasets/golden").await.json();
    assert_eq!((&dataset["examples"], &dataset["version"]), (&json!(ROWS), &json!(2)));
    let page = client.get("/api/v1/datasets/golden/examples?limit=500&shuffle=true").await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 500);
}
