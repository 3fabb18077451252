//! Keys: the first one from the script, the others over the API.

use std::path::Path;
use std::process::Stdio;

use diogenes_core::keys::Scope;
use diogenes_e2e::aws::stack::Stack;
use diogenes_e2e::{Client, diogenes};
use serde_json::json;
use tokio::process::Command;

use crate::fast;

/// Runs `scripts/create_api_key.sh` as the operator of this stack; returns the key.
async fn script(stack: &Stack, options: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/create_api_key.sh");
    let output = Command::new(script)
        .args(["--table", stack.table(), "--email", "owner@example.com"])
        .args(options)
        .args(["--", "-o", "json"])
        .env_clear()
        .envs(stack.front.environment("operator"))
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DIOGENES", diogenes())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let (out, error) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{error}");
    let created: serde_json::Value = serde_json::from_slice(&out).unwrap();
    created["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_scripts_key_makes_others_and_a_revoked_one_is_refused() {
    let Some(stack) = Stack::start().await else { return };
    let first = script(&stack, &["--scope", "admin", "--scope", "inference"]).await;
    let admin = Client::new(&stack.gateway.base_url(), &first);
    stack.apply(&admin, &fast("demo")).await;
    assert_eq!(admin.chat("demo").await.status, 200);

    let body = json!({"email": "ada@example.com", "scopes": ["inference"]});
    let (id, key) = admin.create_key(&body).await;
    let other = Client::new(&stack.gateway.base_url(), &key);
    assert_eq!(other.chat("demo").await.status, 200);
    let listed = admin.get("/api/v1/keys").await;
    assert!(listed.text().contains(&id) && !listed.text().contains(&key), "{}", listed.text());

    assert!(admin.delete(&format!("/api/v1/keys/{id}")).await.status.is_success());
    // The gateway keeps an authorization for five minutes.
    assert_eq!(other.chat("demo").await.status, 200);
    stack.gateway.forget_authorizations();
    let refused = other.chat("demo").await;
    assert_eq!(refused.refusal(), (401, "revoked_api_key".into()), "{}", refused.text());
    assert!(refused.text().contains(&id), "{}", refused.text());
}

#[tokio::test]
async fn a_key_does_only_what_its_scope_allows() {
    let Some(stack) = Stack::start().await else { return };
    let inference = stack.client(&[Scope::Inference]).await;
    for path in ["/api/v1/models", "/api/v1/cluster", "/api/v1/keys"] {
        let refused = inference.get(path).await;
        assert_eq!(
            refused.refusal(),
            (403, "insufficient_scope".into()),
            "{path}: {}",
            refused.text()
        );
    }
    let admin = stack.client(&[Scope::Admin]).await;
    stack.apply(&admin, &fast("demo")).await;
    let refused = admin.chat("demo").await;
    assert_eq!(refused.refusal(), (403, "insufficient_scope".into()), "{}", refused.text());
    assert!(stack.instances().await.is_empty());
    assert_eq!(inference.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_key_with_limits_is_counted_over_all_processes() {
    let Some(stack) = Stack::start().await else { return };
    let admin = stack.admin().await;
    stack.apply(&admin, &fast("demo")).await;
    assert_eq!(admin.chat("demo").await.status, 200);
    let body = json!({
        "email": "ada@example.com", "scopes": ["inference"],
        "limits": {"requests_per_minute": 3},
    });
    let (_, key) = admin.create_key(&body).await;
    let limited = Client::new(&stack.gateway.base_url(), &key);
    let calls = futures_util::future::join_all((0..6).map(|_| limited.chat("demo"))).await;
    let (good, refused): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.status == 200);
    assert_eq!(good.len(), 3, "{calls:?}");
    for answer in refused {
        assert_eq!(answer.refusal(), (429, "rate_limit_exceeded".into()), "{}", answer.text());
    }
}
