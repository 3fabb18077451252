//! The arrows between crates point one way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::collections::BTreeSet;
use std::process::Command;

/// The crates that a package is built from, tests aside.
fn crates_of(package: &str, flags: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
        ])
        .arg(package)
        .args(flags)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn has_none(package: &str, flags: &[&str], refused: &[&str]) {
    let crates = crates_of(package, flags);
    assert!(crates.contains(package));
    for name in refused {
        let found = crates.iter().find(|found| {
            *found == name || name.strip_suffix('*').is_some_and(|start| found.starts_with(start))
        });
        assert_eq!(found, None, "{package} must not depend on it");
    }
}

#[test]
fn core_knows_no_protocol_no_cloud_no_runtime_and_no_database() {
    let refused = [
        "aws-*",
        "axum*",
        "hyper*",
        "reqwest",
        "tokio*",
        "async-std",
        "smol",
        "rusqlite",
        "libsqlite3-sys",
        "http",
        "diogenes-api",
        "diogenes-backends",
    ];
    has_none("diogenes-core", &["--all-features"], &refused);
}

#[test]
fn backends_do_not_know_the_api() {
    has_none("diogenes-backends", &["--all-features"], &["diogenes-api", "axum*"]);
}

#[test]
fn the_api_knows_no_backend() {
    has_none("diogenes-api", &["--all-features"], &["diogenes-backends", "rusqlite"]);
    has_none("diogenes-api", &["--all-features"], &SDK);
}

#[test]
fn each_backend_is_a_feature() {
    has_none("diogenes-backends", &["--no-default-features"], &["rusqlite", "rustix", "tokio"]);
    has_none(
        "diogenes-backends",
        &["--no-default-features", "--features", "process"],
        &["rusqlite"],
    );
}

/// Everything of AWS's SDK; `aws-lc-*` is the cryptography of TLS.
const SDK: [&str; 7] = [
    "aws-config",
    "aws-credential-types",
    "aws-runtime",
    "aws-sdk-*",
    "aws-sigv4",
    "aws-smithy-*",
    "aws-types",
];

#[test]
fn serve_links_no_lambda_runtime_and_nothing_of_aws() {
    has_none("diogenes", &[], &["lambda_runtime", "lambda_http"]);
    has_none("diogenes", &[], &SDK);
}

#[test]
fn the_cli_launches_nothing_even_with_aws() {
    let refused = ["aws-sdk-ec2", "aws-sdk-lambda", "lambda_runtime"];
    has_none("diogenes", &["--all-features"], &refused);
}

#[test]
fn each_function_links_what_it_calls_and_no_more() {
    let clients = ["aws-sdk-ec2", "aws-sdk-lambda"];
    for (function, called) in [
        ("router", ["aws-sdk-lambda"].as_slice()),
        ("cluster", &["aws-sdk-lambda"]),
        ("datasets", &["aws-sdk-lambda"]),
        ("eval", &["aws-sdk-lambda"]),
        ("orchestrator", &["aws-sdk-ec2"]),
        ("keys", &[]),
        ("prompts", &[]),
        ("authorizer", &[]),
    ] {
        let crates = crates_of("diogenes-functions", &["--features", function]);
        for client in clients {
            let linked = crates.contains(client);
            assert_eq!(linked, called.contains(&client), "{function} and {client}");
        }
        assert!(crates.contains("aws-sdk-dynamodb"), "{function} reads the table");
        assert!(!crates.contains("rusqlite"), "{function} has no file to keep");
        assert!(!crates.contains("parquet"), "{function} reads no rows");
    }
    // Whoever answers no HTTP links none of it.
    for function in ["orchestrator", "authorizer"] {
        let flags = ["--features", function];
        has_none("diogenes-functions", &flags, &["axum*", "lambda_http", "diogenes-api"]);
    }
}

#[test]
fn the_agent_links_no_launcher() {
    has_none("diogenes-agent", &[], &["aws-sdk-ec2", "aws-sdk-lambda", "lambda_runtime", "axum*"]);
}
