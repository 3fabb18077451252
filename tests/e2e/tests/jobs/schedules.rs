use serde_json::{Value, json};

use super::{serve, show};

const JOBS: &str = "[jobs.commands.say]\nprogram = [\"echo\"]\n";

/// A schedule is created, changed, paused and deleted, and always has one job that waits.
#[tokio::test]
async fn a_schedule_has_the_job_that_comes_next() {
    let (serve, client) = serve(JOBS).await;
    let apply = |cron: &str| {
        let text = ["schedule", "apply", "nightly", "--cron", cron, "--time-zone", "Europe/Berlin"];
        let job = ["command", "--arg", "command=say", "--tag", "by=schedule", "-o", "json"];
        let done = serve.cli(&[&text[..], &job].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let jobs = async || {
        let page = client.get("/api/v1/jobs?kind=command").await.json();
        page["data"].as_array().unwrap().clone()
    };
    let made = apply("0 3 * * *");
    let waiting = show(&client, made["next_job"].as_str().unwrap()).await;
    assert_eq!((&waiting["status"], &waiting["run_at"]), (&json!("scheduled"), &made["next_at"]));
    assert_eq!(
        (&waiting["schedule"], &waiting["tags"]["by"]),
        (&json!("nightly"), &json!("schedule"))
    );

    let changed = apply("30 4 1 1 *");
    assert_eq!(changed["created_at"], made["created_at"]);
    assert!(changed["next_at"].as_str().unwrap().ends_with("-01-01T03:30:00Z"), "{changed}");
    assert_eq!(jobs().await.len(), 1, "the one that waited is replaced");

    // Somebody cancels it: the schedule goes on with the time after it.
    let path = format!("/api/v1/jobs/{}/cancel", changed["next_job"].as_str().unwrap());
    assert_eq!(client.post(&path, &json!({})).await.status, 200);
    let next = client.get("/api/v1/schedules/nightly").await.json();
    assert_ne!(next["next_job"], changed["next_job"]);
    assert_eq!(jobs().await.len(), 2);

    let shown = String::from_utf8(serve.cli(&["schedule", "pause", "nightly"]).stdout).unwrap();
    assert!(shown.contains("next:       paused"), "{shown}");
    assert_eq!(jobs().await.len(), 1);
    assert!(serve.cli(&["schedule", "resume", "nightly"]).status.success());
    let listed = String::from_utf8(serve.cli(&["schedule", "list"]).stdout).unwrap();
    assert!(listed.contains("nightly") && listed.contains("Europe/Berlin"), "{listed}");

    assert!(serve.cli(&["schedule", "delete", "nightly", "--yes"]).status.success());
    assert_eq!(serve.cli(&["schedule", "show", "nightly"]).status.code(), Some(6));
    assert_eq!(jobs().await.len(), 1, "the cancelled one");
    let audit = client.get("/api/v1/audit?target=schedule/nightly").await.json();
    let actions = audit["data"].as_array().unwrap().iter().rev().map(|one| one["action"].clone());
    let expected = ["apply", "apply", "pause", "resume", "delete"];
    let expected: Vec<_> = expected.iter().map(|what| json!(format!("schedule.{what}"))).collect();
    assert_eq!(actions.collect::<Vec<_>>(), expected);
}

/// What makes no sense is refused with its field, and leaves nothing.
#[tokio::test]
async fn bad_schedules_are_refused_with_the_field() {
    let (_serve, client) = serve(JOBS).await;
    let good =
        || json!({"cron": "@daily", "job": {"kind": "command", "arguments": {"command": "say"}}});
    let with = |pointer: &str, value: Value| {
        let mut body = good();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, param) in [
        (with("/cron", json!("0 0 30 2 *")), "cron"),
        (with("/cron", json!("every day")), "cron"),
        (with("/cron", json!("61 * * * *")), "cron"),
        (with("/job/kind", json!("noop")), "job.kind"),
        (with("/job/arguments/command", json!("rm")), "job.arguments.command"),
        (with("/job", json!({})), "job.kind"),
        (json!({"cron": "@daily"}), "job"),
        (json!({"cron": "@daily", "time_zone": "Mars", "job": good()["job"]}), "time_zone"),
    ] {
        let answer = client.put("/api/v1/schedules/nightly", &body).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status.as_u16(), &error["param"]), (400, &json!(param)), "{error}");
    }
    let answer = client.put("/api/v1/schedules/No", &good()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["error"]["param"].clone()),
        (400, json!("name"))
    );
    assert_eq!(client.get("/api/v1/schedules").await.json()["data"], json!([]));
    assert_eq!(client.get("/api/v1/jobs").await.json()["data"], json!([]));
}
