use std::time::Duration;

use diogenes_e2e::eventually;
use reqwest::Method;
use serde_json::json;

use crate::fixture::{Fixture, open};

#[tokio::test]
async fn the_smallest_function_answers() {
    let api = Fixture::start();
    let answer = api.send(api.request(Method::GET, "/hello")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello\n"));
}

#[tokio::test]
async fn a_request_is_an_event_of_a_rest_api() {
    let api = Fixture::start();
    let request = api
        .request(Method::POST, "/plain/a%20b?x=1&x=2&y=%26+z")
        .header("authorization", "Bearer allow")
        .header("x-many", "1")
        .header("x-many", "2")
        .header("x-forwarded-for", "10.0.0.1")
        .body(r#"{"do":"request"}"#);
    let event = api.send(request).await.json();
    assert_eq!(event["resource"], "/plain/{name}");
    assert_eq!(event["path"], "/plain/a%20b");
    assert_eq!(event["httpMethod"], "POST");
    assert_eq!(event["pathParameters"], json!({"name": "a b"}));
    assert_eq!(event["queryStringParameters"], json!({"x": "2", "y": "& z"}));
    assert_eq!(event["multiValueQueryStringParameters"], json!({"x": ["1", "2"], "y": ["& z"]}));
    assert_eq!(event["stageVariables"], json!(null));
    assert_eq!(event["headers"]["x-many"], "2");
    assert_eq!(event["multiValueHeaders"]["x-many"], json!(["1", "2"]));
    assert_eq!(event["headers"]["authorization"], "Bearer allow");
    assert_eq!(event["headers"]["x-forwarded-for"], "10.0.0.1, 127.0.0.1");
    assert_eq!(event["headers"]["x-forwarded-proto"], "https");
    assert_eq!(event["headers"].get("content-length"), None);
    assert_eq!(event["body"], r#"{"do":"request"}"#);
    assert_eq!(event["isBase64Encoded"], false);
    let context = &event["requestContext"];
    assert_eq!(context["path"], "/prod/plain/a%20b");
    assert_eq!(context["resourcePath"], "/plain/{name}");
    assert_eq!(context["stage"], "prod");
    assert_eq!(context["httpMethod"], "POST");
    assert_eq!(context["identity"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["protocol"], "HTTP/1.1");
    assert_eq!(context["authorizer"]["principalId"], "someone");
    assert!(context["requestId"].as_str().is_some_and(|id| id.len() == 36), "{context}");
    assert!(context["requestTimeEpoch"].is_i64());
}

#[tokio::test]
async fn lambda_http_reads_the_event() {
    let api = Fixture::start();
    let request = api
        .request(Method::PUT, "/stream/a%20b/c?x=1&y=%26")
        .header("authorization", "Bearer allow")
        .body("a body");
    let echo = api.send(request).await.json();
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["path"], "/stream/a%20b/c");
    assert!(echo["query"].as_str().is_some_and(|query| query.contains("x=1")), "{echo}");
    assert_eq!(echo["body"], "a body");
    assert_eq!(echo["environment"]["TABLE"], "the-table");
    assert_eq!(echo["environment"]["PEER"], "PlainFunction@us-east-1");
    assert_eq!(echo["environment"]["ZONES"], "a+b");
    assert_eq!(echo["environment"]["LEVEL"], "info");
}

#[tokio::test]
async fn an_answer_has_its_status_and_headers() {
    let api = Fixture::start();
    let answer = api
        .plain(&json!({
            "statusCode": 201,
            "headers": {"X-One": "1", "Date": "never", "Retry-After": "5"},
            "multiValueHeaders": {"X-Many": ["1", "2"], "X-One": ["3"]},
            "body": "text",
        }))
        .await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (201, "text"));
    assert_eq!(answer.headers.get_all("x-many").iter().count(), 2);
    assert_eq!(answer.header("x-one"), Some("3"));
    assert_eq!(answer.header("x-amzn-remapped-date"), Some("never"));
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-length"), Some("4"));
}

#[tokio::test]
async fn binary_bodies_are_base64_if_the_api_says_so() {
    let api = Fixture::start();
    let png = |request: reqwest::RequestBuilder| request.header("accept", "image/png,*/*");
    let what = json!({"body": "AAH/", "isBase64Encoded": true});
    let request = || api.request(Method::POST, "/open-plain").body(what.to_string());
    assert_eq!(api.send(png(request())).await.body, [0, 1, 255]);
    assert_eq!(api.send(request().header("accept", "text/plain")).await.text(), "AAH/");
    // A request of that type reaches the function as it came.
    let request = api
        .request(Method::POST, "/open")
        .header("content-type", "image/png; q=1")
        .body(vec![0, 1, 255]);
    assert_eq!(api.send(request).await.json()["length"], 5, "two bytes and U+FFFD in UTF-8");
}

#[tokio::test]
async fn malformed_answers_are_bad_gateways() {
    let api = Fixture::start();
    for what in [
        json!({"status": 200}),
        json!({"statusCode": "two hundred"}),
        json!({"statusCode": 200, "headers": {"x": 1}}),
        json!({"statusCode": 200, "body": {"a": 1}}),
        json!({"statusCode": 200, "headers": ["x"]}),
        json!({"statusCode": 200, "isBase64Encoded": "yes"}),
        json!("text"),
        json!({"do": "error"}),
        json!({"do": "crash", "code": 1}),
    ] {
        assert_eq!(api.plain(&what).await.status, 502, "{what}");
    }
    assert_eq!(api.gateway.problems().len(), 9);
}

#[tokio::test]
async fn the_function_goes_on_when_the_gateway_waits_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let api = Fixture::start();
    api.gateway.limit_integrations(Duration::from_millis(300));
    let answer = api.plain(&json!({"do": "wait", "gate": gate})).await;
    assert_eq!(answer.status, 504);
    eventually("the process", async || {
        if api.host.pids("PlainFunction").len() == 1 { Ok(()) } else { Err(()) }
    })
    .await;
    open(&gate);
    api.host.wait_idle().await;
    assert_eq!(api.host.pids("PlainFunction").len(), 1);
}
