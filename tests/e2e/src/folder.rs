use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What a `serve` and its successors leave on disk, and the processes that they started. Dropping
/// it leaves neither.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "a default makes no directory")]
    pub fn new() -> Self {
        Self(TempDir::with_prefix("diogenes-e2e-").expect("a temporary directory"))
    }

    /// The folder itself; the configuration lies here.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The inference servers of this data directory that run now.
    pub fn processes(&self) -> Vec<Pid> {
        let Ok(data_dir) = self.data_dir().canonicalize() else {
            return Vec::new();
        };
        processes_with("DIOGENES_DEPLOYMENT", &data_dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Only what a failed test, a crash or `on_shutdown = "leave"` has left.
        for pid in self.processes() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The processes with this path in this variable of their environment.
pub(crate) fn processes_with(variable: &str, path: &Path) -> Vec<Pid> {
    let tag = format!("{variable}={}", path.display());
    std::fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            variables.any(|variable| variable == tag.as_bytes())
        })
        .filter_map(Pid::from_raw)
        .collect()
}
