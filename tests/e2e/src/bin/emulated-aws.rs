//! `emulated-aws [MODELS]`: deploys the whole stack on an emulated AWS and keeps it until it is
//! interrupted, to be tried by hand and by other clients.
//!
//! MODELS is a `diogenes.toml`, of which the models are applied; without it there is `demo`. The
//! address and a key that may everything go to standard output, as shell variables.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it serves tests, and its output is what they ask for"
)]

use std::time::Duration;

use diogenes_e2e::aws::emulator::Emulator;
use diogenes_e2e::aws::stack::{BATCHES, ORCHESTRATOR, OUTBOUND, Stack, StackSettings};
use diogenes_e2e::{Client, Model};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() {
    let models = std::env::args().nth(1);
    if models.as_deref().is_some_and(|models| models.starts_with('-')) {
        println!(
            "usage: emulated-aws [MODELS]\n\nMODELS is a diogenes.toml [default: a model `demo`]"
        );
        return;
    }
    // A minute on AWS.
    let settings = StackSettings::default().schedule(Duration::from_secs(5)).variable(
        ORCHESTRATOR,
        "DIOGENES_ROUTER_LAG",
        "13s",
    );
    // Jobs may send requests to servers beside it.
    let settings = [BATCHES, OUTBOUND].iter().fold(settings, |settings, function| {
        settings.variable(function, "DIOGENES_HTTP_ALLOW", "127.0.0.1")
    });
    let stack = Stack::deploy(Emulator::shared().await, &settings).await;
    let key = stack.key(&diogenes_core::keys::Scope::ALL).await;
    let client = Client::new(&stack.gateway.base_url(), &key);
    match models {
        Some(path) => apply_all(&stack, &client, &path).await,
        None => stack.apply(&client, &Model::mock("demo", &["--load-weights-delay", "3s"])).await,
    }
    println!("DIOGENES_URL={}", stack.gateway.base_url());
    println!("OPENAI_BASE_URL={}/v1", stack.gateway.base_url());
    println!("OPENAI_API_KEY={key}");
    until_told().await;
}

async fn apply_all(stack: &Stack, client: &Client, path: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let config: toml::Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    let models = config.get("models").and_then(toml::Value::as_table);
    for (name, spec) in models.into_iter().flatten() {
        let spec: Value = serde_json::to_value(spec).expect("TOML is JSON");
        stack.apply_spec(client, name, spec).await;
    }
}

async fn until_told() {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be heard");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be heard");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
