//! What tests of batches do, as OpenAI's clients do it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::wait::eventually;

/// An inference key.
pub async fn caller(admin: &Client) -> Client {
    let key = json!({"email": "batch@example.com", "scopes": ["inference"]});
    let (_, key) = admin.create_key(&key).await;
    Client::new(admin.base_url(), &key)
}

/// A line of an input file for chats.
pub fn line(id: &str, model: &str) -> String {
    let body = json!({
        "model": model, "max_tokens": 4, "messages": [{"role": "user", "content": id}],
    });
    json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body})
        .to_string()
}

/// An input file with so many lines.
pub fn lines(count: usize, model: &str) -> String {
    (1..=count).map(|number| line(&format!("r{number}"), model) + "\n").collect()
}

/// Uploads a file for a batch; returns its id.
pub async fn upload(client: &Client, content: &str) -> String {
    let form = client.form("/v1/files", &[("purpose", "batch")], ("file", content.as_bytes()));
    let answer = client.send(form).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Creates a batch of chats; returns its id.
pub async fn create(client: &Client, file: &str) -> String {
    let body = json!({
        "input_file_id": file,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"name": "nightly"},
    });
    let answer = client.post("/v1/batches", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Waits until a batch is in this state.
pub async fn until(client: &Client, batch: &str, status: &str) -> Value {
    eventually(&format!("the batch {status}"), async || {
        let batch = client.get(&format!("/v1/batches/{batch}")).await.json();
        if batch["status"] == status { Ok(batch) } else { Err(batch) }
    })
    .await
}

/// The content of a file, from where it is.
pub async fn download(client: &Client, file: &str) -> Answer {
    let answer = client.get(&format!("/v1/files/{file}/content")).await;
    if answer.status == StatusCode::FOUND {
        client.elsewhere(answer.header("location").expect("a place")).await
    } else {
        answer
    }
}

/// The lines of a file.
pub async fn content(client: &Client, file: &Value) -> Vec<Value> {
    let answer = download(client, file.as_str().unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The custom ids of the lines of a file, in their order.
pub fn custom_ids(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| line["custom_id"].as_str().unwrap().to_owned()).collect()
}
