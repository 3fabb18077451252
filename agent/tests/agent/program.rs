//! The program itself, without a store that answers.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::imds::Imds;
use super::machine::{WAIT, orders, runs, until};

struct Program {
    child: Child,
    imds: Imds,
    dir: TempDir,
}

impl Program {
    async fn start(orders: impl FnOnce(&TempDir) -> String, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let imds = Imds::start().await;
        let file = dir.path().join("orders.json");
        std::fs::write(&file, orders(&dir)).unwrap();
        let touch = format!("touch {}", dir.path().join("shutdown").display());
        let child = Command::new(env!("CARGO_BIN_EXE_diogenes-agent"))
            .args(["--user-data", file.to_str().unwrap(), "--shutdown-command", &touch])
            .args(["--host", "127.0.0.1", "--port", "1", "--lifetime-from", "start"])
            .args(flags)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.endpoint)
            // Nobody listens there.
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, imds, dir }
    }

    async fn shut_down(&self) {
        let marker = self.dir.path().join("shutdown");
        until(|| if marker.exists() { Ok(()) } else { Err("no shutdown") }).await;
    }

    async fn terminate(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        timeout(Duration::from_secs(30), self.child.wait()).await.unwrap().unwrap()
    }

    async fn stderr(mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).await.unwrap();
        drop(self.imds);
        text
    }
}

#[tokio::test]
async fn without_a_store_the_instance_ends_at_the_end_of_its_lease() {
    let script = format!("echo \"I am $$ with $VLLM_API_KEY\"; {WAIT}");
    let orders = |dir: &TempDir| {
        let mut orders = orders(dir, &script);
        orders.lease_timeout = Duration::from_secs(1);
        serde_json::to_string(&orders).unwrap()
    };
    let mut program = Program::start(orders, &[]).await;
    let mut lines = BufReader::new(program.child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!((words[0], words[4]), ("I", "up-secret"));
    program.shut_down().await;
    assert_eq!(program.terminate().await.code(), Some(0));
    assert!(!runs(words[2]), "the inference server outlived the agent");
    let log = program.stderr().await;
    assert!(log.contains("did not renew the lease for 1s"), "{log}");
    assert!(!log.contains("up-secret"), "{log}");
}

#[tokio::test]
async fn broken_orders_end_nothing_at_once_and_sigterm_is_heard() {
    let mut program = Program::start(|_| "{}".into(), &[]).await;
    let mut log = BufReader::new(program.child.stderr.take().unwrap()).lines();
    let line = log.next_line().await.unwrap().unwrap();
    assert!(line.contains("the instance has no orders and will end itself"), "{line}");
    assert!(line.contains("missing field"), "{line}");
    assert_eq!(program.terminate().await.code(), Some(0));
    assert!(!program.dir.path().join("shutdown").exists());
}

#[tokio::test]
async fn wrong_flags_and_help_have_their_exit_codes() {
    for (flags, code) in [(["--nonsense"], 2), (["--help"], 0), (["--version"], 0)] {
        let mut program = Program::start(|_| "{}".into(), &flags).await;
        let exit = timeout(Duration::from_secs(30), program.child.wait()).await.unwrap();
        assert_eq!(exit.unwrap().code(), Some(code), "{flags:?}");
    }
}
