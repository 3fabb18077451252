use std::path::PathBuf;

/// The `diogenes` program of this build.
pub fn diogenes() -> PathBuf {
    program("diogenes")
}

/// The `mock-vllm` program of this build.
pub fn mock_vllm() -> PathBuf {
    program("mock-vllm")
}

/// The `diogenes-agent` program of this build.
#[cfg(feature = "aws")]
pub(crate) fn diogenes_agent() -> PathBuf {
    program("diogenes-agent")
}

/// A function of the package `diogenes-functions`.
#[cfg(feature = "aws")]
pub(crate) fn function(binary: &str) -> PathBuf {
    program(binary)
}

/// The `scripted-upstream` program of this package.
pub(crate) fn scripted_upstream() -> PathBuf {
    program("scripted-upstream")
}

/// Programs lie beside the `deps` folder of the running test, or beside the running program.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test knows its own path");
    let folder = own.parent().expect("a folder");
    let folder =
        if folder.ends_with("deps") { folder.parent().expect("it has one") } else { folder };
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built; run `make test`, or `cargo build --workspace --all-features --bins` first",
        path.display()
    );
    path
}
