use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::ready::{free_port, wait_for};
use crate::report::median;

/// How long `serve` takes to answer after its start, and a held request to leave after its
/// replica has become healthy.
pub(crate) async fn measure(programs: &Path, times: usize) -> anyhow::Result<String> {
    let (mut starts, mut wakes) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let (start, wake) = once(programs).await?;
        starts.push(start.as_secs_f64() * 1e3);
        wakes.push(wake.as_secs_f64() * 1e3);
    }
    let worst = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    Ok(format!(
        "start of `serve` to its first answer: median {:.0} ms, worst {:.0} ms\n\
         replica healthy to the held answer's last byte: median {:.1} ms, worst {:.1} ms (n = {times})",
        median(starts.clone()),
        worst(&starts),
        median(wakes.clone()),
        worst(&wakes)
    ))
}

async fn once(programs: &Path) -> anyhow::Result<(Duration, Duration)> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let mock = programs.join("mock-vllm").canonicalize()?.display().to_string();
    let words = [
        &mock,
        "--quiet",
        "--host",
        "{host}",
        "--port",
        "{port}",
        "--served-model-name",
        "cold",
        "--load-weights-delay",
        "700ms",
        "--tokens-per-second",
        "0",
        "--ttft",
        "0s",
    ];
    let config = folder.path().join("diogenes.toml");
    let command = serde_json::to_string(&words)?;
    std::fs::write(&config, format!("[models.cold]\ncommand = {command}\n"))?;
    let began = Instant::now();
    let mut child = Command::new(programs.join("diogenes"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .env("DIOGENES_LOG", "warn")
        .stdin(Stdio::null())
        .spawn()?;
    let url = format!("http://127.0.0.1:{port}");
    wait_for(&format!("{url}/healthz")).await?;
    let start = began.elapsed();
    let wake = wake(&url, folder.path()).await;
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    child.wait()?;
    Ok((start, wake?))
}

/// Asks a cold model, and looks when its replica begins to answer and when the answer is there.
async fn wake(url: &str, folder: &Path) -> anyhow::Result<Duration> {
    let key = std::fs::read_to_string(folder.join("data/admin.key"))?.trim().to_owned();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let body =
        serde_json::json!({"model": "cold", "messages": [{"role": "user", "content": "Hi"}]});
    let request =
        http.post(format!("{url}/v1/chat/completions")).bearer_auth(&key).json(&body).send();
    let answered = tokio::spawn(async move {
        let response = request.await?;
        response.bytes().await?;
        Ok::<_, reqwest::Error>(Instant::now())
    });
    let address = upstream_address(folder).await?;
    let healthy = loop {
        if tokio::net::TcpStream::connect(&address).await.is_ok() {
            break Instant::now();
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    };
    Ok(answered.await??.duration_since(healthy))
}

/// Where the replica will answer: the run record names the port before the process starts.
async fn upstream_address(folder: &Path) -> anyhow::Result<String> {
    let began = Instant::now();
    loop {
        let records = std::fs::read_dir(folder.join("data/run")).into_iter().flatten().flatten();
        for record in records {
            let text = std::fs::read_to_string(record.path()).unwrap_or_default();
            let port = serde_json::from_str::<Value>(&text)
                .ok()
                .and_then(|record| record.get("port").and_then(Value::as_u64));
            if let Some(port) = port {
                return Ok(format!("127.0.0.1:{port}"));
            }
        }
        (began.elapsed() < Duration::from_secs(10)).then_some(()).context("no run record")?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
