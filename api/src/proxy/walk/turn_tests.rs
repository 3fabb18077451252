//! Requests that take turns, where a replica gets only so many at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diogenes_core::fleet::ModelSpec;
use diogenes_core::gateway::Routes;
use diogenes_core::keys::{KeyId, Weight};
use diogenes_core::tenancy::{Allowed, Principal, may};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::error::ErrorKind;
use crate::proxy::Dialect;
use crate::proxy::testing::{Local, events, eventually, model, plain, request};

/// An inference server that answers when the test lets it.
struct Engine {
    address: std::net::SocketAddr,
    /// The users of the requests, in the order in which they came.
    order: Arc<Mutex<Vec<String>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Engine {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let order: Arc<Mutex<Vec<String>>> = Arc::default();
        let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let answers = Arc::new(Semaphore::new(0));
        let shared = (order.clone(), now.clone(), most.clone(), answers.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (order, now, most, answers) = shared.clone();
                tokio::spawn(async move {
                    // The other side may be gone at any moment.
                    let _ = answer(stream, &order, &now, &most, &answers).await;
                });
            }
        });
        Self { address, order, now, most, answers, task }
    }

    fn order(&self) -> Vec<String> {
        self.order.lock().unwrap().clone()
    }

    /// Waits until so many requests have come in all.
    async fn has(&self, requests: usize) {
        let came = async || (self.order.lock().unwrap().len() == requests).then_some(());
        eventually("the requests come", came).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    order: &Mutex<Vec<String>>,
    now: &AtomicUsize,
    most: &AtomicUsize,
    answers: &Semaphore,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let (user, is_stream) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((_, rest)) = text.split_once(r#""user":""#)
            && let Some((user, _)) = rest.split_once('"')
        {
            break (user.to_owned(), text.contains(r#""stream":true"#));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    order.lock().unwrap().push(user);
    answers.acquire().await.unwrap().forget();
    now.fetch_sub(1, Ordering::SeqCst);
    let whole = r#"{"id":"x","usage":{"prompt_tokens":30,"completion_tokens":40}}"#;
    let answer = if is_stream {
        events(&format!("data: {whole}\n\ndata: [DONE]\n\n"))
    } else {
        plain("200 OK", "content-type: application/json\r\n", whole)
    };
    stream.write_all(answer.as_bytes()).await
}

fn taking(most: u32) -> ModelSpec {
    ModelSpec { max_concurrency: Some(most), ..Local::spec() }
}

fn key(name: &str, weight: u32) -> Allowed<may::InferenceUse> {
    let (key, weight) = (KeyId::from_caller(name), Weight::try_from(weight).unwrap());
    Allowed::check(Arc::new(Principal { key, weight, ..Principal::operator() })).unwrap()
}

fn chat_of(user: &str, target: &str, is_stream: bool) -> InferenceRequest {
    let body =
        format!(r#"{{"model":"{target}","messages":[],"stream":{is_stream},"user":"{user}"}}"#);
    request(Dialect::ChatCompletions, body)
}

/// Sends a request; whoever waits is counted.
fn send(local: &Local, user: &str, weight: u32) -> JoinHandle<Result<Answer, ApiError>> {
    let (gateway, by) = (local.gateway.clone(), key(user, weight));
    let request = chat_of(user, model().as_str(), false);
    tokio::spawn(async move { gateway.walk(by, request).await })
}

async fn waiting(local: &Local, requests: u32) {
    let all_wait = async || (local.demand().await.held == requests).then_some(());
    eventually("the others wait", all_wait).await;
}

/// One key fills the queue, another comes after it: who is served, in order.
async fn served(crowd: usize, late: usize, weight: u32) -> Vec<String> {
    let local = Local::new(taking(1));
    let engine = Engine::start().await;
    local.ready(&[("claim-0", engine.address)]);
    let mut walks = vec![send(&local, "crowd", 1)];
    engine.has(1).await;
    for at in 1..crowd {
        walks.push(send(&local, "crowd", 1));
        waiting(&local, u32::try_from(at).unwrap()).await;
    }
    for at in 0..late {
        walks.push(send(&local, "late", weight));
        waiting(&local, u32::try_from(crowd + at).unwrap()).await;
    }
    for at in 1..=walks.len() {
        engine.has(at).await;
        engine.answers.add_permits(1);
    }
    for walk in walks {
        assert_eq!(walk.await.unwrap().unwrap().status, StatusCode::OK);
    }
    assert_eq!(engine.most.load(Ordering::SeqCst), 1, "a replica gets one at a time");
    assert_eq!(local.demand().await.total(), 0);
    engine.order()
}

#[tokio::test]
async fn keys_take_turns_however_many_requests_one_of_them_sends() {
    let order = served(8, 3, 1).await;
    let last = order.iter().rposition(|user| user == "late").unwrap();
    assert!(last <= 6, "the second key has waited for the crowd: {order:?}");
    assert_eq!(order.len(), 11);
}

#[tokio::test]
async fn a_key_of_more_weight_gets_more() {
    let order = served(8, 4, 4).await;
    let last = order.iter().rposition(|user| user == "late").unwrap();
    assert!(last <= 6, "four for each of the crowd's: {order:?}");
}

#[tokio::test]
async fn nobody_waits_while_there_is_room() {
    let local = Local::new(taking(2));
    let engines = [Engine::start().await, Engine::start().await];
    local.ready(&[("claim-0", engines[0].address), ("claim-1", engines[1].address)]);
    let walks: Vec<_> = (0..7).map(|_| send(&local, "one", 1)).collect();
    for engine in &engines {
        engine.has(2).await;
    }
    waiting(&local, 3).await;
    for engine in &engines {
        engine.answers.add_permits(7);
    }
    for walk in walks {
        assert_eq!(walk.await.unwrap().unwrap().status, StatusCode::OK);
    }
    for engine in &engines {
        assert!(engine.most.load(Ordering::SeqCst) <= 2);
        assert_eq!(engine.now.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn whoever_goes_away_leaves_the_queue() {
    let local = Local::new(taking(1));
    let engine = Engine::start().await;
    local.ready(&[("claim-0", engine.address)]);
    let first = send(&local, "first", 1);
    engine.has(1).await;
    let gone = send(&local, "gone", 1);
    waiting(&local, 1).await;
    let third = send(&local, "third", 1);
    waiting(&local, 2).await;
    gone.abort();
    waiting(&local, 1).await;
    engine.answers.add_permits(2);
    for walk in [first, third] {
        assert_eq!(walk.await.unwrap().unwrap().status, StatusCode::OK);
    }
    assert_eq!(engine.order(), ["first", "third"]);
}

#[tokio::test]
async fn a_turn_that_does_not_come_in_time_is_told_so() {
    let local = Local::new(ModelSpec { hold_timeout: Duration::from_millis(50), ..taking(1) });
    let engine = Engine::start().await;
    local.ready(&[("claim-0", engine.address)]);
    let first = send(&local, "first", 1);
    engine.has(1).await;
    let error = send(&local, "second", 1).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelBusy);
    engine.answers.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_stream_is_told_that_it_waits_and_goes_when_its_turn_comes() {
    let local = Local::new(taking(1));
    let engine = Engine::start().await;
    local.ready(&[("claim-0", engine.address)]);
    let first = send(&local, "first", 1);
    engine.has(1).await;
    let request = chat_of("second", model().as_str(), true);
    let held = local.gateway.walk(key("second", 1), request).await.unwrap();
    assert_eq!(held.status, StatusCode::OK);
    let AnswerBody::Stream(mut stream) = held.body else { panic!("no stream") };
    let told = stream.next().await.unwrap();
    let told = String::from_utf8(told.to_vec()).unwrap();
    assert!(told.contains(r#""phase":"queued""#), "{told}");
    engine.answers.add_permits(2);
    assert_eq!(first.await.unwrap().unwrap().status, StatusCode::OK);
    let mut rest = String::new();
    while let Some(bytes) = stream.next().await {
        rest.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert_eq!(engine.order(), ["first", "second"]);
}

#[tokio::test]
async fn along_a_route_the_next_target_answers_instead() {
    let route = serde_json::json!({"targets": [model().as_str(), "other"]});
    let routes = Routes::from([("route".parse().unwrap(), serde_json::from_value(route).unwrap())]);
    let local = Local::with_routes(taking(1), &routes);
    let engines = [Engine::start().await, Engine::start().await];
    local.ready(&[("claim-0", engines[0].address)]);
    let replica = [("claim-1", engines[1].address)];
    local.publish_as("other".parse().unwrap(), &replica, |_| {});
    let first = send(&local, "first", 1);
    engines[0].has(1).await;
    engines[1].answers.add_permits(1);
    let request = chat_of("second", "route", false);
    let answer = local.gateway.walk(key("second", 1), request).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-route"], "route; position=2; reason=busy");
    engines[0].answers.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().status, StatusCode::OK);
    assert_eq!(local.demand().await.total(), 0);
}
