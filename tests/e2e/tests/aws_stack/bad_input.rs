//! Events, tokens and environments that make no sense: each is refused with what is wrong with
//! it, and the function goes on.

use diogenes_core::keys::Scope;
use diogenes_e2e::Client;
use diogenes_e2e::aws::stack::{ORCHESTRATOR, Stack, StackSettings};
use serde_json::{Value, json};

use crate::{event, logged};

const ROUTER: &str = "RouterFunction";
const AUTHORIZER: &str = "AuthorizerFunction";
const KEYS: &str = "KeysFunction";
const CLUSTER: &str = "ClusterFunction";

#[tokio::test]
async fn the_orchestrator_refuses_what_is_no_event_of_its_own() {
    let Some(stack) = Stack::start().await else { return };
    for event in [
        "",
        "no JSON",
        "{}",
        "null",
        "[]",
        "7",
        r#""all""#,
        r#"{"reconcile": "some"}"#,
        r#"{"reconcile": {"model": ""}}"#,
        r#"{"reconcile": {"model": 7}}"#,
        r#"{"source": "aws.s3", "detail": {}}"#,
    ] {
        let ran = stack.host.invoke(ORCHESTRATOR, event).await;
        assert!(ran.is_err(), "{event}: {ran:?}");
    }
    logged(&stack, ORCHESTRATOR, "unknown event").await;
    // The event is shown.
    logged(&stack, ORCHESTRATOR, "aws.s3").await;
    assert_eq!(stack.front.calls().by(ORCHESTRATOR).count(), 0);
    // A model that does not exist cannot be launched, and that is nobody's fault.
    stack.host.invoke(ORCHESTRATOR, r#"{"reconcile": {"model": "nobody"}}"#).await.expect("done");
    stack.tick().await.expect("it goes on");
    assert!(stack.instances().await.is_empty());
}

#[tokio::test]
async fn the_functions_of_the_api_refuse_what_is_no_request() {
    let Some(stack) = Stack::start().await else { return };
    for function in [ROUTER, KEYS, CLUSTER] {
        for event in ["", "no JSON", "{}", "null", "[]", r#"{"httpMethod": 7}"#] {
            let answer = stack.host.invoke(function, event).await;
            assert!(answer.is_err(), "{function} {event}: {answer:?}");
        }
        logged(&stack, function, "ERROR").await;
    }
    assert_eq!(stack.front.calls().by(ROUTER).count(), 0);
    let admin = stack.admin().await;
    for path in ["/v1/models", "/api/v1/keys", "/api/v1/models"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_request_without_the_authorizers_word_is_refused() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    let event = |context| event("GET", "/v1/models", None, &context).to_string();
    assert_eq!(admin.get("/v1/models").await.status, 200);
    for context in [
        Value::Null,
        json!({}),
        json!({"key_id": "k"}),
        json!({"key_id": "k", "scopes": "inference", "models": "["}),
        json!({"key_id": "k", "scopes": "inference", "limits": "7"}),
        json!({"key_id": 7, "scopes": ["inference"]}),
    ] {
        let answer = stack.host.invoke(ROUTER, event(context.clone())).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("{\"statusCode\":401"), "{context}: {answer}");
        assert!(answer.contains("\"type\":\"authentication_error\""), "{context}: {answer}");
    }
    // A scope of a later version grants nothing here.
    let unknown = json!({"key_id": "k", "scopes": "root"});
    let answer = stack.host.invoke(ROUTER, event(unknown)).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("{\"statusCode\":403"), "{answer}");
    assert!(answer.contains("\"insufficient_scope\""), "{answer}");
    let good = json!({"key_id": "k", "scopes": "inference"});
    let answer = stack.host.invoke(ROUTER, event(good)).await.expect("an answer");
    assert!(String::from_utf8_lossy(&answer).starts_with("{\"statusCode\":200"), "{answer:?}");
}

#[tokio::test]
async fn garbage_for_a_key_is_refused_without_a_look_into_the_table() {
    let Some(stack) = Stack::start().await else { return };
    let arn = "arn:aws:execute-api:us-east-1:000000000000:api/prod/GET/v1/models";
    let long = format!("Bearer dg_{}", "A".repeat(7000));
    let quotes = "Bearer \"},{\"code\":\"x\\\\\u{0}\n\r\t";
    for token in [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Basic YTpi",
        "Bearer dg_",
        "Bearer dg_\u{e9}\u{1f511}",
        "Bearer null",
        "dg_x",
        &long,
        quotes,
        "Bearer ../../KEY#",
        "Bearer dg_00000000000000000000000000000000000000000000000000",
    ] {
        let event = json!({"type": "TOKEN", "authorizationToken": token, "methodArn": arn});
        let answer = stack.host.invoke(AUTHORIZER, event.to_string()).await.expect("a policy");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let statement = &answer["policyDocument"]["Statement"][0];
        assert_eq!(statement["Effect"], "Deny", "{token}: {answer}");
        let message = answer["context"]["message"].as_str().expect("a message");
        // It stands between quotes in a template of the gateway that escapes nothing.
        let breaks = |char: char| char.is_control() || ['"', '\\'].contains(&char);
        assert!(!message.is_empty() && !message.contains(breaks), "{token}: {message}");
        assert_eq!(answer["context"]["code"], "invalid_api_key", "{token}");
    }
    for event in [
        json!({}),
        json!([]),
        json!({"authorizationToken": 7, "methodArn": arn}),
        json!({"authorizationToken": "Bearer x"}),
    ] {
        let answer = stack.host.invoke(AUTHORIZER, event.to_string()).await.expect("a policy");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["policyDocument"]["Statement"][0]["Effect"], "Deny", "{event}");
    }
    logged(&stack, AUTHORIZER, "the event is not a TOKEN event").await;
    assert_eq!(stack.front.calls().by(AUTHORIZER).count(), 0);
    for key in
        ["x", "dg_", "\"\\", "a b c", "dg_00000000000000000000000000000000000000000000000000"]
    {
        let answer = Client::new(&stack.gateway.base_url(), key).get("/v1/models").await;
        assert_eq!(answer.refusal(), (401, "invalid_api_key".into()), "{key}: {}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "authentication_error", "{key}");
    }
    assert!(!stack.host.logs(AUTHORIZER).contains("AAAAAAAA"), "no key in a log");
}

/// What each function needs, beside the table.
const NEEDS: [(&str, &[&str]); 5] = [
    (ROUTER, &["DIOGENES_ORCHESTRATOR"]),
    (AUTHORIZER, &[]),
    (KEYS, &[]),
    (CLUSTER, &["DIOGENES_ORCHESTRATOR"]),
    (ORCHESTRATOR, &["DIOGENES_DEPLOYMENT", "DIOGENES_LAUNCH_TEMPLATE", "DIOGENES_SUBNETS"]),
];

#[tokio::test]
async fn a_function_without_one_of_its_variables_names_it() {
    let mut missing: Vec<(&str, &str)> = NEEDS
        .iter()
        .flat_map(|(function, variables)| {
            ["DIOGENES_TABLE"].iter().chain(*variables).map(|variable| (*function, *variable))
        })
        .collect();
    // A stack can lack one variable of each function at a time.
    while !missing.is_empty() {
        let mut settings = StackSettings::default();
        let mut now: Vec<(&str, &str)> = Vec::new();
        missing.retain(|(function, variable)| {
            let waits = now.iter().any(|(other, _)| other == function);
            if !waits {
                now.push((function, variable));
            }
            waits
        });
        for (function, variable) in &now {
            settings = settings.without(function, variable);
        }
        let Some(stack) = Stack::with(settings).await else { return };
        for (function, variable) in now {
            assert!(stack.host.invoke(function, "{}").await.is_err());
            logged(&stack, function, &format!("the environment variable {variable} is missing"))
                .await;
        }
    }
}

#[tokio::test]
async fn a_variable_that_cannot_be_read_is_named() {
    for (function, variable, value) in [
        (ORCHESTRATOR, "DIOGENES_SUBNETS", "anywhere"),
        (ORCHESTRATOR, "DIOGENES_MAX_LIFETIME", "for ever"),
        (ORCHESTRATOR, "DIOGENES_LEASE_TIMEOUT", ""),
        (ROUTER, "DIOGENES_STREAM_DEADLINE", "soon"),
        (KEYS, "DIOGENES_TABLE", " "),
        (AUTHORIZER, "DIOGENES_LOG", "a=b=c"),
    ] {
        let settings = StackSettings::default().variable(function, variable, value);
        let Some(stack) = Stack::with(settings).await else { return };
        assert!(stack.host.invoke(function, "{}").await.is_err(), "{variable}");
        logged(&stack, function, &format!("the environment variable {variable} is")).await;
        assert_eq!(stack.front.calls().by(function).count(), 0);
    }
}

#[tokio::test]
async fn callers_of_a_function_that_does_not_start_get_an_error_object() {
    let settings = StackSettings::default()
        .without(ROUTER, "DIOGENES_ORCHESTRATOR")
        .without(KEYS, "DIOGENES_TABLE")
        .without(CLUSTER, "DIOGENES_TABLE");
    let Some(stack) = Stack::with(settings).await else { return };
    let admin = stack.client(&Scope::ALL).await;
    for path in ["/v1/models", "/api/v1/keys", "/api/v1/models"] {
        let answer = admin.get(path).await;
        assert_eq!(answer.refusal(), (502, "internal_error".into()), "{path}: {}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "server_error", "{path}");
        assert!(!answer.text().contains("DIOGENES"), "causes are for the log: {}", answer.text());
    }
}
