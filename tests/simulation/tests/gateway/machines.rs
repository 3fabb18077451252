use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{
    Beat, BeatStatus, ClaimId, Control, DrainReason, EndReason, InstanceId, Load, Phase, Slot,
    SlotState,
};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Clock, ComputeBackend, ComputeError, Exit, Expect, Instance, LaunchError, LaunchRequest,
};
use diogenes_core::testing::{FakeCompute, FakeInstance, MemoryStore, SeededEntropy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::clock::SimulatedClock;
use crate::journal::Journal;

/// How often a machine reports.
const BEAT: Duration = Duration::from_secs(5);
/// After a `down`, launches that were under way may still happen.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// A cloud whose instances run inference servers.
pub(crate) struct Machines {
    pub(crate) cloud: FakeCompute,
    pub(crate) settle: Duration,
    /// How long after a drain a request may still arrive.
    pub(crate) router_lag: Duration,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) dice: Arc<SeededEntropy>,
    running: Mutex<HashMap<InstanceId, Machine>>,
}

struct Machine {
    claim: ClaimId,
    model: ModelName,
    in_flight: Arc<AtomicU32>,
    task: AbortHandle,
}

impl Machines {
    pub(crate) fn new(
        settle: Duration,
        router_lag: Duration,
        store: Arc<MemoryStore>,
        clock: Arc<SimulatedClock>,
        journal: Arc<Journal>,
        dice: Arc<SeededEntropy>,
    ) -> Self {
        let cloud = FakeCompute::new(clock.clone(), settle);
        let running = Mutex::default();
        Self { cloud, settle, router_lag, store, clock, journal, dice, running }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<InstanceId, Machine>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn throw(&self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    pub(crate) fn alive(&self) -> usize {
        self.cloud.instances_where(FakeInstance::is_alive).len()
    }

    /// Turns some machine off, as a crash or its provider would.
    pub(crate) fn crash(&self) {
        let ids: Vec<InstanceId> = {
            let mut ids: Vec<_> = self.running().keys().cloned().collect();
            ids.sort_unstable();
            ids
        };
        let place = self.throw(ids.len().max(1) as u64);
        if let Some(id) = ids.get(usize::try_from(place).unwrap_or(0)) {
            let exit =
                if self.throw(2) == 0 { Exit::Code(1) } else { Exit::Reclaimed("spot".into()) };
            self.cloud.end(id, Some(exit));
            self.stop(id);
        }
    }

    fn stop(&self, id: &InstanceId) {
        if let Some(machine) = self.running().remove(id) {
            machine.task.abort();
        }
    }

    fn start(self: &Arc<Self>, id: &InstanceId, request: &LaunchRequest) {
        if self.running().contains_key(id) {
            return;
        }
        let in_flight = Arc::new(AtomicU32::new(0));
        let server = Server {
            machines: self.clone(),
            id: id.clone(),
            claim: request.claim.clone(),
            model: request.model.clone(),
            in_flight: in_flight.clone(),
        };
        let task = tokio::spawn(server.run()).abort_handle();
        let (claim, model) = (request.claim.clone(), request.model.clone());
        self.running().insert(id.clone(), Machine { claim, model, in_flight, task });
    }

    /// What is down stays down until somebody asks again.
    async fn check_launch(&self, model: &ModelName) {
        let control = self.store.load::<Control>(&Control::key_of(model)).await;
        let Some(control) = control.ok().flatten().map(|stored| stored.value) else { return };
        let Some(down_at) = control.down_at.filter(|_| !control.pinned) else { return };
        let asked = self.journal.last_asked(model).is_some_and(|at| at >= down_at);
        let under_way = down_at.saturating_add(UNDER_WAY).unwrap_or(Timestamp::MAX);
        if !asked && self.clock.now() > under_way {
            self.violation(format!("`{model}` was launched though it is down"));
        }
    }

    async fn slot_of(&self, model: &ModelName, claim: &ClaimId) -> Option<Slot> {
        let slots = self.store.load_all::<Slot>(Slot::all_of(model)).await.ok()?;
        slots.into_iter().map(|slot| slot.value).find(|slot| slot.claim == *claim)
    }

    /// Nothing is sent to a replica that drains.
    async fn check_arrival(&self, model: &ModelName, claim: &ClaimId) {
        let slot = self.slot_of(model, claim).await;
        let Some(SlotState::Draining { since, .. } | SlotState::Terminating { since, .. }) =
            slot.map(|slot| slot.state)
        else {
            return;
        };
        let late = since.saturating_add(self.router_lag).unwrap_or(Timestamp::MAX);
        if self.clock.now() > late {
            self.violation(format!("a request came to {claim}, which drains since {since}"));
        }
    }

    /// None is ended for being idle with requests on it.
    async fn check_end(&self, id: &InstanceId) {
        let machine = self.running().get(id).map(|machine| {
            let in_flight = machine.in_flight.load(Ordering::Relaxed);
            (machine.model.clone(), machine.claim.clone(), in_flight)
        });
        let Some((model, claim, in_flight @ 1..)) = machine else { return };
        let slot = self.slot_of(&model, &claim).await;
        if let Some(SlotState::Terminating { reason, .. }) = slot.map(|slot| slot.state)
            && matches!(reason, EndReason::Drained(DrainReason::Idle))
        {
            self.violation(format!("{claim} was ended as idle with {in_flight} requests on it"));
        }
    }

    fn violation(&self, what: String) {
        self.journal.violation(self.clock.elapsed(), what);
    }
}

/// The machines as a port. Machines start where they are launched, so the port has them as they
/// are shared.
pub(crate) struct Provider(pub(crate) Arc<Machines>);

#[async_trait]
impl ComputeBackend for Provider {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        sleep(Duration::from_millis(self.0.throw(300))).await;
        if self.0.throw(25) == 0 {
            return Err(LaunchError::Transient { reason: "simulated".into(), source: None });
        }
        let id = self.0.cloud.launch(request).await?;
        self.0.check_launch(&request.model).await;
        self.0.start(&id, request);
        if self.0.throw(25) == 0 {
            return Err(LaunchError::Transient {
                reason: "the answer is lost".into(),
                source: None,
            });
        }
        Ok(id)
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        let mut instances = self.0.cloud.describe().await?;
        for instance in &mut instances {
            instance.addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        }
        Ok(instances)
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        self.0.check_end(id).await;
        self.0.cloud.terminate(id).await?;
        self.0.stop(id);
        Ok(())
    }

    fn settle_time(&self) -> Duration {
        self.0.settle
    }
}

/// An inference server and who reports of it.
struct Server {
    machines: Arc<Machines>,
    id: InstanceId,
    claim: ClaimId,
    model: ModelName,
    in_flight: Arc<AtomicU32>,
}

impl Server {
    async fn run(self) {
        let machines = &self.machines;
        for phase in [Phase::Boot, Phase::Image, Phase::Weights] {
            self.beat(BeatStatus::Booting { phase }).await;
            sleep(Duration::from_millis(machines.throw(20_000))).await;
        }
        match machines.throw(12) {
            0 => {
                machines.cloud.end(&self.id, Some(Exit::Code(1)));
                return;
            }
            // It never becomes ready.
            1 => std::future::pending().await,
            _ => {}
        }
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await else { return };
        let Ok(address) = listener.local_addr() else { return };
        let base_url = format!("http://{address}");
        // Connections end with the server.
        let mut connections = JoinSet::new();
        loop {
            self.beat(BeatStatus::Ready { base_url: base_url.clone() }).await;
            let next = tokio::time::Instant::now() + BEAT;
            while let Ok(Ok((stream, _))) = tokio::time::timeout_at(next, listener.accept()).await {
                let connection = Connection {
                    machines: machines.clone(),
                    claim: self.claim.clone(),
                    model: self.model.clone(),
                    in_flight: self.in_flight.clone(),
                };
                connections.spawn(async move { connection.serve(stream).await.ok() });
                while connections.try_join_next().is_some() {}
            }
        }
    }

    async fn beat(&self, status: BeatStatus) {
        let now = self.machines.clock.now();
        let beat = Beat {
            claim: self.claim.clone(),
            status,
            load: Load { running: self.in_flight.load(Ordering::Relaxed), waiting: 0 },
            log_tail: Vec::new(),
            log_end: 0,
            instance: None,
            at: now,
            expires_at: now.saturating_add(Duration::from_mins(2)).unwrap_or(Timestamp::MAX),
        };
        // The store in memory takes everything.
        let _ = self.machines.store.save(beat, Expect::Any).await;
    }
}

struct Connection {
    machines: Arc<Machines>,
    claim: ClaimId,
    model: ModelName,
    in_flight: Arc<AtomicU32>,
}

/// Counts a request for as long as it is worked on.
struct InFlight<'a>(&'a AtomicU32);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let Some(body) = request(&mut stream, &mut buffer).await? else { return Ok(()) };
            let _in_flight = InFlight::new(&self.in_flight);
            self.machines.check_arrival(&self.model, &self.claim).await;
            let asks_for_stream = body.contains("\"stream\":true");
            if !self.answer(&mut stream, asks_for_stream).await? {
                return Ok(());
            }
        }
    }

    /// Answers, and says whether the connection may go on.
    async fn answer(&self, stream: &mut TcpStream, is_stream: bool) -> std::io::Result<bool> {
        let machines = &self.machines;
        sleep(Duration::from_millis(machines.throw(8_000))).await;
        if machines.throw(30) == 0 {
            return Ok(false);
        }
        if !is_stream {
            let body = r#"{"id":"x","usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await?;
            return Ok(true);
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..machines.throw(20) {
            chunk(stream, "data: {\"choices\":[]}\n\n").await?;
            sleep(Duration::from_millis(machines.throw(3_000))).await;
            if machines.throw(200) == 0 {
                return Ok(false);
            }
        }
        chunk(stream, "data: [DONE]\n\n").await?;
        stream.write_all(b"0\r\n\r\n").await?;
        Ok(true)
    }
}

async fn chunk(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await
}

/// Reads a request and returns its body; none at the end of the connection.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let (head, body) = buffer.split_at(end + 4);
            let head = String::from_utf8_lossy(head).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
            if let Some(body) = body.get(..length) {
                let body = String::from_utf8_lossy(body).into_owned();
                buffer.drain(..end + 4 + length);
                return Ok(Some(body));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
