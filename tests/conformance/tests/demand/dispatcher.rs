//! The dispatcher, whose requests the gateway sends to servers on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use diogenes_api::metrics::Metrics;
use diogenes_api::proxy::{
    Dialect, Dispatcher, FleetViews, Gateway, GatewaySettings, InferenceRequest,
};
use diogenes_conformance::demand::{Callers, Fixture};
use diogenes_core::fleet::{ClaimId, Control, Model, ModelView, Source};
use diogenes_core::keys::LocalLimiter;
use diogenes_core::name::ModelName;
use diogenes_core::ports::Clock as _;
use diogenes_core::tenancy::Allowed;
use diogenes_core::testing::{CountingWake, ManualClock};
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{ready_slot, spec};

const ANSWER: &str = r#"{"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

async fn dispatcher() -> Fixture {
    let clock = Arc::new(ManualClock::default());
    let wake = Arc::new(CountingWake::default());
    let dispatcher = Dispatcher::new(Arc::new(Metrics::default()), clock.clone(), wake);
    let dispatcher = Arc::new(dispatcher);
    let views = FleetViews::local(dispatcher.clone());
    let limiter = Arc::new(LocalLimiter::default());
    let gateway = Gateway::new(views, limiter, clock.clone(), GatewaySettings::default());
    let router = Router {
        dispatcher: dispatcher.clone(),
        gateway: Arc::new(gateway),
        clock: clock.clone(),
        models: Mutex::default(),
    };
    Fixture::new(dispatcher, clock, router)
}

diogenes_conformance::demand_suite!(dispatcher);

/// The callers of a gateway.
struct Router {
    dispatcher: Arc<Dispatcher>,
    gateway: Arc<Gateway>,
    clock: Arc<ManualClock>,
    models: Mutex<BTreeMap<ModelName, Calls>>,
}

/// The requests of a model, and its replicas.
#[derive(Default)]
struct Calls {
    waiting: Vec<JoinHandle<()>>,
    running: BTreeMap<ClaimId, Vec<JoinHandle<()>>>,
    replicas: Vec<(ClaimId, Arc<Replica>)>,
}

impl Router {
    fn of<T>(&self, model: &ModelName, act: impl FnOnce(&mut Calls) -> T) -> T {
        act(self.models.lock().unwrap().entry(model.clone()).or_default())
    }

    /// Publishes the model with the replicas that it has.
    fn publish(&self, model: &ModelName) {
        let now = self.clock.now();
        let replicas = self.of(model, |calls| calls.replicas.clone());
        let slots = replicas.iter().enumerate().map(|(index, (claim, replica))| {
            ready_slot(model, index, claim, format!("http://{}", replica.address), now)
        });
        let slots = slots.collect();
        let record = Model {
            name: model.clone(),
            spec: spec(),
            source: Source::Api,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let control = Control::new(model.clone());
        self.dispatcher.publish(ModelView::new(Arc::new(record), slots, control, None));
    }

    fn call(&self, model: &ModelName) -> JoinHandle<()> {
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        let request = InferenceRequest {
            id: HeaderValue::from_static("request"),
            arrived: Instant::now(),
            dialect: Dialect::ChatCompletions,
            query: None,
            is_background: false,
            allowance: None,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            let answer = gateway.walk(Allowed::operator(), request).await;
            assert!(answer.is_ok_and(|answer| answer.status == 200));
        })
    }
}

#[async_trait]
impl Callers for Router {
    async fn arrive(&self, model: &ModelName) {
        self.publish(model);
        let call = self.call(model);
        self.of(model, |calls| calls.waiting.push(call));
    }

    async fn give_up(&self, model: &ModelName) {
        let call = self.of(model, |calls| calls.waiting.pop()).unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }

    async fn ready(&self, model: &ModelName, claim: &ClaimId) {
        let replica = Replica::start().await;
        self.of(model, |calls| calls.replicas.push((claim.clone(), replica)));
        self.publish(model);
    }

    async fn begin(&self, model: &ModelName, claim: &ClaimId) {
        let call = self.call(model);
        let replica = self.of(model, |calls| {
            calls.running.entry(claim.clone()).or_default().push(call);
            let found = calls.replicas.iter().find(|(known, _)| known == claim);
            found.unwrap().1.clone()
        });
        replica.began.acquire().await.unwrap().forget();
    }

    /// The dispatcher counts the request, however long it takes.
    async fn go_on(&self, _: &ModelName, _: &ClaimId) {}

    async fn end(&self, model: &ModelName, claim: &ClaimId) {
        let (call, replica) = self.of(model, |calls| {
            let call = calls.running.get_mut(claim).unwrap().pop().unwrap();
            let found = calls.replicas.iter().find(|(known, _)| known == claim);
            (call, found.unwrap().1.clone())
        });
        replica.may_end.add_permits(1);
        call.await.unwrap();
    }

    async fn lose_all(&self, model: &ModelName) {
        self.of(model, |calls| calls.replicas.clear());
        self.publish(model);
    }
}

/// An inference server that answers each request when it may.
struct Replica {
    address: SocketAddr,
    began: Semaphore,
    may_end: Semaphore,
}

impl Replica {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let replica =
            Arc::new(Self { address, began: Semaphore::new(0), may_end: Semaphore::new(0) });
        let server = replica.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                // The other side may be gone at any moment.
                tokio::spawn(async move { drop(server.serve(stream).await) });
            }
        });
        replica
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        // The body is an object, and it alone has a brace at its end.
        while !request.ends_with(b"]}") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        self.began.add_permits(1);
        self.may_end.acquire().await.map_err(std::io::Error::other)?.forget();
        let length = ANSWER.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{ANSWER}"
        );
        stream.write_all(answer.as_bytes()).await
    }
}
