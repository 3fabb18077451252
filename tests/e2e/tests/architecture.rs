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
    has_none(
        "diogenes-api",
        &["--all-features"],
        &["diogenes-backends", "rusqlite", "aws-*", "reqwest"],
    );
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

#[test]
fn serve_links_no_lambda_runtime() {
    has_none("diogenes", &[], &["lambda_runtime", "lambda_http", "aws-sdk-*", "aws-config"]);
}
