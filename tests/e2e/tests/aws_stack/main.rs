//! The whole system on an emulated AWS, from the caller's request to the instance and back.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails at once"
)]

use diogenes_e2e::aws::stack::Stack;
use diogenes_e2e::{Client, Model, eventually, ready};
use serde_json::{Value, json};

mod answers;
mod bad_input;
mod bad_input_store;
mod batches;
mod batches_calls;
mod batches_go_on;
mod calls;
mod cli;
mod cold;
mod crash;
mod datasets;
mod errors;
mod evals;
mod failures;
mod fleet;
mod forms;
mod gateway;
mod iam;
mod jobs;
mod jobs_calls;
mod keys;
mod limits;
mod prompts;

/// A model whose boot can be watched.
fn slow(name: &str) -> Model {
    let flags = ["--load-weights-delay", "300ms", "--compile-delay", "100ms", "--tokens", "5"];
    Model::mock(name, &flags)
}

/// A model that boots at once.
fn fast(name: &str) -> Model {
    Model::mock(name, &["--tokens", "5"])
}

/// Lets the schedule run until `demo` has a ready replica.
async fn until_ready(stack: &Stack, client: &Client) {
    stack
        .ticks_until("a ready replica", async || {
            let state = client.state("demo").await;
            if ready(&state).len() == 1 { Ok(()) } else { Err((state, stack.machine_logs())) }
        })
        .await;
}

/// Waits until a function has written this.
async fn logged(stack: &Stack, function: &str, text: &str) {
    eventually(&format!("`{text}` in the log of {function}"), async || {
        let log = stack.host.logs(function);
        if log.contains(text) { Ok(()) } else { Err(log) }
    })
    .await;
}

/// A request as API Gateway hands it to a function, with what the authorizer has said.
fn event(method: &str, path: &str, body: Option<&Value>, authorizer: &Value) -> Value {
    json!({
        "resource": "/{proxy+}", "path": path, "httpMethod": method,
        "headers": {"authorization": "Bearer anything", "content-type": "application/json"},
        "multiValueHeaders": {},
        "queryStringParameters": null, "multiValueQueryStringParameters": null,
        "pathParameters": null, "stageVariables": null,
        "requestContext": {
            "resourcePath": "/{proxy+}", "httpMethod": method, "path": format!("/prod{path}"),
            "accountId": "000000000000", "stage": "prod", "requestId": "r", "apiId": "a",
            "identity": {"sourceIp": "127.0.0.1"}, "authorizer": authorizer,
        },
        "body": body.map(Value::to_string), "isBase64Encoded": false,
    })
}
