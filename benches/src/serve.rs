use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::group::Group;
use crate::ready::{ask, client};
use crate::request::Request;
use crate::started::{Started, mock};
use crate::subject::Subject;

/// A running `diogenes serve`, pinned to the proxies' core, with its upstream on the clients'.
pub(crate) struct Serve {
    group: Rc<Group>,
    url: String,
    version: String,
    start: Duration,
    /// The URL of the upstream.
    pub(crate) upstream: String,
    /// A key with three limits and a budget in money.
    key: String,
    control: Control,
}

impl Serve {
    /// Starts it with everything on that a request can meet: its key has all limits and a budget,
    /// its model has a price.
    pub(crate) async fn start(programs: &Path, folder: &Path) -> anyhow::Result<Self> {
        let Started { group, program, url, admin, start } =
            Started::new(programs, folder, &configuration(&mock(programs)?)?).await?;
        let control = Control { url: url.clone(), admin };
        let key = control.key().await?;
        ask(&url, &Request::chat("bench", &key), false).await?;
        let cluster = control.call(reqwest::Method::GET, "cluster", None).await?;
        let upstream = cluster
            .pointer("/data/0/slots/0/base_url")
            .and_then(Value::as_str)
            .context("no replica")?
            .to_owned();
        let version = version(&program)?;
        Ok(Self { group: Rc::new(group), url, version, start, upstream, key, control })
    }

    /// The upstream itself.
    pub(crate) fn direct(&self) -> Subject {
        Subject {
            name: "direct".into(),
            version: "–".into(),
            url: self.upstream.clone(),
            request: Request::chat("bench", "none"),
            group: None,
            start: Duration::ZERO,
        }
    }

    /// A request whose bytes pass as they come.
    pub(crate) fn plain(&self) -> Subject {
        self.subject("diogenes", Request::chat("bench", &self.key))
    }

    /// Where something reads and writes the answers: a stream that can be recovered, and Messages
    /// that are translated.
    pub(crate) async fn armed(&self) -> anyhow::Result<[Subject; 2]> {
        let recover = Request::chat("recovered", &self.key);
        let headers = ask(&self.url, &recover, true).await?;
        let route =
            headers.get("x-diogenes-route").map_or("", |value| value.to_str().unwrap_or(""));
        if !route.ends_with("; recover") {
            bail!("a stream along `recovered` is not armed: its route is `{route}`");
        }
        let messages = Request::messages("bench", &self.key);
        ask(&self.url, &messages, true).await?;
        Ok([self.subject("diogenes recover", recover), self.subject("diogenes messages", messages)])
    }

    /// Pushes the first version of a prompt, which requests mean from then on.
    pub(crate) async fn push_prompt(&self, slug: &str, prompt: Value) -> anyhow::Result<()> {
        let versions = format!("prompts/{slug}/versions");
        self.control.call(reqwest::Method::POST, &versions, Some(prompt)).await?;
        let label = format!("prompts/{slug}/labels/production");
        let first = json!({"version": "v1"});
        self.control.call(reqwest::Method::PUT, &label, Some(first)).await?;
        Ok(())
    }

    /// Pushes another version of a prompt, and gives it half of the requests.
    pub(crate) async fn divide_prompt(&self, slug: &str, prompt: Value) -> anyhow::Result<()> {
        let versions = format!("prompts/{slug}/versions");
        self.control.call(reqwest::Method::POST, &versions, Some(prompt)).await?;
        let deployment = json!({
            "prompt_id": slug, "to_version": 2, "environment": "production", "skip_approval": true,
            "strategy": {"type": "DEPLOYMENT_TYPE_CANARY", "initial_percentage": 50},
        });
        self.control.call(reqwest::Method::POST, "deployments", Some(deployment)).await?;
        Ok(())
    }

    pub(crate) fn memory_mib(&self) -> anyhow::Result<f64> {
        self.group.memory_mib()
    }

    fn subject(&self, name: &str, request: Request) -> Subject {
        Subject {
            name: name.into(),
            version: self.version.clone(),
            url: self.url.clone(),
            request,
            group: Some(Rc::clone(&self.group)),
            start: self.start,
        }
    }
}

/// The control plane.
struct Control {
    url: String,
    admin: String,
}

impl Control {
    async fn key(&self) -> anyhow::Result<String> {
        let limits = json!({
            "requests_per_minute": 2_000_000_000, "tokens_per_minute": 4_000_000_000_u32, "concurrency": 1000
        });
        let body = json!({"email": "bench@example.com", "limits": limits});
        let created = self.call(reqwest::Method::POST, "keys", Some(body)).await?;
        let text = |name: &str| {
            let value = created.get(name).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("no `{name}`: {created}"))
        };
        let budget = format!("budgets/key/{}/usd/month", text("id")?);
        self.call(reqwest::Method::PUT, &budget, Some(json!({"cap": "$1000000"}))).await?;
        text("key")
    }

    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/{path}", self.url);
        let mut call = client()?.request(method, &url).bearer_auth(&self.admin);
        if let Some(body) = body {
            call = call.json(&body);
        }
        let response = call.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            bail!("{url} answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }
}

fn configuration(mock: &Path) -> anyhow::Result<String> {
    let mock = mock.display().to_string();
    // Without the claim's key, so that all others may ask the same upstream.
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
    Ok(format!(
        r#"[models.bench]
command = {command}
idle_timeout = "2h"
target_concurrency = 1000

[rate_cards.bench]
version = "bench"
price = {{ input = "0.10", output = "0.40" }}

[routes.recovered]
targets = ["bench"]
recover = true
"#
    ))
}

fn version(program: &str) -> anyhow::Result<String> {
    let output = std::process::Command::new(program).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().nth(1).unwrap_or("unknown").to_owned())
}
