use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use bytes::Bytes;
use fake_ec2::{FakeEc2, LAUNCH_TEMPLATE, SUBNETS};

use crate::events;
use crate::process::{Process, Start};
use crate::table::{MODEL, Tables};

/// What all are compared with.
pub(crate) const HELLO: &str = "hello";

/// A program and the first event that it gets.
pub(crate) struct Subject {
    /// What is measured.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    variables: Vec<(String, String)>,
    event: Bytes,
    /// What a right answer has in it.
    answer: &'static str,
    /// How many milliseconds later than hello it may have answered.
    pub(crate) limit_ms: Option<f64>,
}

impl Subject {
    /// Starts it, and waits for the answer to its event.
    pub(crate) async fn start(&self, log: &Path) -> anyhow::Result<(Process, Start)> {
        let mut process = Process::start(&self.program, &self.variables, log).await?;
        let (start, body) = process.first(self.event.clone()).await?;
        let body = String::from_utf8_lossy(&body);
        ensure!(body.contains(self.answer), "{}: no right answer: {body}", self.name);
        Ok((process, start))
    }

    /// The size of its program, in MiB.
    pub(crate) fn size_mib(&self) -> anyhow::Result<f64> {
        let file = std::fs::metadata(&self.program);
        let file = file.with_context(|| format!("{} is not built", self.program.display()))?;
        Ok(file.len() as f64 / f64::from(1 << 20))
    }
}

/// Every program with its first event: over a table with nothing but a key, or over one with a
/// replica that serves at `replica`.
pub(crate) async fn all(
    programs: &Path,
    tables: &Tables,
    ec2: &FakeEc2,
    replica: &str,
) -> anyhow::Result<Vec<Subject>> {
    let key = tables.with_key("empty").await?;
    tables.serving("serving", replica).await?;
    let subject = |name, program: &str, event, answer, limit_ms| Subject {
        name,
        program: programs.join(program),
        variables: variables(program, tables, ec2),
        event,
        answer,
        limit_ms,
    };
    let get = |path| events::request("GET", path, None);
    let ok = r#""statusCode":200"#;
    let mut subjects = vec![
        subject(HELLO, "bench-hello", get("/hello"), "hello", None),
        subject("authorizer", "authorizer", events::token(&key), r#""Allow""#, Some(10.0)),
        subject("router: `GET /healthz`", "router", get("/healthz"), ok, Some(10.0)),
        subject("router: a first chat", "router", events::chat(MODEL, 16), "[DONE]", None),
        subject("keys: a list", "keys", get("/api/v1/keys"), ok, Some(10.0)),
        subject("cluster: models", "cluster", get("/api/v1/models"), ok, None),
        subject("prompts: a list", "prompts", get("/api/v1/prompts"), ok, Some(10.0)),
        subject("batches: jobs", "batches", get("/api/v1/jobs"), ok, Some(15.0)),
        subject("datasets: a list", "datasets", get("/api/v1/datasets"), ok, Some(15.0)),
        subject("eval: a list", "eval", get("/api/v1/evals"), ok, Some(15.0)),
        // That nothing is due it believes only after two seconds.
        subject("jobs: a look at nothing", "jobs", events::look(), "null", None),
        subject("orchestrator: all", "orchestrator", events::reconcile(), "null", Some(15.0)),
    ];
    for subject in &mut subjects {
        let table = if subject.name == ROUTER_CHAT { "serving" } else { "empty" };
        subject.variables.push(("DIOGENES_TABLE".into(), table.into()));
    }
    Ok(subjects)
}

/// Which function works on jobs; nobody invokes it.
const JOBS: &str = "arn:aws:lambda:us-east-1:123456789012:function:jobs";

/// The router with an event that takes it to a replica.
pub(crate) const ROUTER_CHAT: &str = "router: a first chat";

/// What the template sets for every function that may use it.
fn variables(program: &str, tables: &Tables, ec2: &FakeEc2) -> Vec<(String, String)> {
    let subnets: Vec<String> = SUBNETS.iter().map(|(id, zone)| format!("{zone}={id}")).collect();
    let all = [
        ("DIOGENES_LOG", "info".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", tables.endpoint.to_owned()),
        ("AWS_ENDPOINT_URL_EC2", ec2.endpoint().to_owned()),
        ("DIOGENES_ORCHESTRATOR", "orchestrator".to_owned()),
        ("DIOGENES_DEPLOYMENT", "bench".to_owned()),
        ("DIOGENES_LAUNCH_TEMPLATE", LAUNCH_TEMPLATE.to_owned()),
        ("DIOGENES_SUBNETS", subnets.join(",")),
        ("DIOGENES_DUTY", "inference".to_owned()),
        ("DIOGENES_BUCKET", "bench".to_owned()),
        ("DIOGENES_WORKERS", JOBS.to_owned()),
        ("DIOGENES_TRANSFERS", JOBS.to_owned()),
        ("DIOGENES_OUTBOUND", JOBS.to_owned()),
        ("DIOGENES_SCHEDULES", "bench".to_owned()),
        ("DIOGENES_SCHEDULE_ROLE", "arn:aws:iam::123456789012:role/bench".to_owned()),
        ("DIOGENES_FAILED_EVENTS", "arn:aws:sqs:us-east-1:123456789012:bench".to_owned()),
        ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true".to_owned()),
    ];
    let of_program = all.into_iter().filter(|_| program != "bench-hello");
    of_program.map(|(name, value)| (name.to_owned(), value)).collect()
}
