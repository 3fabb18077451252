use std::time::Duration;

use diogenes_e2e::aws::lambda::Overrides;
use diogenes_e2e::eventually;
use reqwest::Method;

use crate::fixture::{Fixture, TEMPLATE};

/// How often the authorizer was asked.
fn asked(api: &Fixture) -> usize {
    api.host.invocations("AuthorizerFunction")
}

async fn status(api: &Fixture, token: &str) -> u16 {
    api.with_token(token).get("/stream/x").await.status.as_u16()
}

#[tokio::test]
async fn without_a_token_of_the_right_form_nobody_is_asked() {
    let api = Fixture::start();
    let request = || api.request(Method::GET, "/stream/x");
    for request in [
        request(),
        request().header("authorization", ""),
        request().header("authorization", "Basic abc"),
        request().header("authorization", "bearer abc"),
        request().header("authorization", "Bearer "),
        request().header("x-api-key", "Bearer allow"),
    ] {
        let answer = api.send(request).await;
        assert_eq!(answer.refusal(), (401, "missing_api_key".into()));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.json()["id"].as_str(), answer.header("x-amzn-requestid"));
    }
    assert_eq!(asked(&api), 0);
}

#[tokio::test]
async fn what_an_authorizer_says_reaches_the_function_as_text() {
    let api = Fixture::start();
    let echo = api.with_token("allow").get("/stream/x").await.json();
    let context = &echo["context"]["authorizer"];
    assert_eq!(context["key_id"], "k1");
    assert_eq!(context["count"], "3");
    assert_eq!(context["admin"], "true");
    assert_eq!(context["principalId"], "someone");
}

#[tokio::test]
async fn a_denial_is_a_gateway_response_with_its_context() {
    let api = Fixture::start();
    let answer = api.with_token("deny").get("/stream/x").await;
    assert_eq!(answer.refusal(), (401, "expired_api_key".into()));
    assert_eq!(answer.json()["error"]["message"], "the key has expired");
    assert_eq!(answer.header("x-amzn-errortype"), Some("AccessDeniedException"));
    // What the authorizer has not said is empty.
    let answer = api.with_token("elsewhere").get("/stream/x").await;
    assert_eq!(answer.refusal(), (401, String::new()));
    assert_eq!(api.host.invocations("StreamFunction"), 0);
}

#[tokio::test]
async fn an_authorizer_that_fails_or_talks_nonsense_is_an_error_of_ours() {
    let api = Fixture::start();
    for token in ["garbage", "nested", "error", "crash"] {
        let answer = api.with_token(token).get("/stream/x").await;
        assert_eq!(answer.status, 500, "{token}");
        let kind = answer.header("x-amzn-errortype");
        assert_eq!(kind, Some("AuthorizerConfigurationException"), "{token}");
        assert_eq!(answer.text(), r#"{"message":null}"#);
    }
    assert_eq!(api.gateway.problems().len(), 4);
    // Failures are not kept.
    assert_eq!(status(&api, "garbage").await, 500);
    assert_eq!(asked(&api), 5);
}

#[tokio::test]
async fn an_authorizer_may_refuse_by_its_error() {
    let api = Fixture::start();
    let answer = api.with_token("unauthorized").get("/stream/x").await;
    assert_eq!(answer.refusal(), (401, "missing_api_key".into()));
}

#[tokio::test]
async fn answers_are_kept_by_token_and_hold_for_every_method() {
    let api = Fixture::start();
    for _ in 0..3 {
        assert_eq!(status(&api, "allow").await, 200);
        assert_eq!(status(&api, "deny").await, 401);
    }
    assert_eq!(asked(&api), 2);
    let plain = api.with_token("allow").post("/plain/x", &serde_json::json!({})).await;
    assert_eq!((plain.status.as_u16(), asked(&api)), (200, 2));
    // A policy for one method only is kept for the others too.
    assert_eq!(status(&api, "allow-this").await, 200);
    let other = api.with_token("allow-this").get("/stream/y").await;
    assert_eq!((other.status.as_u16(), asked(&api)), (401, 3));
}

#[tokio::test]
async fn answers_expire() {
    let overrides =
        Overrides { authorizer_ttl: Some(Duration::from_millis(100)), ..Overrides::default() };
    let api = Fixture::with(TEMPLATE, overrides);
    assert_eq!(status(&api, "allow").await, 200);
    eventually("another question", async || {
        assert_eq!(status(&api, "allow").await, 200);
        if asked(&api) > 1 { Ok(()) } else { Err(asked(&api)) }
    })
    .await;
    let api = Fixture::start();
    assert_eq!(status(&api, "allow").await, 200);
    api.gateway.forget_authorizations();
    assert_eq!(status(&api, "allow").await, 200);
    assert_eq!(asked(&api), 2);
}

#[tokio::test]
async fn a_preflight_and_open_routes_need_no_token() {
    let api = Fixture::start();
    let preflight = api.send(api.request(Method::OPTIONS, "/stream/x")).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.json()["context"].get("authorizer"), None);
    assert_eq!(api.send(api.request(Method::GET, "/open")).await.status, 200);
    assert_eq!(asked(&api), 0);
}
