//! Bytes and headers arrive as they were sent.

use diogenes_e2e::{Client, Config, Event, Model, RawConnection, Serve, chat};
use reqwest::Method;

fn eight() -> Model {
    Model::mock("demo", &["--tokens", "8"])
}

/// The same request to the replica itself.
async fn direct(client: &Client, path: &str, body: &str) -> Vec<u8> {
    let replica = client.replica("demo", 0).await;
    let key = client.upstream_key("demo").await;
    let replica = Client::new(replica.base_url(), &key);
    let request = replica.request(Method::POST, path).header("x-request-id", "same");
    replica
        .send(request.header("content-type", "application/json").body(body.to_owned()))
        .await
        .body
}

async fn through(client: &Client, path: &str, body: &str) -> Vec<u8> {
    let request = client.request(Method::POST, path).header("x-request-id", "same");
    client.send(request.header("content-type", "application/json").body(body.to_owned())).await.body
}

/// Only the second in which an answer was made may differ.
fn without_created(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut parts = text.split("\"created\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[tokio::test]
async fn a_warm_stream_is_passed_on_byte_for_byte() {
    let (_serve, client) = Serve::ready(eight()).await;
    let body = chat("demo", true).to_string();
    let ours = through(&client, "/v1/chat/completions", &body).await;
    let theirs = direct(&client, "/v1/chat/completions", &body).await;
    assert_eq!(without_created(&ours), without_created(&theirs));
    assert!(ours.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_warm_plain_answer_is_passed_on_byte_for_byte() {
    let (_serve, client) = Serve::ready(eight()).await;
    let body = chat("demo", false).to_string();
    let ours = through(&client, "/v1/chat/completions", &body).await;
    let theirs = direct(&client, "/v1/chat/completions", &body).await;
    assert_eq!(without_created(&ours), without_created(&theirs));
}

#[tokio::test]
async fn unknown_fields_reach_the_replica_untouched() {
    let (_serve, client) = Serve::ready(eight()).await;
    let body = "{ \"x-vendor\": {\"a\":[1.50, 1e3,null]},\n\t\"model\" : \"demo\",\"messages\":\
                [{\"role\":\"user\",\"content\":\"\\u00e9 \u{e9}\"}], \"temperature\":0.10 }";
    assert_eq!(client.post_bytes("/v1/chat/completions?a=1&b=%20", body).await.status, 200);
    let stats = client.upstream_stats("demo").await;
    assert_eq!(stats["last_body"], body);
    assert_eq!(stats["last_path"], "/v1/chat/completions?a=1&b=%20");
}

#[tokio::test]
async fn headers_reach_the_replica_apart_from_those_of_the_hop_and_the_key() {
    let (serve, client) = Serve::ready(eight()).await;
    let mut connection = RawConnection::open(serve.base_url()).await;
    let key = format!("authorization: Bearer {}", serve.admin_key());
    let headers = [
        key.as_str(),
        "content-type: application/json",
        "openai-organization: org",
        "x-custom: 1",
        "x-custom: 2",
        "connection: keep-alive, x-private",
        "x-private: secret",
        "keep-alive: timeout=5",
        "te: trailers",
        "proxy-authorization: Basic secret",
        "cookie: session=secret",
        "x-api-key: secret",
        "prefer: wait=5",
        "accept-encoding: gzip",
        "x-request-id: mine-1",
    ];
    connection.send("POST /v1/chat/completions", &headers, &chat("demo", false).to_string()).await;
    let answer = connection.answer().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-request-id")), (200, Some("mine-1")));
    let stats = client.upstream_stats("demo").await;
    let arrived = stats["last_headers"].as_object().unwrap();
    let mut names: Vec<&str> = arrived.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "content-length",
            "content-type",
            "host",
            "openai-organization",
            "x-custom",
            "x-request-id"
        ]
    );
    assert_eq!(
        (&arrived["x-custom"], &arrived["x-request-id"]),
        (&"1, 2".into(), &"mine-1".into())
    );
}

#[tokio::test]
async fn the_callers_key_is_replaced_by_that_of_the_claim() {
    let (serve, client) = Serve::ready(eight()).await;
    client.chat("demo").await;
    let first = client.upstream_key("demo").await;
    assert_ne!(first, serve.admin_key());
    // The replica takes no other, and another claim has another.
    let replica = client.replica("demo", 0).await;
    assert_eq!(Client::new(replica.base_url(), "wrong").chat("demo").await.status, 401);
    client.scale("demo", "down").await;
    client.until("demo", "asleep").await;
    client.chat("demo").await;
    assert_ne!(client.upstream_key("demo").await, first);
}

#[tokio::test]
async fn an_alias_and_the_upstream_name_rewrite_only_the_model() {
    let model = Model::mock("demo", &["--served-model-name", "inner/name"])
        .line("aliases = [\"gpt-4o\", \"org/alias\"]")
        .line("upstream_model = \"inner/name\"");
    let (_serve, client) = Serve::ready(model).await;
    for name in ["demo", "gpt-4o", "org/alias"] {
        let body = |name: &str| {
            format!(
                "{{\"metadata\":{{\"model\":\"demo\"}}, \"model\":\"{name}\" ,\"messages\":[]}}"
            )
        };
        let answer = client.post_bytes("/v1/chat/completions", body(name)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-diogenes-model")),
            (200, Some("demo"))
        );
        assert_eq!(client.upstream_stats("demo").await["last_body"], body("inner/name"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_arrive_while_the_replica_still_generates() {
    let model = Model::mock("demo", &["--tokens", "1000", "--tokens-per-second", "20"]);
    let (_serve, client) = Serve::ready(model).await;
    let mut stream = client.chat_stream("demo").await;
    for _ in 0..3 {
        assert!(matches!(stream.next().await, Some(Event::Data(_))));
    }
    let stats = client.upstream_stats("demo").await;
    assert_eq!((&stats["in_flight"], &stats["completed"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn an_answer_tells_who_gave_it_and_keeps_the_replicas_own_headers() {
    let (_serve, client) = Serve::ready(eight()).await;
    let mut ids = std::collections::BTreeSet::new();
    for stream in [false, true] {
        let answer = client.post("/v1/chat/completions", &chat("demo", stream)).await;
        assert_eq!(answer.header("server"), Some("uvicorn"));
        assert_eq!(answer.header("x-diogenes-model"), Some("demo"));
        assert!(answer.header("x-diogenes-target").unwrap().starts_with("0/"));
        assert!(ids.insert(answer.header("x-request-id").unwrap().to_owned()), "{ids:?}");
        let overhead: f64 = answer.header("x-diogenes-overhead-ms").unwrap().parse().unwrap();
        assert!((0.0..1000.0).contains(&overhead), "{overhead}");
        assert_eq!(answer.header("x-diogenes-cold-start-ms"), None);
    }
}

#[tokio::test]
async fn headers_of_the_hop_and_cookies_of_a_replica_stay_behind() {
    let script = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                  connection: keep-alive, x-private\r\nx-private: 1\r\nkeep-alive: timeout=5\r\n\
                  set-cookie: a=b\r\nproxy-authenticate: Basic\r\nx-engine: yes\r\n\r\n{}";
    let (_serve, client) = Serve::ready(Model::scripted("demo", script, false)).await;
    let answer = client.chat("demo").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, &b"{}"[..]));
    assert_eq!(answer.header("x-engine"), Some("yes"));
    for name in ["x-private", "keep-alive", "set-cookie", "proxy-authenticate", "connection"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn connections_to_a_replica_are_kept_and_used_again() {
    let script = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-connection: {connection}\r\n\r\n{}";
    let (_serve, client) = Serve::ready(Model::scripted("demo", script, true)).await;
    let first = client.chat("demo").await.header("x-connection").unwrap().to_owned();
    for _ in 0..5 {
        assert_eq!(client.chat("demo").await.header("x-connection"), Some(first.as_str()));
    }
}

#[tokio::test]
async fn a_connection_that_a_replica_has_closed_is_replaced_unseen() {
    // It promises to keep the connection and closes it.
    let script = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-connection: {connection}\r\n\r\n{}";
    let (_serve, client) = Serve::ready(Model::scripted("demo", script, false)).await;
    for _ in 0..5 {
        assert_eq!(client.chat("demo").await.status, 200);
    }
}

#[tokio::test]
async fn two_models_are_told_apart() {
    let models = ["org/a", "org/b"].map(|name| Model::mock(name, &["--tokens", "3"]));
    let serve = Serve::start(Config::with(models)).await;
    let client = serve.client();
    for name in ["org/a", "org/b"] {
        let answer = client.chat(name).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-diogenes-model")), (200, Some(name)));
        assert_eq!(answer.json()["model"], name);
    }
}
