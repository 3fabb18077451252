use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

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

/// Plain chat completions over `connections` connections.
pub(crate) fn measure(
    subject: &Subject,
    folder: &Path,
    connections: u32,
    seconds: u32,
) -> anyhow::Result<Load> {
    let script = folder.join(format!("{}.lua", subject.name));
    let key = subject.key.as_deref().unwrap_or("none");
    std::fs::write(&script, lua(key))?;
    let before = cpu_micros(&subject.pids)?;
    let output = Command::new("taskset")
        .args(["-c", "0", "wrk", "-t1"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg("-s")
        .arg(&script)
        .arg(format!("{}/v1/chat/completions", subject.url))
        .stdin(Stdio::null())
        .output()
        .context("wrk does not run; install it with `apt-get install wrk`")?;
    let cpu = cpu_micros(&subject.pids)? - before;
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
    Ok(Load {
        requests_per_second: requests / field("seconds=")?,
        p50_us: field("p50=")?,
        p99_us: field("p99=")?,
        cpu_us_per_request: cpu / requests,
    })
}

fn lua(key: &str) -> String {
    format!(
        r#"wrk.method = "POST"
wrk.body = '{{"model":"bench","messages":[{{"role":"user","content":"Hello!"}}],"max_tokens":16}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
done = function(summary, latency)
  local e = summary.errors
  print(string.format("requests=%d seconds=%f p50=%f p99=%f errors=%d", summary.requests,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#
    )
}

/// CPU time of processes, user and system, in microseconds.
pub(crate) fn cpu_micros(pids: &[u32]) -> anyhow::Result<f64> {
    // `getconf CLK_TCK` is 100 on every Linux that matters.
    const MICROS_PER_TICK: f64 = 10_000.0;
    let mut ticks = 0.0;
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit(')').next().context("a stat line")?;
        for place in [11, 12] {
            let field = fields.split_whitespace().nth(place).context("a CPU time")?;
            ticks += field.parse::<f64>()?;
        }
    }
    Ok(ticks * MICROS_PER_TICK)
}
