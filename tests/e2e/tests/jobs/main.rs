//! Jobs other than batches: requests, programs, and workers elsewhere.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

mod command;
mod http;
mod refused;
mod schedules;
mod webhooks;
mod workers;

use diogenes_e2e::{Client, Config, Serve, eventually};
use serde_json::{Value, json};

/// A `serve` with this `[jobs]`, and an admin's client.
async fn serve(jobs: &str) -> (Serve, Client) {
    let serve = Serve::start(Config::with([]).tables(jobs)).await;
    let client = serve.client();
    (serve, client)
}

/// Creates a job; returns its id.
async fn create(client: &Client, body: &Value) -> String {
    let answer = client.post("/api/v1/jobs", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn show(client: &Client, job: &str) -> Value {
    client.get(&format!("/api/v1/jobs/{job}")).await.json()
}

/// Waits until a job has this status.
async fn until(client: &Client, job: &str, status: &str) -> Value {
    eventually(&format!("the job {status}"), async || {
        let job = show(client, job).await;
        if job["status"] == status { Ok(job) } else { Err(job) }
    })
    .await
}

/// The lines of a job's log.
async fn log(client: &Client, job: &str) -> Vec<String> {
    let page = client.get(&format!("/api/v1/jobs/{job}/logs")).await.json();
    let parts = page["data"].as_array().unwrap().iter();
    parts
        .flat_map(|part| part["lines"].as_array().unwrap())
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// A job that runs a command.
fn command(name: &str, arguments: &[&str]) -> Value {
    json!({"kind": "command", "arguments": {"command": name, "arguments": arguments}})
}
