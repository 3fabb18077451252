//! How much a key may use.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails at once")]

use diogenes_e2e::{Answer, Client, Model, Serve, chat, eventually};
use serde_json::{Value, json};

async fn with_limits(flags: &[&str], limits: &Value) -> (Serve, Client) {
    let (serve, admin) = Serve::ready(Model::mock("demo", flags)).await;
    let body = json!({"email": "ada@example.com", "limits": limits});
    let (_, key) = admin.create_key(&body).await;
    let client = serve.client_with(&key);
    (serve, client)
}

fn number(answer: &Answer, header: &str) -> u64 {
    let text = answer.header(header).expect(header);
    text.parse().expect(header)
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.refusal(), (429, "rate_limit_exceeded".into()), "{}", answer.text());
    assert!((1..=60).contains(&number(answer, "retry-after")));
}

/// What is left of the tokens beside a request that uses none, and that asks.
async fn tokens_left(client: &Client) -> u64 {
    let body = json!({"model": "demo", "messages": 7, "max_tokens": 1});
    let refused = client.post("/v1/chat/completions", &body).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    number(&refused, "x-ratelimit-remaining-tokens")
}

/// Waits until so many tokens were counted since `fresh` were left.
async fn until_used(client: &Client, fresh: u64, used: u64) {
    eventually(&format!("{used} tokens used"), async || {
        let left = tokens_left(client).await;
        if fresh - left == used { Ok(()) } else { Err(fresh - left) }
    })
    .await;
}

#[tokio::test]
async fn requests_per_minute_are_counted_and_refused() {
    let (_serve, client) =
        with_limits(&["--tokens", "3"], &json!({"requests_per_minute": 3})).await;
    for left in [2, 1, 0] {
        let answer = client.chat("demo").await;
        assert_eq!(answer.status, 200);
        assert_eq!(number(&answer, "x-ratelimit-limit-requests"), 3);
        assert_eq!(number(&answer, "x-ratelimit-remaining-requests"), left);
        assert!(answer.header("x-ratelimit-reset-requests").unwrap().ends_with('s'));
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), None);
    }
    for stream in [false, true] {
        let refused = client.post("/v1/chat/completions", &chat("demo", stream)).await;
        assert_limited(&refused);
        assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 0);
    }
    assert_eq!(client.get("/v1/models").await.status, 200, "only inference is limited");
}

#[tokio::test]
async fn a_rotated_key_goes_on_with_the_minute_of_the_old_one() {
    let (serve, admin) = Serve::ready(Model::mock("demo", &["--tokens", "3"])).await;
    let body = json!({"email": "ada@example.com", "limits": {"requests_per_minute": 3}});
    let (mut id, key) = admin.create_key(&body).await;
    let old = serve.client_with(&key);
    assert_eq!(old.chat("demo").await.status, 200);
    for left in [1, 0] {
        let rotate = format!("/api/v1/keys/{id}/rotate");
        let rotated = admin.post(&rotate, &json!({"grace": "1h"})).await.json();
        id = rotated["id"].as_str().expect("an id").to_owned();
        let fresh = serve.client_with(rotated["key"].as_str().expect("a key"));
        let answer = fresh.chat("demo").await;
        assert_eq!(number(&answer, "x-ratelimit-remaining-requests"), left);
    }
    assert_limited(&old.chat("demo").await);
}

#[tokio::test]
async fn limits_of_one_key_do_not_touch_another() {
    let (serve, client) = with_limits(&["--tokens", "3"], &json!({"requests_per_minute": 1})).await;
    client.chat("demo").await;
    assert_limited(&client.chat("demo").await);
    let unlimited = serve.client().chat("demo").await;
    assert_eq!(
        (unlimited.status.as_u16(), unlimited.header("x-ratelimit-limit-requests")),
        (200, None)
    );
}

#[tokio::test]
async fn tokens_of_a_plain_answer_are_counted_as_it_tells() {
    let (_serve, client) =
        with_limits(&["--tokens", "8"], &json!({"tokens_per_minute": 100_000})).await;
    let fresh = tokens_left(&client).await;
    let usage = client.chat("demo").await.json()["usage"]["total_tokens"].as_u64().unwrap();
    assert!(usage > 8);
    until_used(&client, fresh, usage).await;
}

#[tokio::test]
async fn tokens_of_a_stream_that_tells_its_usage_are_counted_as_it_tells() {
    let (_serve, client) =
        with_limits(&["--tokens", "8"], &json!({"tokens_per_minute": 100_000})).await;
    let fresh = tokens_left(&client).await;
    let plain = client.chat("demo").await.json()["usage"]["total_tokens"].as_u64().unwrap();
    until_used(&client, fresh, plain).await;
    let mut body = chat("demo", true);
    body["stream_options"] = json!({"include_usage": true});
    client.post("/v1/chat/completions", &body).await;
    until_used(&client, fresh, 2 * plain).await;
    // The other APIs name them differently.
    let body = json!({"model": "demo", "input": "a", "stream": true});
    let text = client.post("/v1/responses", &body).await.text();
    let total = text.rsplit("\"total_tokens\":").next().unwrap();
    let total: u64 =
        total.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    until_used(&client, fresh, 2 * plain + total).await;
}

#[tokio::test]
async fn tokens_of_a_stream_are_counted_though_its_caller_asks_for_no_usage() {
    let (_serve, client) =
        with_limits(&["--tokens", "8"], &json!({"tokens_per_minute": 100_000})).await;
    let plain = client.chat("demo").await.json();
    let total = plain["usage"]["total_tokens"].as_u64().unwrap();
    let fresh = tokens_left(&client).await;
    let stream = client.post("/v1/chat/completions", &chat("demo", true)).await;
    assert!(!stream.text().contains("prompt_tokens"), "{}", stream.text());
    until_used(&client, fresh, total).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_stream_whose_caller_leaves_are_counted_so_far() {
    let flags = ["--tokens", "1000", "--tokens-per-second", "50"];
    let (_serve, client) = with_limits(&flags, &json!({"tokens_per_minute": 100_000})).await;
    let fresh = tokens_left(&client).await;
    let mut stream = client.chat_stream("demo").await;
    for _ in 0..5 {
        stream.next().await;
    }
    drop(stream);
    eventually("some tokens used", async || {
        let used = fresh - tokens_left(&client).await;
        if (4..=500).contains(&used) { Ok(()) } else { Err(used) }
    })
    .await;
}

#[tokio::test]
async fn a_key_without_tokens_left_is_refused() {
    let (_serve, client) =
        with_limits(&["--tokens", "40"], &json!({"tokens_per_minute": 30})).await;
    assert_eq!(client.chat("demo").await.status, 200);
    let refused = eventually("a refusal", async || {
        let answer = client.chat("demo").await;
        if answer.status == 429 { Ok(answer) } else { Err(answer.status) }
    })
    .await;
    assert_limited(&refused);
    assert_eq!(number(&refused, "x-ratelimit-limit-tokens"), 30);
    assert_eq!(number(&refused, "x-ratelimit-remaining-tokens"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_requests_in_flight_are_set_aside() {
    let flags = ["--tokens", "1000", "--tokens-per-second", "20"];
    let (_serve, client) = with_limits(&flags, &json!({"tokens_per_minute": 10_000})).await;
    let mut body = chat("demo", true);
    body["max_tokens"] = json!(6000);
    let mut stream = client.stream("/v1/chat/completions", &body).await;
    let left = stream.headers["x-ratelimit-remaining-tokens"].to_str().unwrap();
    assert!((3000..4000).contains(&left.parse::<u64>().unwrap()), "{left}");
    stream.next().await;
    assert_limited(&client.post("/v1/chat/completions", &body).await);
    drop(stream);
    eventually("what the stream did not use is left", async || {
        let stream = client.stream("/v1/chat/completions", &body).await;
        if stream.status == 200 { Ok(()) } else { Err(stream.status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_are_limited_until_one_ends() {
    let flags = ["--tokens", "1000", "--tokens-per-second", "20"];
    let (_serve, client) = with_limits(&flags, &json!({"concurrency": 1})).await;
    let mut stream = client.chat_stream("demo").await;
    stream.next().await;
    assert_limited(&client.chat("demo").await);
    drop(stream);
    eventually("the slot is free", async || {
        let mut stream = client.chat_stream("demo").await;
        if stream.status == 200 { Ok(stream.next().await) } else { Err(stream.status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_counts_as_one_at_once() {
    let model = Model::mock("demo", &["--never-healthy"]);
    let serve = Serve::start(diogenes_e2e::Config::with([model])).await;
    let body = json!({"email": "ada@example.com", "limits": {"concurrency": 1}});
    let (_, key) = serve.client().create_key(&body).await;
    let client = serve.client_with(&key);
    let held = client.chat_stream("demo").await;
    assert_eq!(held.status, 200);
    assert_limited(&client.chat("demo").await);
}
