use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::table::{MODEL, UPSTREAM_KEY};

/// A running `mock-vllm`, as fast as it can.
pub(crate) struct Replica {
    child: Child,
    address: SocketAddr,
}

impl Replica {
    /// Starts one, and waits until it listens.
    pub(crate) async fn start(programs: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let program = programs.join("mock-vllm");
        let child = Command::new(&program)
            .args(["--quiet", "--threads", "1", "--port", &address.port().to_string()])
            .args(["--served-model-name", MODEL, "--api-key", UPSTREAM_KEY])
            .args(["--max-model-len", "10000000", "--tokens", "1000000"])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{}", program.display()))?;
        let replica = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < Duration::from_secs(20), "mock-vllm does not listen");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(replica)
    }

    /// Where it answers.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
