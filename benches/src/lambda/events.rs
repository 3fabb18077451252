use bytes::Bytes;
use serde_json::{Value, json};

/// The event of a TOKEN authorizer.
pub(crate) fn token(key: &str) -> Bytes {
    let event = json!({
        "type": "TOKEN",
        "authorizationToken": format!("Bearer {key}"),
        "methodArn": "arn:aws:execute-api:us-east-1:000000000000:bench00000/prod/GET/v1/models",
    });
    event.to_string().into()
}

/// What the schedule tells the orchestrator.
pub(crate) fn reconcile() -> Bytes {
    json!({"reconcile": "all"}).to_string().into()
}

/// What tells the workers to look at the queue of batches.
pub(crate) fn look() -> Bytes {
    json!({"work": {"queue": "batch"}}).to_string().into()
}

/// A request as a REST API hands it on, with all that an authorizer grants
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>).
pub(crate) fn request(method: &str, path: &str, body: Option<&Value>) -> Bytes {
    let headers = [
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("host", "bench00000.execute-api.us-east-1.amazonaws.com"),
        ("user-agent", "OpenAI/Python 2.8.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ];
    let single: Value = headers.iter().map(|(name, value)| (*name, *value)).collect();
    let multi: Value = headers.iter().map(|(name, value)| (*name, vec![*value])).collect();
    let event = json!({
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": single,
        "multiValueHeaders": multi,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "bench00000",
            "authorizer": {"principalId": "bench", "key_id": "bench", "scopes": "inference admin"},
            "domainName": "bench00000.execute-api.us-east-1.amazonaws.com",
            "httpMethod": method,
            "identity": {"sourceIp": "127.0.0.1", "userAgent": "OpenAI/Python 2.8.1"},
            "path": format!("/prod{path}"),
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTime": "01/Nov/2026:00:00:00 +0000",
            "requestTimeEpoch": 1_793_491_200_000_u64,
            "resourceId": "bench0",
            "resourcePath": path,
            "stage": "prod",
        },
        "body": body.map(Value::to_string),
        "isBase64Encoded": false,
    });
    event.to_string().into()
}

/// A streamed chat of so many tokens.
pub(crate) fn chat(model: &str, tokens: usize) -> Bytes {
    let body = json!({
        "model": model, "stream": true, "max_tokens": tokens, "ignore_eos": true,
        "messages": [{"role": "user", "content": "Hello!"}],
    });
    request("POST", "/v1/chat/completions", Some(&body))
}
