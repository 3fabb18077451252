//! Request bodies of every size and framing.

use diogenes_e2e::{Config, Model, RawConnection, Serve};
use reqwest::Body;
use serde_json::json;

fn config() -> Config {
    Config::with([Model::mock("demo", &["--tokens", "3"])]).line("max_body_bytes = 2000")
}

fn body(length: usize) -> String {
    let text = json!({"model": "demo", "messages": [{"role": "user", "content": ""}]}).to_string();
    let padding = length - text.len();
    text.replace("\"content\":\"\"", &format!("\"content\":\"{}\"", "x".repeat(padding)))
}

/// Sent without a length, in pieces.
fn chunked(body: &str) -> Body {
    let pieces: Vec<_> =
        body.as_bytes().chunks(700).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    Body::wrap_stream(futures_util::stream::iter(pieces))
}

#[tokio::test]
async fn a_body_of_the_largest_size_passes_and_one_byte_more_does_not() {
    let serve = Serve::start(config()).await;
    let client = serve.client();
    for (length, status) in [(2000, 200), (2001, 413)] {
        let answer = client.post_bytes("/v1/chat/completions", body(length)).await;
        assert_eq!(answer.status, status, "{length}");
        let answer = client.post_bytes("/v1/chat/completions", chunked(&body(length))).await;
        assert_eq!(answer.status, status, "{length} chunked");
    }
    assert_eq!(
        client.post_bytes("/v1/chat/completions", body(2001)).await.code(),
        "body_too_large"
    );
    assert_eq!(client.upstream_stats("demo").await["last_body"].as_str().unwrap().len(), 2000);
}

#[tokio::test]
async fn a_body_far_beyond_the_limit_is_told_so() {
    let serve = Serve::start(config()).await;
    let client = serve.client();
    for _ in 0..5 {
        let answer = client.post_bytes("/v1/chat/completions", body(8 << 20)).await;
        assert_eq!(answer.code(), "body_too_large");
    }
}

#[tokio::test]
async fn the_limit_holds_for_the_control_plane_too() {
    let serve = Serve::start(config()).await;
    assert_eq!(
        serve.client().post_bytes("/api/v1/keys", body(2001)).await.code(),
        "body_too_large"
    );
}

#[tokio::test]
async fn a_body_of_many_megabytes_passes() {
    let (_serve, client) =
        Serve::ready(Model::mock("demo", &["--max-model-len", "100000000"])).await;
    let answer = client.post_bytes("/v1/chat/completions", body(16 << 20)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
async fn a_body_that_is_announced_and_asked_for_passes() {
    let (serve, _client) = Serve::ready(Model::mock("demo", &["--tokens", "3"])).await;
    let mut connection = RawConnection::open(serve.base_url()).await;
    let body = body(500);
    connection
        .write(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            serve.admin_key(),
            body.len()
        ))
        .await;
    assert_eq!(connection.answer().await.status, 100);
    connection.write(&body).await;
    assert_eq!(connection.answer().await.status, 200);
}
