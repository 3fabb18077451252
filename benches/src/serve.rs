use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A running `diogenes serve`, pinned to the proxy's core, with its upstream on the clients'.
pub(crate) struct Serve {
    child: Child,
    pub(crate) url: String,
    pub(crate) upstream: String,
    pub(crate) key: String,
}

impl Serve {
    pub(crate) async fn start(programs: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mock = programs.join("mock-vllm").canonicalize()?;
        let mock = mock.display().to_string();
        // Without the claim's key, so that direct and nginx may ask the same upstream.
        let words = [
            "taskset",
            "-c",
            "0",
            "env",
            "-u",
            "VLLM_API_KEY",
            &mock,
            "--quiet",
            "--threads",
            "1",
            "--host",
            "{host}",
            "--port",
            "{port}",
            "--served-model-name",
            "bench",
            "--tokens-per-second",
            "0",
            "--ttft",
            "0s",
            "--max-model-len",
            "10000000",
            "--tokens",
            "1000000",
        ];
        let command = serde_json::to_string(&words)?;
        let config = folder.join("diogenes.toml");
        std::fs::write(
            &config,
            format!(
                "[models.bench]\ncommand = {command}\nidle_timeout = \"2h\"\ntarget_concurrency = 1000\n"
            ),
        )?;
        let port = free_port()?;
        let data = folder.join("data");
        let child = Command::new("taskset")
            .args(["-c", "1"])
            .arg(programs.join("diogenes").canonicalize()?)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(&data)
            .env("DIOGENES_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()?;
        let url = format!("http://127.0.0.1:{port}");
        wait_for(&format!("{url}/healthz")).await?;
        let admin = std::fs::read_to_string(data.join("admin.key"))?.trim().to_owned();
        let http = reqwest::Client::builder().no_proxy().build()?;
        // A key with limits, so that they are part of what is measured.
        let limits = serde_json::json!({
            "requests_per_minute": 2_000_000_000, "tokens_per_minute": 4_000_000_000_u32, "concurrency": 1000
        });
        let body = serde_json::json!({"email": "bench@example.com", "limits": limits});
        let created: serde_json::Value = http
            .post(format!("{url}/api/v1/keys"))
            .bearer_auth(&admin)
            .json(&body)
            .send()
            .await?
            .json()
            .await?;
        let key = created
            .get("key")
            .and_then(serde_json::Value::as_str)
            .with_context(|| format!("no key: {created}"))?
            .to_owned();
        let chat =
            serde_json::json!({"model": "bench", "messages": [{"role": "user", "content": "Hi"}]});
        let first = http
            .post(format!("{url}/v1/chat/completions"))
            .bearer_auth(&key)
            .json(&chat)
            .send()
            .await?;
        if !first.status().is_success() {
            bail!("the first request failed: {}", first.text().await?);
        }
        let cluster: serde_json::Value = http
            .get(format!("{url}/api/v1/cluster"))
            .bearer_auth(&admin)
            .send()
            .await?
            .json()
            .await?;
        let upstream = cluster
            .pointer("/data/0/slots/0/base_url")
            .and_then(serde_json::Value::as_str)
            .context("no replica")?
            .to_owned();
        Ok(Self { child, url, upstream, key })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until a URL answers.
pub(crate) async fn wait_for(url: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    loop {
        match http.get(url).send().await {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > Duration::from_secs(20) => {
                return Err(error).context(format!("{url} does not answer"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}
