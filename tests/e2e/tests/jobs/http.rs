use diogenes_e2e::target::{Target, answer, header};
use serde_json::{Value, json};

use super::{create, serve, show, until};

const OPEN: &str = "[jobs]\nhttp_allow = [\"127.0.0.1\"]\n";

fn request(url: &str) -> Value {
    json!({"kind": "http", "arguments": {"url": url, "json": {"text": "hello"}}})
}

/// A failed attempt is followed by another one with the same key, and the answer is kept.
#[tokio::test]
async fn a_request_is_sent_until_it_succeeds() {
    let (_serve, client) = serve(OPEN).await;
    let target = Target::start(&[
        &answer("503 Service Unavailable", "", "busy"),
        &answer("200 OK", "ETag: \"1\"\r\nSet-Cookie: a=b\r\n", "done"),
    ])
    .await;
    let id = create(&client, &request(&target.url())).await;
    let job = until(&client, &id, "completed").await;
    let result = json!({
        "status": 200, "headers": {"etag": "\"1\""}, "body": "done", "body_is_truncated": false,
    });
    assert_eq!(job["result"], result);
    assert_eq!((&job["attempt"], &job["queue"]), (&json!(2), &json!("http")));
    let message = job["failure"]["message"].as_str().unwrap();
    assert_eq!(message, "the server answered 503 Service Unavailable: busy");
    let requests = target.requests();
    assert_eq!(header(&requests, "idempotency-key"), [id.clone(), id]);
    assert!(requests[0].starts_with("POST /hook HTTP/1.1"), "{requests:?}");
    assert!(requests[0].ends_with("{\"text\":\"hello\"}"), "{requests:?}");
}

/// A pause that the server asks for is kept, and counts as an attempt.
#[tokio::test]
async fn a_server_may_ask_for_a_pause() {
    let (_serve, client) = serve(OPEN).await;
    let busy = answer("429 Too Many Requests", "Retry-After: 3600\r\n", "");
    let target = Target::start(&[&busy]).await;
    let id = create(&client, &request(&target.url())).await;
    let job = until(&client, &id, "retryable").await;
    // Times of one form compare as text.
    assert!(job["run_at"].as_str() > job["failure"]["at"].as_str(), "{job}");
    let hour = &job["run_at"].as_str().unwrap()[..13];
    assert_ne!(hour, &job["failure"]["at"].as_str().unwrap()[..13]);
    assert_eq!((&job["attempt"], target.requests().len()), (&json!(1), 1));
}

/// What another attempt does not help is not tried again: a redirect, even inward, is one.
#[tokio::test]
async fn refusals_and_redirects_are_final() {
    let (_serve, client) = serve(OPEN).await;
    let inner = Target::start(&[&answer("200 OK", "", "secret")]).await;
    let location = format!("Location: http://{}/\r\n", inner.address);
    for (status, headers) in [("404 Not Found", ""), ("302 Found", &*location)] {
        let target = Target::start(&[&answer(status, headers, "")]).await;
        let id = create(&client, &request(&target.url())).await;
        let job = until(&client, &id, "discarded").await;
        let message = job["failure"]["message"].as_str().unwrap();
        assert!(message.contains(status), "{message}");
        assert_eq!(target.requests().len(), 1);
    }
    assert_eq!(inner.requests().len(), 0);
}

/// A server that hangs, or breaks off, has failed; a job is cancelled in the middle of a request.
#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let (_serve, client) = serve(OPEN).await;
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
    for (script, part) in [("hang", "no complete answer came within 300ms"), (cut, "broke off")] {
        let target = Target::start(&[script]).await;
        let mut body = request(&target.url());
        body["arguments"]["timeout"] = json!("300ms");
        body["max_attempts"] = json!(1);
        let job = until(&client, &create(&client, &body).await, "discarded").await;
        let message = job["failure"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    }
    let target = Target::start(&["hang"]).await;
    let id = create(&client, &request(&target.url())).await;
    until(&client, &id, "running").await;
    client.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).await;
    until(&client, &id, "cancelled").await;
}

/// Without a rule, nothing inward is reached: what an address says at once, what a name says later.
#[tokio::test]
async fn nothing_inward_is_reached_by_default() {
    let (_serve, client) = serve("").await;
    let target = Target::start(&[&answer("200 OK", "", "secret")]).await;
    let refused = client.post("/api/v1/jobs", &request(&target.url())).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["error"]["param"].as_str()),
        (400, Some("arguments.url"))
    );
    let url = format!("http://localhost:{}/", target.address.port());
    let job = create(&client, &request(&url)).await;
    let job = until(&client, &job, "discarded").await;
    let message = job["failure"]["message"].as_str().unwrap();
    assert!(message.contains("a loopback address"), "{message}");
    assert_eq!(target.requests().len(), 0);
}

/// A job that is to begin later waits for its time.
#[tokio::test]
async fn a_job_may_begin_later() {
    let (_serve, client) = serve(OPEN).await;
    let target = Target::start(&[&answer("200 OK", "", "")]).await;
    let mut later = request(&target.url());
    later["delay"] = json!("1h");
    let later = create(&client, &later).await;
    let mut soon = request(&target.url());
    soon["delay"] = json!("1s");
    until(&client, &create(&client, &soon).await, "completed").await;
    assert_eq!(show(&client, &later).await["status"], "scheduled");
    assert_eq!(target.requests().len(), 1);
}
