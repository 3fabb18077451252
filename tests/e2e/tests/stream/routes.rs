//! The other routes of `/v1`.

use diogenes_e2e::{Config, Model, Serve};
use serde_json::{Value, json};

fn mock() -> Model {
    Model::mock("demo", &["--tokens", "6"])
}

#[tokio::test]
async fn completions_are_passed_on_plain_and_streamed() {
    let (_serve, client) = Serve::ready(mock()).await;
    let plain = client.post("/v1/completions", &json!({"model": "demo", "prompt": "a"})).await;
    assert_eq!((plain.status.as_u16(), &plain.json()["object"]), (200, &"text_completion".into()));
    let body = json!({"model": "demo", "prompt": "a", "stream": true});
    let streamed = client.post("/v1/completions", &body).await;
    assert!(streamed.body.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn embeddings_are_passed_on() {
    let (_serve, client) = Serve::ready(mock()).await;
    let body = json!({"model": "demo", "input": ["a", "b"], "dimensions": 3});
    let answer = client.post("/v1/embeddings", &body).await.json();
    assert_eq!(answer["data"][1]["embedding"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn responses_are_passed_on_plain() {
    let (_serve, client) = Serve::ready(mock()).await;
    let answer = client.post("/v1/responses", &json!({"model": "demo", "input": "a"})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &"completed".into()));
}

#[tokio::test]
async fn streamed_responses_end_without_done_and_are_whole() {
    let (_serve, client) = Serve::ready(mock()).await;
    let body = json!({"model": "demo", "input": "a", "stream": true});
    let answer = client.post("/v1/responses", &body).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.starts_with("event: response.created\n"), "{text}");
    assert!(
        text.contains("event: response.completed\n") && !text.contains("\"upstream_cut\""),
        "{text}"
    );
    client.set_faults("demo", &json!({"cut_after": 3})).await;
    let text = String::from_utf8(client.post("/v1/responses", &body).await.body).unwrap();
    assert!(text.contains("\"upstream_cut\""), "{text}");
}

#[tokio::test]
async fn models_are_listed_with_their_aliases_whether_they_run_or_not() {
    let models = [
        Model::mock("org/team/model", &[]).line("aliases = [\"short\"]"),
        Model::mock("demo", &["--never-healthy"]),
    ];
    let serve = Serve::start(Config::with(models)).await;
    let client = serve.client();
    let list = client.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let names: Vec<&Value> =
        list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["demo", "org/team/model", "short"]);
    for name in ["demo", "org/team/model", "short", "org%2Fteam%2Fmodel"] {
        let model = client.get(&format!("/v1/models/{name}")).await;
        assert_eq!(model.status, 200, "{name}");
        assert_eq!(model.json()["id"], name.replace("%2F", "/"));
        assert_eq!(model.json()["object"], "model");
    }
    assert_eq!(client.get("/v1/models/org/team").await.code(), "model_not_found");
    // Asking for the list starts nothing.
    assert_eq!(client.state("demo").await["standing"], "asleep");
}
