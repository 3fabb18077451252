//! What a batch costs, and what callers feel of one that runs beside them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::group::Group;
use crate::ready::client;
use crate::report::median;
use crate::started::{Started, mock};

/// How many lines of a batch, or callers, are answered at once in the measurement of their costs.
const AT_ONCE: usize = 32;
/// How many callers are at work beside a batch.
const CALLERS: usize = 4;
/// How long they are at work in each round, with and without one.
const ROUND: Duration = Duration::from_secs(15);
/// How long a batch of any size may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// The aims: memory in MiB, CPU of a line in microseconds, and how much longer callers may wait.
const MOST_MEMORY: f64 = 64.0;
const MOST_CPU: f64 = 1_000.0;
const MOST_DELAY: f64 = 1.1;

/// Measures a batch of so many lines, and, in so many rounds, callers beside one.
pub(crate) async fn measure(
    programs: &Path,
    lines: usize,
    rounds: usize,
) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let served = Served::start(programs, folder.path()).await?;
    let idle = served.group.peak_mib()?;
    let calls = served.calls(lines.min(10_000)).await?;
    let before = served.group.cpu_micros()?;
    let began = Instant::now();
    let batch = served.begin("fast", lines).await?;
    let counts = served.finished(&batch).await?;
    let took = began.elapsed();
    if counts.pointer("/completed") != Some(&json!(lines)) {
        bail!("the batch of {lines} lines ended with {counts}");
    }
    let cpu = (served.group.cpu_micros()? - before) / lines as f64;
    let peak = served.group.peak_mib()?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(served.callers().await?);
        let batch = served.begin("shared", 5_000).await?;
        served.is_answered(&batch).await?;
        beside.push(served.callers().await?);
        served.call(reqwest::Method::POST, &format!("/v1/batches/{batch}/cancel"), None).await?;
        served.finished(&batch).await?;
    }
    let ratios = alone.iter().zip(&beside).map(|(alone, beside)| beside / alone).collect();
    let ratio = median(ratios);
    Ok(format!(
        "a batch of {lines} lines: {:.1} s; CPU of `serve` {cpu:.0} µs a line, {calls:.0} µs a call of a client{}\n\
         memory of `serve`: {idle:.1} MiB before, {peak:.1} MiB at most{}\n\
         {CALLERS} callers, 95 of 100 answered within: {:.0} ms alone, {:.0} ms beside a batch, {ratio:.2} ×{}",
        took.as_secs_f64(),
        aim(cpu, MOST_CPU),
        aim(peak, MOST_MEMORY),
        median(alone),
        median(beside),
        aim(ratio, MOST_DELAY),
    ))
}

fn aim(value: f64, most: f64) -> String {
    let verdict = if value <= most { "reached" } else { "missed" };
    format!(" (aim: {most}, {verdict})")
}

/// A running `serve` with two models: one as fast as it can be, and one whose tokens all requests
/// share.
struct Served {
    group: Group,
    url: String,
    key: String,
}

impl Served {
    async fn start(programs: &Path, folder: &Path) -> anyhow::Result<Self> {
        let configuration = configuration(&mock(programs)?.display().to_string())?;
        let started = Started::new(programs, folder, &configuration).await?;
        let Started { group, url, admin, .. } = started;
        let mut served = Self { group, url, key: admin };
        let body = json!({"email": "bench@example.com"});
        let created = served.call(reqwest::Method::POST, "/api/v1/keys", Some(body)).await?;
        served.key = text(&created, "key")?;
        for model in ["fast", "shared"] {
            served.ask(model).await?;
        }
        Ok(served)
    }

    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let mut call =
            client()?.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        if let Some(body) = body {
            call = call.json(&body);
        }
        answer(call).await
    }

    async fn ask(&self, model: &str) -> anyhow::Result<()> {
        let body = question(model);
        self.call(reqwest::Method::POST, "/v1/chat/completions", Some(body)).await.map(|_| ())
    }

    /// CPU of `serve` in microseconds for a call of a client, answered so many at once.
    async fn calls(&self, count: usize) -> anyhow::Result<f64> {
        let before = self.group.cpu_micros()?;
        let http = client()?;
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            if tasks.len() >= AT_ONCE
                && let Some(done) = tasks.join_next().await
            {
                done??;
            }
            let url = format!("{}/v1/chat/completions", self.url);
            tasks.spawn(answer(http.post(url).bearer_auth(&self.key).json(&question("fast"))));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok((self.group.cpu_micros()? - before) / count as f64)
    }

    /// Uploads a file of questions and begins a batch of them.
    async fn begin(&self, model: &str, lines: usize) -> anyhow::Result<String> {
        const LIMIT: &str = "limit-of-the-form";
        let body = question(model);
        let mut form = format!(
            "--{LIMIT}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
             --{LIMIT}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"lines.jsonl\"\r\n\r\n"
        );
        for number in 0..lines {
            let line = json!({
                "custom_id": format!("line-{number}"), "method": "POST",
                "url": "/v1/chat/completions", "body": body,
            });
            form.push_str(&line.to_string());
            form.push('\n');
        }
        form.push_str(&["\r\n--", LIMIT, "--\r\n"].concat());
        let sent = client()?
            .post(format!("{}/v1/files", self.url))
            .bearer_auth(&self.key)
            .header("content-type", format!("multipart/form-data; boundary={LIMIT}"))
            .body(form);
        let file = text(&answer(sent).await?, "id")?;
        let new = json!({
            "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
        });
        let batch = self.call(reqwest::Method::POST, "/v1/batches", Some(new)).await?;
        text(&batch, "id")
    }

    /// Waits for the end of a batch, and returns how its requests ended.
    async fn finished(&self, batch: &str) -> anyhow::Result<Value> {
        let ends = ["completed", "failed", "cancelled", "expired"];
        let batch = self
            .until(batch, |batch| {
                batch.get("status").and_then(Value::as_str).is_some_and(|now| ends.contains(&now))
            })
            .await?;
        Ok(batch.get("request_counts").cloned().unwrap_or_default())
    }

    /// Waits until a batch has its first answers.
    async fn is_answered(&self, batch: &str) -> anyhow::Result<()> {
        let has_answers = |batch: &Value| {
            batch.pointer("/request_counts/completed").and_then(Value::as_u64) > Some(0)
        };
        self.until(batch, has_answers).await.map(|_| ())
    }

    async fn until(&self, batch: &str, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            let path = format!("/v1/batches/{batch}");
            let now = self.call(reqwest::Method::GET, &path, None).await?;
            if is_so(&now) {
                return Ok(now);
            }
            if began.elapsed() > PATIENCE {
                bail!("the batch does not end: {now}");
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Within how many milliseconds 95 of 100 calls were answered, of callers who ask again as soon
    /// as they have an answer.
    async fn callers(&self) -> anyhow::Result<f64> {
        let until = Instant::now() + ROUND;
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (http, url, key) = (client()?, self.url.clone(), self.key.clone());
            callers.spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < until {
                    let asked = Instant::now();
                    let url = format!("{url}/v1/chat/completions");
                    answer(http.post(url).bearer_auth(&key).json(&question("shared"))).await?;
                    times.push(asked.elapsed().as_secs_f64() * 1e3);
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(caller) = callers.join_next().await {
            times.extend(caller??);
        }
        times.sort_by(f64::total_cmp);
        times.get(times.len() * 95 / 100).copied().context("nobody was answered")
    }
}

async fn answer(call: reqwest::RequestBuilder) -> anyhow::Result<Value> {
    let response = call.send().await?;
    let (status, text) = (response.status(), response.text().await?);
    if !status.is_success() {
        bail!("{status}: {}", text.chars().take(400).collect::<String>());
    }
    Ok(serde_json::from_str(&text)?)
}

fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    let found = value.get(name).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no `{name}`: {value}"))
}

fn question(model: &str) -> Value {
    json!({
        "model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "Hello!"}],
    })
}

fn configuration(mock: &str) -> anyhow::Result<String> {
    let command = |name: &str, flags: &[&str]| {
        let mut words = vec!["taskset", "-c", "0", mock, "--quiet", "--threads", "1"];
        words.extend(["--host", "{host}", "--port", "{port}", "--served-model-name", name]);
        words.extend(flags);
        serde_json::to_string(&words)
    };
    let fast = command("fast", &[])?;
    // One answer alone is no faster than eight are together.
    let rates = ["--tokens-per-second", "100", "--shared-tokens-per-second", "800"];
    let shared = command("shared", &rates)?;
    Ok(format!(
        r#"[models.fast]
command = {fast}
idle_timeout = "2h"
target_concurrency = {AT_ONCE}

[models.shared]
command = {shared}
idle_timeout = "2h"
target_concurrency = 8
max_concurrency = 8
"#
    ))
}
