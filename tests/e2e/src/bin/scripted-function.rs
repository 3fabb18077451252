//! A function that takes any event and does what it says, and an authorizer that does what the
//! token says.
//!
//! `{"do": …}` is `wait` (with `gate`, a file), `crash` (with `code`), `error`, `hang`, `size`
//! (with `bytes`), `log` (with `text`), `fail-until` (with `count`, and `file`, which counts), or
//! nothing: then the event itself is the answer. Behind an API the body is the event; there
//! `request` answers with what API Gateway has sent. `START` in the environment is what happens
//! before the first event: `crash`.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a program of tests")]

use std::path::Path;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    if std::env::var("START").as_deref() == Ok("crash") {
        std::process::exit(7);
    }
    run(service_fn(async |event: LambdaEvent<Value>| {
        if event.payload.get("type").is_some_and(|kind| kind == "TOKEN") {
            authorize(&event.payload)
        } else if event.payload.get("httpMethod").is_some() {
            let body = event.payload.get("body").and_then(Value::as_str).unwrap_or("{}");
            let inner: Value = serde_json::from_str(body)?;
            if inner.get("do").is_some_and(|what| what == "request") {
                let request = event.payload.to_string();
                return Ok(json!({"statusCode": 200, "body": request}));
            }
            act(inner).await
        } else {
            act(event.payload).await
        }
    }))
    .await
}

async fn act(event: Value) -> Result<Value, Error> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).expect("a text").to_owned();
    let number = |name: &str| event.get(name).and_then(Value::as_u64).expect("a number");
    match event.get("do").and_then(Value::as_str) {
        Some("wait") => {
            while !Path::new(&text("gate")).exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(json!({"pid": std::process::id()}))
        }
        Some("crash") => std::process::exit(i32::try_from(number("code")).expect("a code")),
        Some("error") => Err("it was told to fail".into()),
        Some("hang") => std::future::pending().await,
        Some("size") => Ok("x".repeat(usize::try_from(number("bytes")).expect("a size")).into()),
        Some("log") => {
            eprintln!("{}", text("text"));
            Ok(Value::Null)
        }
        Some("fail-until") => {
            let seen = std::fs::read_to_string(text("file")).unwrap_or_default();
            std::fs::write(text("file"), format!("{seen}."))?;
            let calls = u64::try_from(seen.len()).expect("a few") + 1;
            if calls >= number("count") { Ok(calls.into()) } else { Err("not yet".into()) }
        }
        _ => Ok(event),
    }
}

fn authorize(event: &Value) -> Result<Value, Error> {
    let token = event.get("authorizationToken").and_then(Value::as_str).unwrap_or_default();
    let method = event.get("methodArn").and_then(Value::as_str).unwrap_or_default();
    let stage: String = method.split_inclusive('/').take(2).collect();
    let policy = |effect: &str, resource: String, context: Value| {
        json!({
            "principalId": "someone",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Action": "execute-api:Invoke", "Effect": effect, "Resource": resource,
                }],
            },
            "context": context,
        })
    };
    Ok(match token.trim_start_matches("Bearer ") {
        "allow" => policy(
            "Allow",
            format!("{stage}*"),
            json!({"key_id": "k1", "count": 3, "admin": true, "pid": std::process::id()}),
        ),
        "allow-this" => policy("Allow", method.to_owned(), json!({})),
        "deny" => policy(
            "Deny",
            format!("{stage}*"),
            json!({"code": "expired_api_key", "message": "the key has expired"}),
        ),
        "elsewhere" => policy("Allow", format!("{stage}GET/nowhere"), json!({})),
        "nested" => policy("Allow", format!("{stage}*"), json!({"models": ["a"]})),
        "unauthorized" => return Err("Unauthorized".into()),
        "error" => return Err("the authorizer fails".into()),
        "crash" => std::process::exit(5),
        _ => json!({"is": "no policy"}),
    })
}
