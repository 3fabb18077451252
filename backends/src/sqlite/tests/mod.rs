//! What is particular to SQLite. The promises of the port are in `diogenes-conformance`.

mod data_dir;
mod open;
mod operation;
mod processes;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use diogenes_core::ports::{Expect, Key, Write};
use diogenes_core::testing::ManualClock;
use serde_json::Value;
use tempfile::TempDir;

use super::SqliteStore;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    (directory, path)
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Arc::new(ManualClock::default())).unwrap()
}

fn put(sort: &str, document: impl Into<Value>, expect: Expect) -> Write {
    Write::Put { key: key(sort), document: document.into(), index: None, expires_at: None, expect }
}

fn key(sort: &str) -> Key {
    Key::new("p", sort)
}

/// A command that runs the test of this name in a process of its own.
fn test_process(program: &Path, test: &str) -> Command {
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command
}

/// Whether this process is bound by file permissions. Root is not: then the test of this name
/// runs in a process without privileges instead, and this one has nothing left to do.
fn bound_by_permissions(test: &str) -> bool {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    // A copy, because nobody else may be able to reach the build directory.
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [place.path(), &program] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let output = test_process(&program, test)
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir(place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}
