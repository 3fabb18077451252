use std::time::Duration;

use diogenes_e2e::aws::lambda::Overrides;
use diogenes_e2e::eventually;
use reqwest::{Method, Response};

use crate::fixture::{Fixture, TEMPLATE, open};

async fn chunk(response: &mut Response) -> String {
    let chunk = response.chunk().await.expect("a whole stream").expect("a chunk");
    String::from_utf8(chunk.to_vec()).unwrap()
}

#[tokio::test]
async fn the_first_chunk_arrives_before_the_last_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let api = Fixture::start();
    let request = api.stream(&[("gate", gate.to_str().unwrap())]);
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(chunk(&mut response).await, "first\n");
    open(&gate);
    assert_eq!(chunk(&mut response).await, "last\n");
    assert!(response.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn headers_and_cookies_come_from_the_metadata() {
    let api = Fixture::start();
    let query = [("header", "WWW-Authenticate:Bearer"), ("chunks", "3")];
    let answer = api.send(api.stream(&query)).await;
    assert_eq!(answer.text(), "0\n1\n2\n");
    assert_eq!(answer.header("x-amzn-remapped-www-authenticate"), Some("Bearer"));
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert!(answer.header("x-amzn-requestid").is_some());
}

#[tokio::test]
async fn many_small_chunks_do_not_wait_for_acknowledgements() {
    let api = Fixture::start();
    let request = || api.stream(&[("chunks", "1000")]);
    assert_eq!(api.send(request()).await.text().lines().count(), 1000);
    // A delayed acknowledgement takes 40 ms: if every chunk had one, this would take 40 s.
    let begin = std::time::Instant::now();
    assert_eq!(api.send(request()).await.text().lines().count(), 1000);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_crash_in_the_middle_cuts_the_connection() {
    let api = Fixture::start();
    let request = api.stream(&[("crash", "1")]);
    let mut response = request.send().await.unwrap();
    assert_eq!(chunk(&mut response).await, "first\n");
    assert!(response.chunk().await.is_err(), "the body must not end as if it were whole");
    let problems = api.gateway.problems();
    assert!(problems.concat().contains("exit status 3"), "{problems:?}");
}

#[tokio::test]
async fn a_stream_that_takes_too_long_is_cut() {
    let long = Fixture::start();
    // The function runs already, so that the time is the stream's alone.
    long.stream(&[("chunks", "1")]).send().await.unwrap().bytes().await.unwrap();
    long.gateway.limit_integrations(Duration::from_secs(2));
    let idle_timeout = Some(Duration::from_secs(2));
    let silent = Fixture::with(TEMPLATE, Overrides { idle_timeout, ..Overrides::default() });
    for (api, problem) in [
        (long, "the stream takes longer than the integration may"),
        (silent, "the stream is silent for too long"),
    ] {
        let request = api.stream(&[("hang", "1")]);
        let mut response = request.send().await.unwrap();
        assert_eq!(chunk(&mut response).await, "first\n");
        assert!(response.chunk().await.is_err());
        assert_eq!(api.gateway.problems(), [problem]);
    }
}

#[tokio::test]
async fn a_function_that_times_out_in_the_middle_cuts_the_connection() {
    let api = Fixture::changed(TEMPLATE, Overrides::default(), |mut function| {
        function.timeout = Duration::from_secs(2);
        function
    });
    let request = api.stream(&[("hang", "1")]);
    let mut response = request.send().await.unwrap();
    assert_eq!(chunk(&mut response).await, "first\n");
    assert!(response.chunk().await.is_err());
    let problems = api.gateway.problems();
    assert!(problems.concat().contains("Task timed out after 2.00 seconds"), "{problems:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_the_invocation() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let api = Fixture::start();
    let request = api.stream(&[("gate", gate.to_str().unwrap())]);
    let mut response = request.send().await.unwrap();
    assert_eq!(chunk(&mut response).await, "first\n");
    let pids = api.host.pids("StreamFunction");
    drop(response);
    open(&gate);
    api.host.wait_idle().await;
    assert_eq!(api.host.pids("StreamFunction"), pids, "it must end by itself, in its process");
    assert_eq!(api.gateway.problems(), Vec::<String>::new());
    // Nor does one that leaves before the first byte.
    let waiting = tokio::spawn(api.stream(&[("chunks", "1")]).send());
    eventually("the second one", async || match api.host.invocations("StreamFunction") {
        2 => Ok(()),
        begun => Err(begun),
    })
    .await;
    waiting.abort();
    api.host.wait_idle().await;
    assert_eq!(api.host.pids("StreamFunction"), pids);
}

#[tokio::test]
async fn a_function_that_fails_before_it_streams_is_a_bad_gateway() {
    let api = Fixture::start();
    let answer = api.send(api.stream(&[("error", "1")])).await;
    assert_eq!(answer.status, 502);
    assert!(api.gateway.problems().concat().contains("it was told to fail"));
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_is_malformed_on_a_route_that_streams() {
    let api = Fixture::start();
    let answer = api.send(api.request(Method::POST, "/wrong").body("{}")).await;
    assert_eq!(answer.status, 502);
    let problem = "malformed Lambda proxy response: there is no metadata before the body";
    assert_eq!(api.gateway.problems(), [problem]);
}
