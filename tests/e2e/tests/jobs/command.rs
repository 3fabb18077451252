use std::path::Path;

use diogenes_e2e::eventually;
use serde_json::{Value, json};

use super::{command, create, log, serve, show, until};

/// Commands for these tests.
const JOBS: &str = r#"
[jobs.commands.shell]
program = ["sh", "-c"]
final_codes = [3]
kill_grace = "1s"

[jobs.commands.greet]
program = ["printf", "%s-%s\n", "{first}", "{second}"]

[jobs.commands.absent]
program = ["/nowhere/to-be-found"]

[jobs.templates.hello]
kind = "command"
description = "Greets."
arguments = { command = "greet", values = { first = "hello", second = "world" } }
tags = { of = "template" }
"#;

fn shell(script: &str) -> Value {
    let mut body = command("shell", &[script]);
    body["max_attempts"] = json!(1);
    body
}

/// Whether a process is alive.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// What the first line of a job's log says that begins so.
async fn told(client: &diogenes_e2e::Client, job: &str, prefix: &str) -> String {
    eventually("a line of the log", async || {
        let lines = log(client, job).await;
        let found = lines.iter().find_map(|line| line.strip_prefix(prefix));
        found.map(str::to_owned).ok_or(lines.clone())
    })
    .await
}

#[tokio::test]
async fn a_programs_output_is_the_jobs_log_and_its_code_the_result() {
    let (_serve, client) = serve(JOBS).await;
    let id = create(&client, &shell("echo out; echo err >&2; echo '::progress 2/3 baking'")).await;
    let job = until(&client, &id, "completed").await;
    assert_eq!(job["result"], json!({"exit_code": 0}));
    assert_eq!(job["progress"], json!({"done": 2, "total": 3, "message": "baking"}));
    let mut lines = log(&client, &id).await;
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    let id = create(
        &client,
        &json!({"template": "hello", "arguments": {"values": {"second": "you; id"}}}),
    )
    .await;
    let job = until(&client, &id, "completed").await;
    assert_eq!(job["tags"], json!({"of": "template"}));
    assert_eq!(log(&client, &id).await, ["hello-you; id"]);
    let templates = client.get("/api/v1/jobs/templates").await.json();
    assert_eq!(templates["data"][0]["name"], "hello");
}

#[tokio::test]
async fn a_program_that_fails_is_tried_again_unless_its_code_is_final() {
    let (_serve, client) = serve(JOBS).await;
    let mut body = shell("echo attempt $DIOGENES_JOB_ATTEMPT; test $DIOGENES_JOB_ATTEMPT = 2");
    body["max_attempts"] = json!(5);
    let id = create(&client, &body).await;
    let job = until(&client, &id, "completed").await;
    let message = &job["failure"]["message"];
    assert_eq!(*message, "the program exited with code 1; its last line: attempt 1");
    assert_eq!(log(&client, &id).await, ["attempt 1", "attempt 2"]);
    let mut body = shell("exit 3");
    body["max_attempts"] = json!(5);
    let job = until(&client, &create(&client, &body).await, "discarded").await;
    assert_eq!(job["attempt"], 1);
    let absent = until(
        &client,
        &create(&client, &{
            let mut body = command("absent", &[]);
            body["max_attempts"] = json!(1);
            body
        })
        .await,
        "discarded",
    )
    .await;
    let message = absent["failure"]["message"].as_str().unwrap();
    assert!(message.contains("could not be started: No such file"), "{message}");
}

/// A job that is cancelled, or takes too long, ends with everything that it has started, also what
/// ignores SIGTERM.
#[tokio::test]
async fn a_program_ends_with_its_job() {
    let (_serve, client) = serve(JOBS).await;
    let script = "trap '' TERM; sleep 1000 & echo child $!; echo own $$; while :; do sleep 1; done";
    let id = create(&client, &shell(script)).await;
    let (child, own) = (told(&client, &id, "child ").await, told(&client, &id, "own ").await);
    assert!(lives(&child) && lives(&own));
    client.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).await;
    until(&client, &id, "cancelled").await;
    assert!(!lives(&child) && !lives(&own));
    let mut body = shell("sleep 1000 & echo child $!; wait");
    body["timeout"] = json!("2s");
    let id = create(&client, &body).await;
    let child = told(&client, &id, "child ").await;
    let job = until(&client, &id, "discarded").await;
    let message = job["failure"]["message"].as_str().unwrap();
    assert_eq!(message, "the attempt took longer than its timeout of 2s");
    assert!(!lives(&child));
}

/// What a program leaves behind ends with it.
#[tokio::test]
async fn nothing_is_left_of_a_program_that_has_ended() {
    let (_serve, client) = serve(JOBS).await;
    let id = create(&client, &shell("sleep 1000 > /dev/null 2>&1 & echo child $!")).await;
    until(&client, &id, "completed").await;
    let child = told(&client, &id, "child ").await;
    assert!(!lives(&child));
}

/// A server that ends gives the job back once its program has ended, and uses no attempt; one that is
/// killed leaves no program behind. Either way the next one runs it again.
#[tokio::test]
async fn a_program_ends_with_its_server_and_runs_again_with_the_next() {
    let (serve, client) = serve(JOBS).await;
    let id = create(&client, &{
        let mut body = shell("echo own $$; sleep 1000");
        body["max_attempts"] = json!(3);
        body
    })
    .await;
    let first = told(&client, &id, "own ").await;
    let serve = serve.restart_with(diogenes_e2e::Config::with([]).tables(JOBS)).await;
    let client = client.at(serve.base_url());
    assert!(!lives(&first));
    let second = eventually("the second run", async || {
        let lines = log(&client, &id).await;
        lines.get(1).cloned().ok_or(lines)
    })
    .await;
    assert_eq!(show(&client, &id).await["attempt"], 1, "what was given back used no attempt");
    let serve = serve.crash_and_restart().await;
    let client = client.at(serve.base_url());
    let second = second.strip_prefix("own ").unwrap().to_owned();
    eventually("the end of the program", async || if lives(&second) { Err(()) } else { Ok(()) })
        .await;
    eventually("the third run", async || {
        let lines = log(&client, &id).await;
        lines.get(2).cloned().ok_or(lines)
    })
    .await;
    assert_eq!(show(&client, &id).await["attempt"], 2);
}

/// A program that prints without end is not held back, and its log stays within its bounds.
#[tokio::test]
async fn a_chatty_program_is_bounded() {
    let (_serve, client) = serve(JOBS).await;
    let script =
        "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf '%10000s\\n' x";
    let id = create(&client, &shell(script)).await;
    until(&client, &id, "completed").await;
    let (mut cursor, mut count) = (String::new(), 0);
    loop {
        let page = client.get(&format!("/api/v1/jobs/{id}/logs?{cursor}")).await.json();
        for part in page["data"].as_array().unwrap() {
            for line in part["lines"].as_array().unwrap() {
                assert!(line.as_str().unwrap().len() <= 4 * 1024 + 3);
                count += 1;
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("cursor={next}"),
            None => break,
        }
    }
    assert_eq!(count, 20_001);
}

/// The command line waits for a job, shows its log, and tells by its exit code what came of it.
#[tokio::test]
async fn the_command_line_runs_jobs() {
    let (serve, _) = serve(JOBS).await;
    let run = |script: &str| {
        let argument = format!("arguments:=[{}]", Value::from(script));
        let arguments = ["--arg", "command=shell", "--arg", &argument, "--max-attempts", "1"];
        serve.cli(&[&["job", "run", "command", "--wait"], &arguments[..]].concat())
    };
    let done = run("echo hello");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(0), "{text}");
    assert!(text.contains("  hello\n") && text.contains("completed"), "{text}");
    let failed = run("exit 7");
    assert_eq!(failed.status.code(), Some(9));
    let error = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(error.contains("exited with code 7"), "{error}");
    let refused = serve.cli(&["job", "run", "command", "--arg", "command=rm"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("must be one of the configured commands"), "{error}");
}
