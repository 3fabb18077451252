use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diogenes_e2e::{Client, Serve, diogenes, eventually, eventually_within};
use serde_json::{Value, json};

use super::{command, create, log, serve, show, until};

/// What the server knows: it runs nothing of it.
const SERVER: &str = r#"
[jobs.queues]
command = 0

[jobs.commands.slow]
program = ["sh"]

[jobs.commands.endless]
program = ["sh"]

[jobs.commands.other]
program = ["true"]

[jobs.commands.large]
program = ["true"]
needs = { cpu = 9999 }
"#;

/// What the workers run.
const WORKER: &str = r#"
[jobs.commands.slow]
program = ["sh", "-c", "echo $DIOGENES_JOB_ATTEMPT by $NAME; sleep 3; echo done"]

[jobs.commands.endless]
program = ["sh", "-c", "while :; do echo on; sleep 0.2; done"]

[jobs.commands.large]
program = ["true"]
"#;

/// A worker that is killed when it is dropped.
struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    fn start(serve: &Serve, key: &str, name: &str, more: &[&str]) -> Self {
        let folder = serve.folder();
        let (config, log) =
            (folder.path().join("worker.toml"), folder.path().join(format!("{name}.log")));
        std::fs::write(&config, WORKER).unwrap();
        let child = Command::new(diogenes())
            .args(["worker", "--queues", "command", "--concurrency", "2", "--name", name])
            .args(["--listen", "127.0.0.1:0", "--url", serve.base_url(), "--config"])
            .arg(&config)
            .args(more)
            .env("DIOGENES_API_KEY", key)
            .env("NAME", name)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the end of the worker", async || {
            self.child.try_wait().unwrap().map(|status| status.code()).ok_or(())
        })
        .await
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker's key.
async fn key(admin: &Client) -> String {
    let wanted = json!({"email": "box@example.com", "scopes": ["jobs:work"]});
    admin.create_key(&wanted).await.1
}

/// Who has a job.
async fn worker_of(client: &Client, job: &str) -> String {
    eventually("a worker", async || {
        let job = show(client, job).await;
        job["worker"].as_str().map(str::to_owned).ok_or(job.clone())
    })
    .await
}

/// Two workers, one of which is killed in the middle of a command: the job runs again, once, at the
/// other one.
#[tokio::test]
async fn a_killed_workers_job_runs_again_elsewhere_once() {
    let (serve, client) = serve(SERVER).await;
    let key = key(&client).await;
    let mut workers =
        [Worker::start(&serve, &key, "one", &[]), Worker::start(&serve, &key, "two", &[])];
    let id = create(&client, &command("slow", &[])).await;
    let first = worker_of(&client, &id).await;
    eventually("a line", async || {
        let lines = log(&client, &id).await;
        if lines.is_empty() { Err(()) } else { Ok(()) }
    })
    .await;
    let began = std::time::Instant::now();
    workers[usize::from(first == "two")].kill();
    let other = if first == "one" { "two" } else { "one" };
    let job = eventually_within(Duration::from_secs(90), "the second run", async || {
        let job = show(&client, &id).await;
        if job["worker"] == other { Ok(job) } else { Err(job) }
    })
    .await;
    assert!(began.elapsed() <= Duration::from_secs(75), "{:?}", began.elapsed());
    assert_eq!(job["attempt"], 2);
    let done = until(&client, &id, "completed").await;
    assert_eq!(done["result"], json!({"exit_code": 0}));
    let lines = log(&client, &id).await;
    assert_eq!(lines, [format!("1 by {first}"), format!("2 by {other}"), "done".into()]);
}

/// A worker that is asked to end gives its job back at once, and without an attempt.
#[tokio::test]
async fn a_worker_that_ends_gives_its_job_back() {
    let (serve, client) = serve(SERVER).await;
    let key = key(&client).await;
    let mut one = Worker::start(&serve, &key, "one", &[]);
    let id = create(&client, &command("slow", &[])).await;
    worker_of(&client, &id).await;
    assert_eq!(one.terminate().await, Some(0), "{}", one.log());
    let job = show(&client, &id).await;
    assert_eq!(
        (&job["status"], &job["attempt"]),
        (&json!("available"), &json!(0)),
        "{}",
        one.log()
    );
    let _two = Worker::start(&serve, &key, "two", &[]);
    let done = until(&client, &id, "completed").await;
    assert_eq!(done["attempt"], 1);
}

/// A worker takes what it can do, and nothing else.
#[tokio::test]
async fn a_worker_takes_only_what_fits() {
    let (serve, client) = serve(SERVER).await;
    let key = key(&client).await;
    let mut jobs = Vec::new();
    for name in ["large", "other", "slow"] {
        jobs.push(create(&client, &command(name, &[])).await);
    }
    client.post("/api/v1/projects", &json!({"id": "team"})).await;
    let elsewhere = client.post("/api/v1/jobs?project=team", &command("slow", &[])).await;
    assert_eq!(elsewhere.status, 201, "{}", elsewhere.text());
    let _one = Worker::start(&serve, &key, "one", &[]);
    until(&client, &jobs[2], "completed").await;
    for job in &jobs[..2] {
        assert_eq!(show(&client, job).await["status"], "available");
    }
    let elsewhere = client.get("/api/v1/jobs?project=team").await.json();
    assert_eq!(elsewhere["data"][0]["status"], "available");
}

/// A job that somebody cancels ends at its worker with the next that it reports. Its health and its
/// metrics are told.
#[tokio::test]
async fn a_worker_hears_of_a_cancellation() {
    let (serve, client) = serve(SERVER).await;
    let key = key(&client).await;
    let worker = Worker::start(&serve, &key, "one", &[]);
    let id = create(&client, &command("endless", &[])).await;
    worker_of(&client, &id).await;
    client.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).await;
    until(&client, &id, "cancelled").await;
    let health = worker.log();
    let url = health.split("its health is at ").nth(1).unwrap().split("/healthz").next().unwrap();
    let metrics = Client::new(url, "").get("/metrics").await.text();
    assert!(
        metrics.contains("diogenes_job_attempts_total{kind=\"command\",outcome=\"cancelled\"} 1"),
        "{metrics}"
    );
    assert_eq!(Client::new(url, "").get("/healthz").await.text(), "ok\n");
}

/// A wrong key is told at once, and what a claim has lost is refused.
#[tokio::test]
async fn a_worker_without_the_right_is_refused() {
    let (serve, client) = serve(SERVER).await;
    let wanted = json!({"email": "box@example.com", "scopes": ["inference"]});
    let (_, wrong) = client.create_key(&wanted).await;
    let mut worker = Worker::start(&serve, &wrong, "one", &[]);
    let code = eventually("the end of the worker", async || {
        worker.child.try_wait().unwrap().map(|status| status.code()).ok_or(())
    })
    .await;
    assert_eq!(code, Some(5), "{}", worker.log());
    let worker = client.at(serve.base_url());
    let claim = |most: Value| {
        json!({"worker": "w", "queues": ["command"], "kinds": ["command"], "most": most,
            "has": {"commands": ["slow"]}})
    };
    let id = create(&client, &command("slow", &[])).await;
    let item = worker.post("/api/v1/work/claim", &claim(json!(1))).await.json()["data"][0].clone();
    assert_eq!(item["job"]["id"], json!(id));
    for (path, body) in [
        ("beat", json!({"claim": "0".repeat(32)})),
        ("finish", json!({"claim": "x", "outcome": {"is": "completed"}})),
    ] {
        let answer = worker.post(&format!("/api/v1/work/jobs/{id}/{path}"), &body).await;
        assert_eq!(answer.refusal(), (409, "conflict".into()), "{path}");
    }
    let beat = json!({"claim": item["claim"], "lines": ["one\ntwo", "three\r\n"]});
    assert_eq!(worker.post(&format!("/api/v1/work/jobs/{id}/beat"), &beat).await.status, 200);
    let log = client.get(&format!("/api/v1/jobs/{id}/logs")).await.json();
    assert_eq!(log["data"][0]["lines"], json!(["one", "two", "three"]), "{log}");
    let path = format!("/api/v1/work/jobs/{id}/finish");
    let late = json!({"is": "snoozed", "until": "2926-01-01T00:00:00Z", "what": "the far future"});
    let answer = worker.post(&path, &json!({"claim": item["claim"], "outcome": late})).await;
    assert_eq!(answer.json()["error"]["param"], "outcome.until", "{}", answer.text());
    let end = json!({"claim": item["claim"], "outcome": {"is": "completed", "result": {"a": 1}}});
    assert_eq!(worker.post(&path, &end).await.status, 200);
    assert_eq!(worker.post(&path, &end).await.refusal(), (409, "conflict".into()), "twice");
    assert_eq!(show(&client, &id).await["result"], json!({"a": 1}));
    for (body, param) in [
        (claim(json!(0)), "most"),
        (json!({"worker": "", "queues": ["a"], "kinds": [], "most": 1}), "worker"),
        (json!({"worker": "serve", "queues": ["a"], "kinds": [], "most": 1}), "worker"),
        (json!({"worker": "w", "queues": [], "kinds": [], "most": 1}), "queues"),
        (json!({"worker": "w", "queues": ["a"], "kinds": [], "most": 1, "wait": "1m"}), "wait"),
        (json!({"worker": "w", "queues": ["batch"], "kinds": ["batch"], "most": 1}), "kinds"),
        (json!({"worker": "w", "queues": ["a"], "kinds": ["webhook"], "most": 1}), "kinds"),
    ] {
        let answer = worker.post("/api/v1/work/claim", &body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["param"]),
            (400, &json!(param))
        );
    }
}
