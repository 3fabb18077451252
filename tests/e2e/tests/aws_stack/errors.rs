//! What callers are told of requests that no function has answered, and what needs no key.

use std::collections::BTreeSet;

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::lambda::{Overrides, Throttle};
use diogenes_e2e::aws::stack::{Stack, StackSettings};
use diogenes_e2e::{Answer, Client, Model};
use serde_json::json;

const ROUTER: &str = "RouterFunction";
const AUTHORIZER: &str = "AuthorizerFunction";
const KEYS: &str = "KeysFunction";

/// Sends a request such as `GET /v1/models` with this `Authorization`, or without any.
async fn ask(stack: &Stack, line: &str, authorization: Option<&str>) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let anonymous = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{path}", stack.gateway.base_url());
    let mut request = anonymous.request(method.parse().unwrap(), url);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    Client::new(&stack.gateway.base_url(), "none").send(request).await
}

/// Checks that an answer is an error as OpenAI's clients read it; its status, code and type.
fn error_of(answer: &Answer, what: &str) -> (u16, String, String) {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    let body = answer.json();
    assert!(body["error"].is_object(), "{what}: {body}");
    let error = body["error"].as_object().unwrap();
    let fields: BTreeSet<&str> = error.keys().map(String::as_str).collect();
    let expected = BTreeSet::from(["code", "message", "param", "type"]);
    assert_eq!(fields, expected, "{what}: {body}");
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    assert!(!text("message").is_empty(), "{what}: {body}");
    (answer.status.as_u16(), text("code"), text("type"))
}

fn error(status: u16, code: &str, kind: &str) -> (u16, String, String) {
    (status, code.to_owned(), kind.to_owned())
}

#[tokio::test]
async fn every_refusal_is_an_error_object_with_its_status() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    let good = format!("Bearer {}", stack.key(&Scope::ALL).await);
    let (id, revoked) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    assert!(admin.delete(&format!("/api/v1/keys/{id}")).await.status.is_success());
    let revoked = format!("Bearer {revoked}");

    let missing = || error(401, "missing_api_key", "authentication_error");
    let not_found = || error(404, "not_found", "invalid_request_error");
    let denied = |code: &str| error(401, code, "authentication_error");
    let functions =
        ["POST /v1/chat/completions", "GET /v1/models", "GET /api/v1/keys", "GET /api/v1/models"];
    let nowhere = ["GET /nowhere", "GET /v1", "POST /healthz", "PUT /api/v1/openapi.json"];
    for line in functions.iter().chain(&["GET /v1/nowhere", "DELETE /api/v1/nowhere"]) {
        // What is not a bearer token never reaches the authorizer.
        for none in [None, Some("Basic YTpi"), Some("Bearer "), Some("dg_x")] {
            let answer = ask(&stack, line, none).await;
            assert_eq!(error_of(&answer, line), missing(), "{line} {none:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{line}");
        }
    }
    assert_eq!(stack.host.invocations(AUTHORIZER), 1, "for the administrator");
    for line in functions {
        for (token, code) in [("Bearer dg_typo", "invalid_api_key"), (&revoked, "revoked_api_key")]
        {
            let answer = ask(&stack, line, Some(token)).await;
            assert_eq!(error_of(&answer, line), denied(code), "{line} {token}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{line}");
        }
    }
    for line in nowhere {
        for token in [None, Some("Bearer dg_typo"), Some(good.as_str())] {
            let answer = ask(&stack, line, token).await;
            assert_eq!(error_of(&answer, line), not_found(), "{line} {token:?}");
        }
    }
    for line in ["GET /v1/nowhere", "DELETE /api/v1/nowhere"] {
        let answer = ask(&stack, line, Some(&good)).await;
        assert_eq!(error_of(&answer, line), not_found(), "{line}");
    }
}

#[tokio::test]
async fn health_and_the_description_need_no_key() {
    let Some(stack) = Stack::start().await else { return };
    for token in [None, Some("Bearer dg_typo")] {
        for path in ["/healthz", "/health"] {
            let health = ask(&stack, &format!("GET {path}"), token).await;
            assert_eq!((health.status.as_u16(), health.text().as_str()), (200, "ok\n"), "{path}");
        }
        let described = ask(&stack, "GET /api/v1/openapi.json", token).await;
        assert_eq!(described.status, 200, "{}", described.text());
        assert!(described.json()["paths"]["/api/v1/models"].is_object());
    }
    assert_eq!(stack.host.invocations(AUTHORIZER), 0);
    assert_eq!(stack.host.invocations(ROUTER), 0, "API Gateway answers for it");
}

#[tokio::test]
async fn a_preflight_without_a_key_runs_no_function() {
    let Some(stack) = Stack::start().await else { return };
    for path in ["/v1/models", "/api/v1/keys", "/api/v1/keys/k", "/api/v1/models"] {
        let line = format!("OPTIONS {path}");
        let answer = ask(&stack, &line, None).await;
        let expected = error(401, "missing_api_key", "authentication_error");
        assert_eq!(error_of(&answer, &line), expected, "{line}");
    }
    for function in stack.host.names() {
        assert_eq!(stack.host.invocations(function), 0, "{function}");
    }
}

#[tokio::test]
async fn a_gateway_with_too_many_requests_says_when_to_come_back() {
    let throttle = Some(Throttle { rate: 0, burst: 1 });
    let overrides = Overrides { throttle, ..Overrides::default() };
    let Some(stack) = Stack::with(StackSettings::default().overrides(overrides)).await else {
        return;
    };
    // Each route has a limit of its own.
    assert_eq!(ask(&stack, "GET /healthz", None).await.status, 200);
    for line in ["GET /v1/models", "GET /api/v1/models"] {
        assert_eq!(ask(&stack, line, Some("Bearer dg_typo")).await.status, 401, "{line}");
    }
    for line in ["GET /healthz", "POST /v1/chat/completions", "GET /api/v1/models"] {
        let answer = ask(&stack, line, Some("Bearer dg_typo")).await;
        assert_eq!(error_of(&answer, line), error(429, "throttled", "rate_limit_error"));
        assert_eq!(answer.header("retry-after"), Some("1"), "{line}");
    }
}

#[tokio::test]
async fn a_function_that_lambda_does_not_run_is_a_bad_gateway() {
    let settings = StackSettings::default().concurrency(ROUTER, 0).concurrency(KEYS, 0);
    let Some(stack) = Stack::with(settings).await else { return };
    let good = format!("Bearer {}", stack.key(&Scope::ALL).await);
    for line in ["GET /v1/models", "GET /api/v1/keys"] {
        let answer = ask(&stack, line, Some(&good)).await;
        assert_eq!(error_of(&answer, line), error(502, "function_failed", "server_error"));
    }
    // Nothing is known of the key.
    let settings = StackSettings::default().concurrency(AUTHORIZER, 0);
    let Some(stack) = Stack::with(settings).await else { return };
    let answer = ask(&stack, "GET /v1/models", Some(&good)).await;
    let expected = error(503, "store_unavailable", "server_error");
    assert_eq!(error_of(&answer, "an authorizer that does not run"), expected);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_function_that_ends_in_the_middle_is_a_bad_gateway() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &Model::mock("demo", &["--never-healthy"])).await;
    let call = admin.chat("demo");
    let killed = async {
        let held = |calls: diogenes_e2e::aws::front::Calls| {
            calls.by(ROUTER).on_key("COUNTER#HELD#").count() > 0
        };
        stack.front.until("a held request", held).await;
        stack.host.kill(ROUTER);
    };
    let (answer, ()) = tokio::join!(call, killed);
    let expected = error(502, "internal_error", "server_error");
    assert_eq!(error_of(&answer, "a router that was killed"), expected);
    assert_eq!(admin.get("/v1/models").await.status, 200, "the next one is served");
}
