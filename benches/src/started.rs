use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::group::Group;
use crate::ready::{free_port, wait_for};

/// A `serve` that has just been started, pinned to the proxies' core.
pub(crate) struct Started {
    pub(crate) group: Group,
    pub(crate) program: String,
    pub(crate) url: String,
    /// The operator's key.
    pub(crate) admin: String,
    /// How long it took until it answered.
    pub(crate) start: Duration,
}

impl Started {
    /// Starts it in `folder`, with this configuration.
    pub(crate) async fn new(
        programs: &Path,
        folder: &Path,
        configuration: &str,
    ) -> anyhow::Result<Self> {
        let config = folder.join("diogenes.toml");
        std::fs::write(&config, configuration)?;
        let port = free_port()?;
        let data = folder.join("data");
        let program = programs.join("diogenes").canonicalize()?.display().to_string();
        let began = Instant::now();
        let group = Group::start(
            &program,
            |command| {
                command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"]);
                command.arg(&config).arg("--data-dir").arg(&data).env("DIOGENES_LOG", "warn");
            },
            folder.join("serve.log"),
        )?;
        let url = format!("http://127.0.0.1:{port}");
        wait_for(&format!("{url}/healthz")).await.with_context(|| group.last_words())?;
        let start = began.elapsed();
        let admin = std::fs::read_to_string(data.join("admin.key"))?.trim().to_owned();
        Ok(Self { group, program, url, admin, start })
    }
}

/// Where the mock is.
pub(crate) fn mock(programs: &Path) -> anyhow::Result<PathBuf> {
    programs.join("mock-vllm").canonicalize().with_context(|| {
        let programs = programs.display();
        format!("no mock-vllm in {programs}; build it with `cargo build --release -p mock-vllm`")
    })
}
