use std::path::PathBuf;

/// The `diogenes` program of this build.
pub fn diogenes() -> PathBuf {
    program("diogenes")
}

/// The `mock-vllm` program of this build.
pub fn mock_vllm() -> PathBuf {
    program("mock-vllm")
}

/// The `scripted-upstream` program of this package.
pub(crate) fn scripted_upstream() -> PathBuf {
    program("scripted-upstream")
}

/// Programs lie beside the `deps` folder of the running test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a target folder");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built; run `make test`, or `cargo build -p diogenes -p mock-vllm` first",
        path.display()
    );
    path
}
