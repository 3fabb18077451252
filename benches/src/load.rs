use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::request::Request;
use crate::subject::Subject;

/// What wrk has measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the proxy, user and system.
    pub(crate) cpu_us_per_request: f64,
}

/// How a subject is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) connections: u32,
    pub(crate) streamed: bool,
}

/// What just-in-time compilers and pools of connections need before they are measured.
pub(crate) const WARM_UP: Kind = Kind { connections: 8, streamed: false };

/// Answers of 16 tokens, one after the other on each connection.
pub(crate) fn measure(
    subject: &Subject,
    folder: &Path,
    kind: Kind,
    seconds: u32,
) -> anyhow::Result<Load> {
    let script = folder.join("wrk.lua");
    std::fs::write(&script, lua(&subject.request, kind.streamed))?;
    let before = subject.cpu_micros()?;
    let output = Command::new("taskset")
        .args(["-c", "0", "wrk", "-t1"])
        .arg(format!("-c{}", kind.connections))
        .arg(format!("-d{seconds}s"))
        // A slow gateway is slow, not broken.
        .args(["--timeout", "30s"])
        .arg("-s")
        .arg(&script)
        .arg(format!("{}{}", subject.url, subject.request.path))
        .stdin(Stdio::null())
        .output()
        .context("wrk does not run; install it with `apt-get install wrk`")?;
    let cpu = subject.cpu_micros()? - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |name: &str| -> anyhow::Result<f64> {
        text.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.parse().ok())
            .with_context(|| format!("wrk printed no {name}: {text}"))
    };
    if field("errors=")? > 0.0 {
        bail!("some requests failed: {text}");
    }
    let requests = field("requests=")?;
    // Where nothing was answered in time, nothing can be told.
    let known = |value: f64| if requests > 0.0 { value } else { f64::NAN };
    Ok(Load {
        requests_per_second: requests / field("seconds=")?,
        p50_us: known(field("p50=")?),
        p99_us: known(field("p99=")?),
        cpu_us_per_request: cpu / requests,
    })
}

fn lua(request: &Request, streamed: bool) -> String {
    let body = request.body(16, streamed);
    let headers =
        request.header_lines(|name, value| format!("wrk.headers[\"{name}\"] = \"{value}\"\n"));
    format!(
        r#"wrk.method = "POST"
wrk.body = '{body}'
wrk.headers["content-type"] = "application/json"
{headers}done = function(summary, latency)
  local e = summary.errors
  print(string.format("requests=%d seconds=%f p50=%f p99=%f errors=%d", summary.requests,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#
    )
}
