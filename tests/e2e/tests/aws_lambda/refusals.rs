use std::time::Duration;

use diogenes_e2e::Answer;
use diogenes_e2e::aws::lambda::{Overrides, Throttle};
use reqwest::Method;
use serde_json::json;

use crate::fixture::{Fixture, TEMPLATE};

/// Status, AWS's name of the error, and the body.
fn seen(answer: &Answer) -> (u16, String, String) {
    let kind = answer.header("x-amzn-errortype").unwrap_or_default().to_owned();
    (answer.status.as_u16(), kind, answer.text())
}

fn expected(status: u16, kind: &str, body: &str) -> (u16, String, String) {
    (status, kind.into(), body.into())
}

/// The template without its own gateway responses.
fn plain_template() -> String {
    let (head, rest) = TEMPLATE.split_once("      GatewayResponses:").unwrap();
    let (_, rest) = rest.split_once("  StreamFunction:").unwrap();
    format!("{head}  StreamFunction:{rest}")
}

#[tokio::test]
async fn what_is_no_route_looks_as_it_does_on_aws() {
    let api = Fixture::with(&plain_template(), Overrides::default());
    for (method, path) in [(Method::GET, "/nowhere"), (Method::GET, "/plain/x"), (Method::GET, "")]
    {
        let request = api.request(method, path);
        assert_eq!(
            seen(&api.send(request).await),
            expected(
                403,
                "MissingAuthenticationTokenException",
                r#"{"message":"Missing Authentication Token"}"#
            ),
            "{path}"
        );
    }
    let answer = api.with_token("allow").get("/nowhere").await;
    assert_eq!(seen(&answer).1, "IncompleteSignatureException");
    let beside = reqwest::get(format!("{}/other/open", api.gateway.origin())).await.unwrap();
    assert_eq!(beside.status(), 403);
    assert_eq!(beside.text().await.unwrap(), r#"{"message":"Forbidden"}"#);
}

#[tokio::test]
async fn a_type_without_a_response_of_its_own_has_the_default_one() {
    let api = Fixture::start();
    let answer = api.send(api.request(Method::GET, "/nowhere")).await;
    let body = r#"{"error":{"code":"invalid_request","message":"Missing Authentication Token"}}"#;
    assert_eq!(seen(&answer), expected(403, "MissingAuthenticationTokenException", body));
    // There is none for 5xx.
    let answer = api.plain(&json!({"do": "error"})).await;
    let body = r#"{"message":"Internal server error"}"#;
    assert_eq!(seen(&answer), expected(502, "InternalServerErrorException", body));
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused() {
    let api = Fixture::with(&plain_template(), Overrides::default());
    let mebibyte = 1024 * 1024;
    let send = |bytes: usize| api.send(api.request(Method::POST, "/open").body(vec![b'x'; bytes]));
    let answer = send(5 * mebibyte).await;
    assert_eq!(answer.json()["length"], 5 * mebibyte);
    // More than Lambda takes, and more than API Gateway takes.
    for bytes in [6 * mebibyte, 10 * mebibyte, 10 * mebibyte + 1, 20 * mebibyte] {
        let refusal =
            expected(413, "RequestTooLargeException", r#"{"message":"Request Too Long"}"#);
        assert_eq!(seen(&send(bytes).await), refusal, "{bytes}");
    }
    assert_eq!(api.host.invocations("StreamFunction"), 1);
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_a_gateway_timeout() {
    let api = Fixture::start();
    api.gateway.limit_integrations(Duration::from_millis(300));
    let answer = api.plain(&json!({"do": "hang"})).await;
    let body = r#"{"message":"Endpoint request timed out"}"#;
    assert_eq!(seen(&answer), expected(504, "InternalServerErrorException", body));
}

#[tokio::test]
async fn a_mock_answers_without_a_function() {
    let api = Fixture::start();
    let answer = api.send(api.request(Method::GET, "/mock")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (202, "fine\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let names = api.host.names();
    assert_eq!(names.iter().map(|name| api.host.invocations(name)).sum::<usize>(), 0);
}

#[tokio::test]
async fn too_many_requests_are_throttled() {
    let overrides =
        Overrides { throttle: Some(Throttle { rate: 0, burst: 2 }), ..Overrides::default() };
    let api = Fixture::with(TEMPLATE, overrides);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(api.send(api.request(Method::GET, "/hello")).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
    // Each route has a limit of its own.
    assert_eq!(api.send(api.request(Method::GET, "/mock")).await.status, 202);
    let answer = api.send(api.request(Method::GET, "/hello")).await;
    let body = r#"{"error":{"code":"throttled","message":"Too Many Requests"}}"#;
    assert_eq!(seen(&answer), expected(429, "TooManyRequestsException", body));
}

#[tokio::test]
async fn an_invocation_that_lambda_refuses_is_an_integration_failure() {
    let own = "      GatewayResponses:\n        INTEGRATION_FAILURE:\n          StatusCode: 503\n";
    let template = TEMPLATE.replace("      GatewayResponses:\n", own);
    let api = Fixture::changed(&template, Overrides::default(), |mut function| {
        function.reserved_concurrency = Some(0);
        function
    });
    let answer = api.plain(&json!({})).await;
    assert_eq!(answer.status, 503);
    assert_eq!(api.gateway.problems(), ["the reserved concurrency is used up"]);
    // So is a question that the authorizer never gets.
    let answer = api.with_token("allow").get("/stream/x").await;
    assert_eq!(
        (answer.status.as_u16(), seen(&answer).1.as_str()),
        (500, "AuthorizerFailureException")
    );
}
