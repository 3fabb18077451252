use diogenes_e2e::target::{Target, answer, body, check_signatures, header};
use serde_json::{Value, json};

use super::{command, create, serve, until};

const JOBS: &str = "[jobs]\nhttp_allow = [\"127.0.0.1\"]\n\
                    [jobs.commands.say]\nprogram = [\"echo\"]\n\
                    [jobs.commands.fail]\nprogram = [\"false\"]\n";

/// The end of a job is told by a signed request, again until the receiver has it, with one id.
#[tokio::test]
async fn the_end_of_a_job_is_told_and_signed() {
    let (serve, client) = serve(JOBS).await;
    let busy = answer("503 Service Unavailable", "", "");
    let target = Target::start(&[&busy, &answer("204 No Content", "", "")]).await;
    let mut job = command("say", &["hello"]);
    job["callback"] = json!({"url": target.url()});
    job["tags"] = json!({"run": "7"});
    let id = create(&client, &job).await;
    let done = until(&client, &id, "completed").await;
    assert_eq!(done["callback"], target.url());

    let requests = target.received(2).await;
    let payload: Value = serde_json::from_str(body(&requests[1])).unwrap();
    assert_eq!(payload["type"], "job.completed");
    assert_eq!(payload["data"]["id"], id);
    assert_eq!(payload["data"]["result"], json!({"exit_code": 0}));
    assert_eq!(payload["data"]["tags"], json!({"run": "7"}));
    let ids = header(&requests, "webhook-id");
    assert!(ids[0] == ids[1] && ids[0].starts_with("msg_"), "{ids:?}");

    let secret = String::from_utf8(serve.cli(&["job", "webhook-secret"]).stdout).unwrap();
    check_signatures(&requests, &secret);
}

/// However it ends: failed, or cancelled before it began.
#[tokio::test]
async fn every_end_is_told_once() {
    let (_serve, client) = serve(JOBS).await;
    let target = Target::start(&[&answer("200 OK", "", "")]).await;
    let callback = json!({"url": target.url()});
    let mut failing = command("fail", &[]);
    (failing["callback"], failing["max_attempts"]) = (callback.clone(), json!(1));
    let failing = create(&client, &failing).await;
    until(&client, &failing, "discarded").await;
    let mut waiting = command("say", &[]);
    (waiting["callback"], waiting["delay"]) = (callback, json!("1h"));
    let waiting = create(&client, &waiting).await;
    let path = format!("/api/v1/jobs/{waiting}/cancel");
    assert_eq!(client.post(&path, &json!({})).await.status, 200);
    let requests = target.received(2).await;
    let mut told: Vec<_> = requests
        .iter()
        .map(|request| {
            let payload: Value = serde_json::from_str(body(request)).unwrap();
            (payload["type"].clone(), payload["data"]["id"].clone())
        })
        .collect();
    told.sort_by_key(|(what, _)| what.to_string());
    let expected =
        [(json!("job.cancelled"), json!(waiting)), (json!("job.discarded"), json!(failing))];
    assert_eq!(told, expected);
}

/// A receiver that is not public is refused when the job is created.
#[tokio::test]
async fn nobody_is_told_inwards() {
    let (_serve, client) = serve("[jobs.commands.say]\nprogram = [\"echo\"]\n").await;
    for url in ["http://127.0.0.1/", "http://169.254.169.254/latest", "ftp://example.com", "x"] {
        let mut job = command("say", &[]);
        job["callback"] = json!({"url": url});
        let answer = client.post("/api/v1/jobs", &job).await;
        let param = answer.json()["error"]["param"].clone();
        assert_eq!((answer.status.as_u16(), param), (400, json!("callback")), "{url}");
    }
}
