use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the work tree.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two above").to_owned()
}

/// Where the tests keep the programs that they install: `target/tools`, as in the Makefile.
pub(super) fn tools() -> PathBuf {
    let path = root().join("target/tools");
    std::fs::create_dir_all(&path).expect("target can be written to");
    path
}

/// Waits until no other test process holds the lock of this name; held until dropped.
pub(super) fn lock(name: &str) -> File {
    let path = tools().join(format!("{name}.lock"));
    let file = File::create(&path).expect("target can be written to");
    file.lock().expect("a lock on a file of our own");
    file
}

/// Runs it; its standard output if it succeeds, and what it said if not.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{name}` does not start: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("`{name}` failed ({}): {}", output.status, text(&output.stderr)))
}
