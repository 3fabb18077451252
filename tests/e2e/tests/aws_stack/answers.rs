//! What the functions themselves answer, before API Gateway changes it for the client.

use diogenes_e2e::aws::stack::Stack;
use diogenes_e2e::chat;
use serde_json::{Value, json};

use crate::{event, fast};

/// Status and headers of what a function has posted to Lambda for this event. A streamed answer
/// has them before eight zero bytes, any other is one JSON document with the body in it.
async fn posted(stack: &Stack, function: &str, event: &Value) -> Value {
    let answer = stack.host.invoke(function, event.to_string()).await.expect("an answer");
    let head = answer.split(|byte| *byte == 0).next().expect("there is always a first part");
    serde_json::from_slice(head).expect("JSON")
}

#[tokio::test]
async fn no_function_tells_the_length_of_its_answer() {
    let Some(stack) = Stack::start().await else { return };
    stack.apply(&stack.admin().await, &fast("demo")).await;
    let admin = json!({"key_id": "k", "scopes": "inference admin"});
    let completion = |model: &str, stream: bool| {
        event("POST", "/v1/chat/completions", Some(&chat(model, stream)), &admin)
    };
    let get = |path: &str| event("GET", path, None, &admin);
    // The runtime frames what is streamed by itself, and API Gateway what is not; both would pass
    // a length of ours on.
    for (function, event, status) in [
        ("RouterFunction", completion("demo", false), 200),
        ("RouterFunction", completion("demo", true), 200),
        ("RouterFunction", completion("nobody", false), 404),
        ("RouterFunction", get("/v1/models"), 200),
        ("RouterFunction", get("/healthz"), 200),
        ("KeysFunction", get("/api/v1/keys"), 200),
        ("PromptsFunction", get("/api/v1/prompts"), 200),
        ("DatasetsFunction", get("/api/v1/datasets"), 200),
        ("EvalFunction", get("/api/v1/evals"), 200),
        ("ClusterFunction", get("/api/v1/models"), 200),
    ] {
        let head = posted(&stack, function, &event).await;
        assert_eq!(head["statusCode"], status, "{}: {head}", event["path"]);
        let headers = ["headers", "multiValueHeaders"].map(|field| head[field].clone());
        let names: Vec<String> = headers
            .iter()
            .filter_map(Value::as_object)
            .flat_map(|headers| headers.keys().map(|name| name.to_lowercase()))
            .collect();
        assert!(names.contains(&"content-type".to_owned()), "{head}");
        assert!(!names.contains(&"content-length".to_owned()), "{}: {head}", event["path"]);
    }
}
