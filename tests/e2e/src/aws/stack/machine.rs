use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::Signal;

use crate::aws::logs::Log;
use crate::aws::process::Process;
use crate::programs::diogenes_agent;

use super::imds::Imds;

/// The address of every machine: the instances' own are nobody's here.
const ADDRESS: &str = "127.0.0.1";

/// What runs on an emulated instance: its metadata service, and the agent with whatever that
/// starts.
#[derive(Debug)]
pub(super) struct Machine {
    imds: Imds,
    agent: Process,
    /// The agent has ended the instance when this file exists.
    ended: PathBuf,
    log: Log,
}

impl Machine {
    /// Boots the instance `id`. `environment` is the agent's access to AWS; `folder` is empty and
    /// the machine's own.
    pub(super) async fn boot(
        id: &str,
        user_data: String,
        folder: &Path,
        environment: Vec<(String, String)>,
    ) -> Self {
        let imds = Imds::start([
            ("user-data", user_data),
            ("meta-data/instance-id", id.to_owned()),
            ("meta-data/local-ipv4", ADDRESS.to_owned()),
        ])
        .await;
        let ended = folder.join(format!("{id}.ended"));
        let shutdown = shell_words([Path::new("touch"), &ended]);
        let port = free_port().to_string();
        let mut agent = Command::new(diogenes_agent());
        agent
            .args(["--host", ADDRESS, "--port", &port, "--lifetime-from", "start"])
            .args(["--shutdown-command", &shutdown])
            .env_clear()
            .envs(environment)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.endpoint())
            // By it everything is found that runs for the machine.
            .env(super::machines::MARK, folder)
            .current_dir(folder);
        let log = Log::default();
        // Its own end of the inference server is the best one.
        let agent = Process::start(agent, log.clone(), Signal::TERM).expect("the agent starts");
        Self { imds, agent, ended, log }
    }

    /// Whether the agent has ended its instance.
    pub(super) fn has_ended_itself(&self) -> bool {
        self.ended.exists()
    }

    /// The operating system ends it in good order.
    pub(super) fn shut_down(&self) {
        self.agent.signal(Signal::TERM);
    }

    /// The agent is gone without a word; the inference server may live on.
    pub(super) fn kill_agent(&self) {
        self.agent.end();
    }

    /// Whether the agent runs.
    pub(super) fn is_alive(&self) -> bool {
        self.agent.is_alive()
    }

    /// EC2 wants it back in two minutes.
    pub(super) fn interrupt(&self) {
        let notice = r#"{"action": "terminate", "time": "2026-01-01T00:00:00Z"}"#;
        self.imds.set("meta-data/spot/instance-action", notice);
    }

    /// What the agent has said, and the inference server through it.
    pub(super) fn log(&self) -> String {
        self.log.text()
    }
}

fn shell_words<const N: usize>(words: [&Path; N]) -> String {
    words.map(|word| format!("'{}'", word.display())).join(" ")
}

/// A port below those that the kernel hands out itself, so that nobody takes it between this look
/// and its use by an inference server that starts later.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    // Test programs run side by side.
    let own = u16::try_from(std::process::id() % u32::from(COUNT)).expect("below 12,000");
    for _ in 0..COUNT {
        let port = FIRST + (own.wrapping_mul(97) + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}
