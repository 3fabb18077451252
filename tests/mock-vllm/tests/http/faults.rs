//! The failure modes, as a client sees them.

use std::time::Duration;

use crate::client::{CHAT, DEADLINE, get, open, post, read, read_until};
use mock_vllm::{Error, Faults, MockVllm};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const PLAIN: &str = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
const STREAM: &str = r#"{"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

async fn mock(faults: Faults) -> MockVllm {
    MockVllm::builder().tokens(12).faults(faults).start().await.unwrap()
}

#[tokio::test]
async fn cut_stream_ends_after_its_events_without_an_end() {
    let mock = mock(Faults { cut_after: Some(3), ..Faults::default() }).await;
    let reply = post(&mock, CHAT, STREAM).await;
    assert_eq!((reply.status, reply.events().len(), reply.whole), (200, 3, false));
    let stats = mock.wait_for(DEADLINE, |stats| stats.in_flight == 0).await.unwrap();
    assert_eq!((stats.completed, stats.cancelled), (0, 0));
}

#[tokio::test]
async fn cut_plain_answer_ends_in_the_middle() {
    let mock = mock(Faults { cut_after: Some(1), ..Faults::default() }).await;
    let reply = post(&mock, CHAT, PLAIN).await;
    assert_eq!((reply.status, reply.whole), (200, false));
    assert!(!reply.body.is_empty());
}

#[tokio::test]
async fn stalled_stream_is_cancelled_when_the_client_leaves() {
    let mock = mock(Faults { stall_after: Some(2), ..Faults::default() }).await;
    for body in [STREAM, PLAIN] {
        let before = mock.stats().cancelled;
        let mut stream = open(mock.addr(), "POST", CHAT, "", body).await;
        read_until(&mut stream, "assistant").await;
        assert_eq!(mock.stats().in_flight, 1);
        drop(stream);
        let gone = mock.wait_for(DEADLINE, |stats| stats.cancelled == before + 1).await.unwrap();
        assert_eq!(gone.in_flight, 0);
    }
}

#[tokio::test]
async fn plain_answer_in_the_making_is_cancelled_when_the_client_leaves() {
    let mock = MockVllm::builder().ttft(Duration::from_hours(1)).start().await.unwrap();
    let stream = open(mock.addr(), "POST", CHAT, "", PLAIN).await;
    mock.wait_for(DEADLINE, |stats| stats.in_flight == 1).await.unwrap();
    drop(stream);
    mock.wait_for(DEADLINE, |stats| (stats.in_flight, stats.cancelled) == (0, 1)).await.unwrap();
}

#[tokio::test]
async fn first_requests_fail_and_the_next_succeed() {
    let faults =
        Faults { fail_first: 2, fail_status: 429, fail_retry_after: Some(7), ..Faults::default() };
    let mock = mock(faults).await;
    let failed = post(&mock, CHAT, PLAIN).await;
    assert_eq!((failed.status, &failed.json()["error"]["code"]), (429, &429.into()));
    assert!(failed.head.contains("retry-after: 7"), "{}", failed.head);
    assert_eq!(post(&mock, CHAT, STREAM).await.status, 429);
    assert_eq!(post(&mock, CHAT, PLAIN).await.status, 200);
    mock.set_faults(faults);
    assert_eq!(
        post(&mock, CHAT, PLAIN).await.status,
        429,
        "setting the faults starts the count anew"
    );
}

#[tokio::test]
async fn malformed_events_are_no_json() {
    let mock = mock(Faults { malformed_sse: true, ..Faults::default() }).await;
    let reply = post(&mock, CHAT, STREAM).await;
    let broken = reply
        .events()
        .iter()
        .filter(|event| serde_json::from_str::<serde_json::Value>(event).is_err())
        .count();
    // The twelve tokens and `[DONE]`.
    assert_eq!((broken, reply.whole), (13, true));
}

#[tokio::test]
async fn refused_connections_come_back() {
    let mock = mock(Faults::default()).await;
    let mut idle = TcpStream::connect(mock.addr()).await.unwrap();
    mock.refuse_connections(true).await;
    let refused = TcpStream::connect(mock.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let closed = tokio::time::timeout(DEADLINE, idle.read_u8());
    assert!(closed.await.unwrap().is_err(), "an idle connection stayed open");
    mock.refuse_connections(false).await;
    assert_eq!(get(&mock, "/health").await.status, 200);
}

#[tokio::test]
async fn faults_can_be_set_over_http() {
    let mock = mock(Faults::default()).await;
    let set = read(
        open(mock.addr(), "PUT", "/mock/faults", "", r#"{"fail_first":1,"fail_status":503}"#).await,
    )
    .await;
    assert_eq!(set.status, 200);
    assert_eq!(mock.faults(), Faults { fail_first: 1, fail_status: 503, ..Faults::default() });
    assert_eq!(post(&mock, CHAT, PLAIN).await.status, 503);
    let misspelt =
        read(open(mock.addr(), "PUT", "/mock/faults", "", r#"{"fail_frist":1}"#).await).await;
    assert_eq!(misspelt.status, 400);
}

#[tokio::test]
async fn engine_dies_after_its_requests() {
    let mut mock = mock(Faults { die_after: Some(1), ..Faults::default() }).await;
    assert_eq!(post(&mock, CHAT, PLAIN).await.status, 200);
    let mut last = open(mock.addr(), "POST", CHAT, "", PLAIN).await;
    assert!(matches!(mock.ended().await, Err(Error::Died)));
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    TcpStream::connect(mock.addr()).await.unwrap_err();
}

#[tokio::test]
async fn port_refuses_while_loading() {
    let mut mock = MockVllm::builder().load_delay(Duration::from_millis(50)).start().await.unwrap();
    TcpStream::connect(mock.addr()).await.unwrap_err();
    mock.ready().await.unwrap();
    assert_eq!(get(&mock, "/health").await.status, 200);
}

#[tokio::test]
async fn port_answers_503_while_loading_if_told_to() {
    let builder = MockVllm::builder().configure(|args| {
        args.listen_while_loading = true;
        args.never_healthy = true;
    });
    let mock = builder.start().await.unwrap();
    mock.refuse_connections(false).await;
    assert_eq!(get(&mock, "/health").await.status, 503);
}

#[tokio::test]
async fn exit_during_boot_is_an_error_with_its_code() {
    let failed = MockVllm::builder()
        .configure(|args| args.exit_during_boot = Some(3))
        .start()
        .await
        .unwrap_err();
    assert_eq!(failed.exit_code(), 3);
}

#[tokio::test]
async fn shutdown_waits_for_requests_in_flight_as_long_as_it_may() {
    for (grace, whole) in [(DEADLINE, true), (Duration::ZERO, false)] {
        let mock = MockVllm::builder().tokens(5).tokens_per_second(20.0).start().await.unwrap();
        let mut stream = open(mock.addr(), "POST", CHAT, "", STREAM).await;
        read_until(&mut stream, "Hello").await;
        mock.shutdown(grace).await.unwrap();
        let mut rest = String::new();
        let _ = stream.read_to_string(&mut rest).await;
        assert_eq!(rest.contains("[DONE]"), whole, "{rest}");
    }
}
