use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;

use crate::runtime_api::{News, RuntimeApi};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The process of a function.
pub(crate) struct Process {
    child: Child,
    api: RuntimeApi,
    began: Instant,
}

/// When a process did what, since just before its `exec`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// It asked for its first event.
    pub(crate) asked: Duration,
    /// It had answered it.
    pub(crate) answered: Duration,
    /// What it had used of the processor until then, all its threads together.
    pub(crate) cpu: Duration,
}

impl Process {
    /// Starts a program as Lambda does, with these variables beside Lambda's own. What it says
    /// goes to `log`.
    pub(crate) async fn start(
        program: &Path,
        variables: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let api = RuntimeApi::start().await?;
        let log = File::create(log)?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_SESSION_TOKEN", "token")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("{}", program.display()))?;
        Ok(Self { child, api, began })
    }

    /// Waits for the answer to the first event.
    pub(crate) async fn first(&mut self, event: Bytes) -> anyhow::Result<(Start, Bytes)> {
        self.api.give(event);
        let (mut asked, mut answer) = (None, None);
        while answer.is_none() {
            match self.news().await? {
                News::Asked(at) => asked = asked.or(Some(at)),
                News::Answered(at, body) => answer = Some((at, body)),
                News::Failed(error) => bail!("{error}"),
            }
        }
        let cpu = cpu(self.child.id())?;
        let (at, body) = answer.context("no answer")?;
        let since = |at: Instant| at.duration_since(self.began);
        let asked = asked.context("it has not asked")?;
        Ok((Start { asked: since(asked), answered: since(at), cpu }, body))
    }

    /// The answer to one more event.
    pub(crate) async fn next(&mut self, event: Bytes) -> anyhow::Result<Bytes> {
        self.api.give(event);
        loop {
            match self.news().await? {
                News::Asked(_) => {}
                News::Answered(_, body) => return Ok(body),
                News::Failed(error) => bail!("{error}"),
            }
        }
    }

    /// The most memory that it has had, in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    async fn news(&mut self) -> anyhow::Result<News> {
        let news = tokio::time::timeout(DEADLINE, self.api.news()).await;
        news.context("nothing comes from it")?.context("the runtime API has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time that the threads of a process have run, as the scheduler counts it (the first field
/// of `schedstat` is in nanoseconds; see the kernel's `Documentation/scheduler/sched-stats.rst`).
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split_whitespace().next().and_then(|run| run.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}
