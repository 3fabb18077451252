use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::super::desk::{Desk, Parcel};
use super::super::{InvokeError, socket};
use super::*;

/// A runtime that speaks byte for byte.
struct Runtime {
    desk: Arc<Desk>,
    stream: TcpStream,
    parts: mpsc::Receiver<Part>,
}

impl Runtime {
    /// A runtime that has got the event `{}` with the id `7`.
    async fn with_event() -> (Self, String) {
        let (listener, address) = socket::listen().unwrap();
        let desk = Arc::new(Desk::new());
        tokio::spawn(serve(listener, desk.clone(), "arn:of:it".into()));
        let (parts, received) = mpsc::channel(8);
        let stream = TcpStream::connect(address).await.unwrap();
        let mut runtime = Self { desk, stream, parts: received };
        runtime.write("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: h\r\n\r\n").await;
        runtime.desk.asked_more_often_than(0).await;
        let parcel = Parcel { id: "7".into(), payload: "{}".into(), deadline: 99 };
        assert_eq!(runtime.desk.hand_over(parcel, parts), Some(1));
        let event = runtime.read().await;
        (runtime, event)
    }

    async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads one answer, whose body is JSON.
    async fn read(&mut self) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            assert!(self.stream.read_buf(&mut text).await.unwrap() > 0);
        }
        String::from_utf8(text).unwrap()
    }

    async fn post(&mut self, path: &str, head: &str, body: &str) -> String {
        let root = "/2018-06-01/runtime";
        self.write(&format!("POST {root}{path} HTTP/1.1\r\nhost: h\r\n{head}\r\n\r\n{body}")).await;
        self.read().await
    }
}

#[tokio::test]
async fn an_event_comes_with_its_headers() {
    let (_runtime, event) = Runtime::with_event().await;
    for line in [
        "lambda-runtime-aws-request-id: 7\r\n",
        "lambda-runtime-deadline-ms: 99\r\n",
        "lambda-runtime-invoked-function-arn: arn:of:it\r\n",
        "lambda-runtime-trace-id: Root=1-",
        "\r\n\r\n{}",
    ] {
        assert!(event.contains(line), "{line} in {event}");
    }
}

#[tokio::test]
async fn an_error_in_the_trailers_of_a_stream_follows_what_came_before() {
    let (mut runtime, _) = Runtime::with_event().await;
    let head = "transfer-encoding: chunked\r\nlambda-runtime-function-response-mode: streaming\r\n\
                content-type: application/vnd.awslambda.http-integration-response\r\n\
                trailer: Lambda-Runtime-Function-Error-Type\r\n\
                trailer: Lambda-Runtime-Function-Error-Body";
    let report = BASE64_STANDARD.encode(r#"{"errorType":"Mine","errorMessage":"it broke"}"#);
    let body = format!(
        "3\r\nabc\r\n0\r\nLambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\
         Lambda-Runtime-Function-Error-Body: {report}\r\n\r\n"
    );
    let answer = runtime.post("/invocation/7/response", head, &body).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let streamed = matches!(runtime.parts.recv().await, Some(Part::Start { streamed: true, .. }));
    assert!(streamed);
    assert!(matches!(runtime.parts.recv().await, Some(Part::Data(data)) if data == "abc"));
    let error = InvokeError::function("Mine", "it broke");
    assert!(matches!(runtime.desk.last(), Some(Part::Failed(last)) if last == error));
}

#[tokio::test]
async fn an_invocation_is_answered_once_and_only_by_its_id() {
    let (mut runtime, _) = Runtime::with_event().await;
    let answer = runtime.post("/invocation/8/response", "content-length: 2", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = runtime.post("/invocation/7/response", "content-length: 2", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let answer = runtime.post("/invocation/7/error", "content-length: 2", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = runtime.post("/elsewhere", "content-length: 0", "").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn a_runtime_may_say_why_it_cannot_start() {
    let (mut runtime, _) = Runtime::with_event().await;
    let body = r#"{"errorType":"Config","errorMessage":"no table"}"#;
    let head = format!("content-length: {}", body.len());
    runtime.post("/init/error", &head, body).await;
    assert_eq!(runtime.desk.init_error(), Some(InvokeError::function("Config", "no table")));
}
