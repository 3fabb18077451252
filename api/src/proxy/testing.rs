//! A model, its replicas and their upstream, for tests of the walk.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{
    ClaimId, Control, DrainReason, Failure, FailureKind, InstanceId, Launch, Model, ModelSpec,
    ModelView, PhaseTimes, Placement, Slot, SlotEvent, SlotState, Source,
};
use diogenes_core::gateway::catalog::{Catalog, CatalogEditor, Listed, SecretRule};
use diogenes_core::gateway::{ProviderName, ProviderSpec, ProviderSpecs, Routes};
use diogenes_core::keys::{KeyId, LocalLimiter};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Demand, DemandSource, Limits, SecretSource, StateStore};
use diogenes_core::secret::{Secret, SecretRef};
use diogenes_core::tenancy::{Allowed, Principal, may};
use diogenes_core::testing::{CountingWake, MemoryStore};
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{
    Answer, AnswerBody, Dialect, Dispatcher, FleetViews, Gateway, GatewaySettings,
    InferenceRequest, Records, WayOut,
};
use crate::metrics::Metrics;

pub(super) fn model() -> ModelName {
    "org/model".parse().unwrap()
}

/// Tokio's clock, which tests can pause, as a wall clock.
pub(crate) struct TokioClock {
    began: Instant,
}

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now() })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + self.began.elapsed()
    }
}

/// Waits until `done`, for as long as a busy machine may need.
pub(crate) async fn eventually<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..4000 {
        if let Some(value) = done().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: it did not happen");
}

/// The keys of providers.
#[derive(Default)]
struct Keys(BTreeMap<SecretRef, Secret>);

impl Keys {
    fn keep(&mut self, provider: &ProviderName, key: Secret) -> SecretRef {
        let reference = SecretRef::Env(format!("KEY_OF_{provider}"));
        self.0.insert(reference.clone(), key);
        reference
    }
}

#[async_trait]
impl SecretSource for Keys {
    async fn read(&self, reference: &SecretRef) -> Result<Secret, String> {
        self.0.get(reference).cloned().ok_or_else(|| "is not set".into())
    }
}

/// A gateway beside a fleet of one model, whose replicas the test sets.
pub(super) struct Local {
    pub(super) clock: Arc<TokioClock>,
    pub(super) wake: Arc<CountingWake>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) spec: ModelSpec,
}

impl Local {
    pub(super) fn new(spec: ModelSpec) -> Self {
        Self::with_routes(spec, &Routes::new())
    }

    pub(super) fn with_routes(spec: ModelSpec, routes: &Routes) -> Self {
        let store = MemoryStore::new(TokioClock::new());
        Self::with_providers(spec, routes, [], Arc::new(store))
    }

    pub(super) fn with_providers(
        spec: ModelSpec,
        routes: &Routes,
        providers: impl IntoIterator<Item = (ProviderName, ProviderSpec, Option<Secret>)>,
        store: Arc<dyn StateStore>,
    ) -> Self {
        let (clock, wake) = (TokioClock::new(), Arc::new(CountingWake::default()));
        let metrics = Arc::new(Metrics::default());
        let mut secrets = Keys::default();
        let mut specs = ProviderSpecs::new();
        for (name, mut spec, key) in providers {
            spec.api_key = key.map(|key| secrets.keep(&name, key));
            specs.insert(name, spec);
        }
        let editor = CatalogEditor::new(store.clone(), clock.clone(), SecretRule::Machine);
        let catalog = editor.take_over(routes, &specs, &BTreeMap::new()).now_or_never().unwrap();
        let dispatcher = Dispatcher::new(metrics, clock.clone(), wake.clone());
        let dispatcher = dispatcher.with_way_out(WayOut { secrets: Arc::new(secrets), store });
        dispatcher.publish_catalog(&catalog.unwrap()).unwrap();
        let dispatcher = Arc::new(dispatcher);
        let limiter = Arc::new(LocalLimiter::default());
        let settings = GatewaySettings::default();
        let views = FleetViews::local(dispatcher.clone());
        let gateway = Gateway::new(views, limiter, clock.clone(), settings);
        let local = Self { clock, wake, dispatcher, gateway: Arc::new(gateway), spec };
        local.publish(&[], |_| {});
        local
    }

    /// The same with somebody who takes records.
    pub(super) fn with_records(mut self, records: Records) -> Self {
        let gateway = Arc::into_inner(self.gateway).expect("nobody else has it");
        self.gateway = Arc::new(gateway.with_records(Some(records)));
        self
    }

    /// Gives a model of the fleet a price.
    pub(super) async fn rate_card(&self, store: &dyn StateStore, name: &str, card: Value) {
        let stored = store.load::<Catalog>(&Catalog::key()).await.unwrap().unwrap();
        let mut catalog = stored.value;
        let (source, now) = (Source::Config, self.clock.now());
        let spec = serde_json::from_value(card).unwrap();
        let card = Listed { spec, source, created_at: now, updated_at: now };
        catalog.rate_cards.insert(name.parse().unwrap(), card);
        self.dispatcher.publish_catalog(&catalog).unwrap();
    }

    /// Publishes the model with a ready replica for each claim and address.
    pub(super) fn ready(&self, replicas: &[(&str, SocketAddr)]) {
        self.publish(replicas, |_| {});
    }

    pub(super) fn publish(
        &self,
        replicas: &[(&str, SocketAddr)],
        change: impl FnOnce(&mut Control),
    ) {
        self.publish_as(model(), replicas, change);
    }

    /// Publishes a model of the same spec.
    pub(super) fn publish_as(
        &self,
        name: ModelName,
        replicas: &[(&str, SocketAddr)],
        change: impl FnOnce(&mut Control),
    ) {
        let (model, slots) = self.records(name, replicas);
        let mut control = Control::new(model.name.clone());
        change(&mut control);
        self.dispatcher.publish(ModelView::new(Arc::new(model), slots, control, None));
    }

    /// Publishes the model with these replicas, of which that of `claim` has been draining for so
    /// long.
    pub(super) fn drain(
        &self,
        replicas: &[(&str, SocketAddr)],
        claim: &str,
        (reason, ago): (DrainReason, Duration),
    ) {
        let (model, mut slots) = self.records(model(), replicas);
        let slot = slots.iter_mut().find(|slot| slot.claim.as_str() == claim).unwrap();
        *slot = slot.after(SlotEvent::Drain(reason), self.clock.now() - ago).unwrap();
        let control = Control::new(model.name.clone());
        self.dispatcher.publish(ModelView::new(Arc::new(model), slots, control, None));
    }

    fn records(&self, name: ModelName, replicas: &[(&str, SocketAddr)]) -> (Model, Vec<Slot>) {
        let began = Timestamp::from_second(1_800_000_000).unwrap();
        let model = Model {
            name,
            spec: self.spec.clone(),
            source: Source::Api,
            created_at: began,
            updated_at: began,
            deleted_at: None,
        };
        let slot = |(index, (claim, address)): (usize, &(&str, SocketAddr))| Slot {
            model: model.name.clone(),
            index: u32::try_from(index).unwrap(),
            claim: ClaimId::new(*claim),
            claimed_at: began,
            launch: Launch {
                engine: self.spec.engine(),
                spec: self.spec.hash(),
                ladder: vec![Placement::local()],
                rung: 0,
                tried: 1,
                attempt: 0,
                asked_at: began,
                upstream_key: Secret::new("up-secret"),
                lifetime: None,
            },
            phases: PhaseTimes::launched(began),
            state: SlotState::Ready {
                instance: InstanceId::new(*claim),
                base_url: format!("http://{address}"),
                ready_at: began,
            },
        };
        let slots = replicas.iter().enumerate().map(slot).collect();
        (model, slots)
    }

    pub(super) async fn demand(&self) -> Demand {
        self.demand_of(&model()).await
    }

    pub(super) async fn demand_of(&self, model: &ModelName) -> Demand {
        self.dispatcher.demand(model).await.unwrap()
    }

    /// A start that has failed, and is tried again in so long.
    pub(super) fn failed_start(&self, kind: FailureKind, pause: Duration) -> Failure {
        let now = self.clock.now();
        Failure {
            kind,
            reason: "it failed".into(),
            at: now,
            until: now + pause,
            attempts: 1,
            spec: self.spec.launch_hash(),
            claim: None,
        }
    }

    pub(super) fn spec() -> ModelSpec {
        ModelSpec::new(["vllm", "{port}"])
    }
}

/// Who may use every model within these limits.
pub(super) fn caller(limits: Limits) -> Allowed<may::InferenceUse> {
    let key = KeyId::from_caller("test");
    let principal = Principal { key, limits, ..Principal::operator() };
    Allowed::check(Arc::new(principal)).unwrap()
}

pub(super) fn request(dialect: Dialect, body: impl Into<Bytes>) -> InferenceRequest {
    InferenceRequest {
        id: HeaderValue::from_static("request-1"),
        arrived: Instant::now(),
        dialect,
        query: None,
        is_background: false,
        allowance: None,
        headers: HeaderMap::new(),
        body: body.into(),
    }
}

pub(super) fn chat(stream: bool) -> InferenceRequest {
    let body = format!(r#"{{"model":"{}","messages":[],"stream":{stream}}}"#, model());
    request(Dialect::ChatCompletions, body)
}

/// What the file of a [`form`] holds.
pub(super) const SOUND: &str = "RIFF\r\n\r\n--b\n secret sound";

/// A form with a file behind these fields.
pub(super) fn form(dialect: Dialect, fields: &[(&str, &str)]) -> InferenceRequest {
    let file = format!("file\"; filename=\"secret.wav\"\r\nContent-Type: audio/wav\r\n\r\n{SOUND}");
    let fields = fields.iter().map(|(name, value)| format!("{name}\"\r\n\r\n{value}"));
    let parts: Vec<String> = fields
        .chain([file])
        .map(|part| format!("--limit\r\nContent-Disposition: form-data; name=\"{part}\r\n"))
        .collect();
    let mut request = request(dialect, parts.concat() + "--limit--\r\n");
    let kind = HeaderValue::from_static("multipart/form-data; boundary=limit");
    request.headers.insert(CONTENT_TYPE, kind);
    request
}

/// An inference server on loopback that answers its requests with these bytes, one after the
/// other, the last one again and again; it closes the connection behind each.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

/// Makes the two parts of an answer to a request.
pub(super) type Halves = Arc<dyn Fn(&str) -> (String, String) + Send + Sync>;

/// What an [`Upstream`] does with a request.
#[derive(Clone)]
pub(super) enum Script {
    /// Read it and answer with these bytes.
    Answer(String),
    /// Answer before the body is read.
    Early(String),
    /// Read it and answer what this makes of it.
    Reply(Arc<dyn Fn(&str) -> String + Send + Sync>),
    /// The same in two parts, of which the second waits until it is let go.
    ReplyInParts(Halves, Arc<Semaphore>),
    /// The same, and leave the connection open.
    ReplyAndHang(Arc<dyn Fn(&str) -> String + Send + Sync>),
    /// Read it and close.
    Close,
    /// Read it and say nothing.
    Hang,
}

impl Upstream {
    pub(super) async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let count = Arc::new(AtomicUsize::new(0));
        let sink = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (scripts, sink, count) = (scripts.clone(), sink.clone(), count.clone());
                tokio::spawn(async move {
                    // The other side may be gone at any moment.
                    let _ = serve(stream, &scripts, &sink, &count).await;
                });
            }
        });
        Self { address, seen, task }
    }

    pub(super) async fn answering(answer: &str) -> Self {
        Self::start(vec![Script::Answer(answer.into())]).await
    }

    /// The requests that have come, heads and bodies.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    scripts: &[Script],
    seen: &Mutex<Vec<String>>,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    if text.starts_with("get /health ") {
        return stream.write_all(plain("200 OK", "", "").as_bytes()).await;
    }
    let number = count.fetch_add(1, Ordering::SeqCst).min(scripts.len() - 1);
    let length: usize = text
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    if let Script::Early(answer) = &scripts[number] {
        seen.lock().unwrap().push(text);
        stream.write_all(answer.as_bytes()).await?;
        return stream.shutdown().await;
    }
    while request.len() < head + length && stream.read_buf(&mut request).await? > 0 {}
    seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    match &scripts[number] {
        Script::Answer(answer) | Script::Early(answer) => stream.write_all(answer.as_bytes()).await,
        Script::Reply(reply) | Script::ReplyAndHang(reply) => {
            let answer = reply(&String::from_utf8_lossy(&request));
            stream.write_all(answer.as_bytes()).await?;
            match &scripts[number] {
                Script::ReplyAndHang(_) => std::future::pending().await,
                _ => Ok(()),
            }
        }
        Script::ReplyInParts(reply, gate) => {
            let (first, second) = reply(&String::from_utf8_lossy(&request));
            stream.write_all(first.as_bytes()).await?;
            gate.acquire().await.unwrap().forget();
            stream.write_all(second.as_bytes()).await
        }
        Script::Close => Ok(()),
        Script::Hang => std::future::pending().await,
    }
}

/// All of the body of an answer.
pub(super) async fn text(answer: Answer) -> String {
    match answer.body {
        AnswerBody::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        AnswerBody::Stream(mut stream) => {
            let mut text = String::new();
            while let Some(bytes) = stream.next().await {
                text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            text
        }
    }
}

/// A plain answer of this status with these headers and body.
pub(super) fn plain(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A stream of these events.
pub(super) fn events(events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{events}\r\n0\r\n\r\n",
        events.len()
    )
}
