//! Requests through the router's routes, to an upstream on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::gateway::catalog::{CatalogEditor, SecretRule};
use diogenes_core::gateway::prices::PriceBook;
use diogenes_core::keys::StoreLimiter;
use diogenes_core::tenancy::Principal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::world::{World, model};
use crate::AppSettings;
use crate::auth::GatewayAuthenticator;
use crate::control::{Entrance, GatewayArea};
use crate::proxy::fleet_link::FleetLink;
use crate::proxy::{FleetViews, Gateway, GatewaySettings, ProxyState};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a task that ends with its owner.
struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An inference server that answers every request with a short stream.
async fn upstream() -> Served {
    upstream_behind(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))).await
}

/// The same, which begins each answer once it gets a permit for it.
async fn upstream_behind(gate: Arc<Semaphore>) -> Served {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
        connection: close\r\n\r\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let gate = gate.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"}") && stream.read_buf(&mut request).await? > 0 {}
                gate.acquire().await.unwrap().forget();
                stream.write_all(ANSWER.as_bytes()).await
            });
        }
    });
    Served { address, task }
}

impl World {
    async fn router(&self) -> Served {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let views = FleetViews { dispatcher: self.dispatcher.clone(), link: self.link.clone() };
        let authenticator = Arc::new(GatewayAuthenticator::new(clock.clone()));
        let entrance = Entrance { authenticator: authenticator.clone(), max_body_bytes: 1 << 20 };
        let editor = CatalogEditor::new(store.clone(), clock.clone(), SecretRule::Machine);
        let area =
            GatewayArea::new(entrance, editor, views.clone(), PriceBook::embedded().unwrap());
        let proxy = ProxyState {
            authenticator,
            gateway: Arc::new(Gateway::new(
                views,
                Arc::new(StoreLimiter::new(store)),
                clock,
                GatewaySettings::default(),
            )),
            metrics: self.metrics.clone(),
            settings: AppSettings::default(),
        };
        let router = crate::inference_router(Arc::new(proxy), Arc::new(area));
        let router = router.layer(axum::Extension(Arc::new(Principal::operator())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Served { address, task }
    }

    /// Waits until so many requests are counted as waiting, and the model as asked for.
    async fn wait_for_held(&self, wanted: i64) {
        let counted = async {
            while self.held().await != wanted || self.stamp(None).await.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = timeout(PATIENCE, counted).await;
        assert!(in_time.is_ok(), "{} requests are held instead of {wanted}", self.held().await);
    }
}

/// An answer on its way.
struct Answer {
    stream: TcpStream,
    text: String,
}

impl Answer {
    async fn ask(router: &Served, is_stream: bool) -> Self {
        let body = format!(r#"{{"model":"{}","messages":[],"stream":{is_stream}}}"#, model());
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(router.address).await.unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        Self { stream, text: String::new() }
    }

    /// Reads until `end` has come.
    async fn until(&mut self, end: &str) -> &str {
        let read = async {
            while !self.text.contains(end) {
                let mut bytes = Vec::new();
                let count = self.stream.read_buf(&mut bytes).await.unwrap();
                assert!(count > 0, "the connection ended after: {}", self.text);
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        };
        let in_time = timeout(PATIENCE, read).await;
        assert!(in_time.is_ok(), "no {end:?} in: {}", self.text);
        &self.text
    }

    /// Reads to the last chunk of a chunked body.
    async fn last_byte(&mut self) -> &str {
        self.until("\r\n0\r\n\r\n").await
    }
}

#[tokio::test]
async fn writes_are_done_before_the_last_byte() {
    let world = World::new().await;
    let upstream = upstream().await;
    let claim = world.ready(0, &format!("http://{}", upstream.address)).await;
    let router = world.router().await;
    world.link.refresh(model().as_str()).await.unwrap();
    // Longer than the whole stream takes.
    world.store.slow(Duration::from_millis(300));
    let mut answer = Answer::ask(&router, true).await;
    let text = answer.last_byte().await.to_owned();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("data: [DONE]"), "{text}");
    assert_eq!(world.store.unfinished(), 0);
    assert!(world.stamp(Some(&claim)).await.is_some());
}

#[tokio::test]
async fn a_held_stream_looks_for_its_replica_and_gives_its_place_back() {
    let world = World::new().await;
    let upstream = upstream().await;
    let router = world.router().await;
    let mut answer = Answer::ask(&router, true).await;
    answer.until(": diogenes {").await;
    world.wait_for_held(1).await;
    assert!(world.asked() >= 1);

    // Nobody tells the router of it.
    let began = tokio::time::Instant::now();
    world.store.reads();
    let claim = world.ready(0, &format!("http://{}", upstream.address)).await;
    let text = answer.last_byte().await.to_owned();
    assert!(text.contains("data: [DONE]"), "{text}");
    let polls = usize::try_from(began.elapsed().as_millis() / 900).unwrap() + 1;
    let reads = world.store.reads();
    assert!((1..=polls).contains(&reads), "{reads} reads, {polls} polls");
    assert_eq!((world.held().await, world.store.unfinished()), (0, 0));
    assert!(world.stamp(Some(&claim)).await.is_some());
}

#[tokio::test]
async fn a_held_request_gives_its_place_back_when_it_is_sent() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let upstream = upstream_behind(gate.clone()).await;
    let router = world.router().await;
    let mut answer = Answer::ask(&router, true).await;
    answer.until(": diogenes {").await;
    world.wait_for_held(1).await;
    world.ready(0, &format!("http://{}", upstream.address)).await;
    // The replica has not answered with a byte yet, and may take its time.
    world.wait_for_held(0).await;
    assert!(!answer.text.contains("choices"), "{}", answer.text);
    gate.add_permits(1);
    assert!(answer.last_byte().await.contains("data: [DONE]"));
    assert_eq!((world.held().await, world.store.unfinished()), (0, 0));
}

#[tokio::test]
async fn a_store_that_fails_is_told_where_nothing_is_known() {
    let world = World::new().await;
    let router = world.router().await;
    world.store.fail(true);
    for is_stream in [false, true] {
        let mut answer = Answer::ask(&router, is_stream).await;
        let text = answer.until("\"code\":\"store_unavailable\"").await;
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    }
}

#[tokio::test]
async fn a_store_that_fails_stops_no_warm_request() {
    let world = World::new().await;
    let upstream = upstream().await;
    world.ready(0, &format!("http://{}", upstream.address)).await;
    let router = world.router().await;
    world.link.refresh(model().as_str()).await.unwrap();
    world.store.fail(true);
    let mut answer = Answer::ask(&router, true).await;
    assert!(answer.last_byte().await.contains("data: [DONE]"));
}

#[tokio::test]
async fn a_store_that_fails_ends_a_wait() {
    let world = World::new().await;
    let router = world.router().await;
    let mut plain = Answer::ask(&router, false).await;
    let mut stream = Answer::ask(&router, true).await;
    stream.until(": diogenes {").await;
    world.wait_for_held(2).await;
    world.store.fail(true);
    let text = plain.until("\"code\":\"store_unavailable\"").await;
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    let text = stream.until("\"code\":\"store_unavailable\"").await;
    assert!(!text.contains("[DONE]"), "{text}");
}
