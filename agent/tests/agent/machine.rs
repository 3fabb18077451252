//! The machine that the agent runs on.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diogenes_agent::deadman::{BootClock, Shutdown};
use diogenes_agent::{Connect, LifetimeFrom, Metadata, Pace, Settings, World, run};
use diogenes_backends::aws::user_data::UserData;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{Beat, BeatStatus, ClaimId, DeploymentId, Engine, Lease};
use diogenes_core::ports::{Clock as _, Expect, StateStore};
use diogenes_core::secret::Secret;
use diogenes_core::testing::ManualClock;
use mock_vllm::{Faults, MockVllm};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::imds::Imds;
use super::store::Store;

/// How long a test waits for a state.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs until the test's directory is gone, so that nothing outlives a test.
pub(crate) const WAIT: &str = "while [ -d \"$DIR\" ]; do sleep 0.05; done";

/// Waits until `look` gives a value; panics with the last state seen.
pub(crate) async fn until<T, S: Debug>(mut look: impl FnMut() -> Result<T, S>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) => assert!(began.elapsed() < DEADLINE, "last seen: {seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Orders for the shell script `script`.
pub(crate) fn orders(dir: &TempDir, script: &str) -> UserData {
    let dir = dir.path().to_str().unwrap().to_owned();
    UserData {
        deployment: DeploymentId::new("test"),
        claim: ClaimId::new("0123456789abcdef0123456789abcdef"),
        model: "demo".parse().unwrap(),
        engine: Engine {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("DIR".to_owned(), dir.into())]),
            working_dir: None,
            health_path: "/health".into(),
            port: None,
        },
        upstream_key: Secret::new("up-secret"),
        table: "diogenes".into(),
        region: "eu-central-1".into(),
        max_lifetime: Duration::from_hours(24),
        lease_timeout: Duration::from_mins(15),
    }
}

/// A boot clock that a test moves.
#[derive(Default)]
pub(crate) struct Uptime {
    millis: AtomicU64,
    ticks: AtomicUsize,
}

impl Uptime {
    fn advance(&self, step: Duration) {
        let millis = u64::try_from(step.as_millis()).unwrap();
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl BootClock for Uptime {
    fn since_boot(&self) -> Duration {
        if std::thread::current().name() == Some("dead-man") {
            self.ticks.fetch_add(1, Ordering::SeqCst);
        }
        Duration::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

struct Given(Arc<Store>);

#[async_trait]
impl Connect for Given {
    async fn store(&self, _: &UserData) -> Arc<dyn StateStore> {
        self.0.clone()
    }

    async fn parameter(&self, orders: &UserData, name: &str) -> Result<Secret, String> {
        match name.strip_prefix("/diogenes/test/") {
            Some(secret) => Ok(Secret::new(format!("{secret} of {}", orders.region))),
            None => Err("does not exist".into()),
        }
    }
}

/// An agent and everything around it. Its machine was booted 100 s ago.
pub(crate) struct Machine {
    pub(crate) dir: TempDir,
    pub(crate) imds: Imds,
    pub(crate) store: Arc<Store>,
    pub(crate) mock: MockVllm,
    pub(crate) uptime: Arc<Uptime>,
    pub(crate) engine_user: Option<String>,
    clock: ManualClock,
    stop: Option<oneshot::Sender<()>>,
    agent: Option<JoinHandle<()>>,
}

impl Machine {
    /// A machine without an agent yet; its port refuses connections.
    pub(crate) async fn new() -> Self {
        let faults = Faults { refuse_connections: true, ..Faults::default() };
        let uptime = Arc::new(Uptime::default());
        uptime.advance(Duration::from_secs(100));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        Self {
            dir,
            imds: Imds::start().await,
            store: Arc::new(Store::new()),
            mock: MockVllm::builder()
                .api_key("up-secret")
                .tokens_per_second(50.0)
                .faults(faults)
                .start()
                .await
                .unwrap(),
            uptime,
            engine_user: None,
            clock: ManualClock::default(),
            stop: None,
            agent: None,
        }
    }

    /// A machine whose agent has started `script`, and whose port answers.
    pub(crate) async fn serving(script: &str, change: impl FnOnce(&mut UserData)) -> Self {
        let mut machine = Self::new().await;
        machine.mock.refuse_connections(false).await;
        let mut orders = orders(&machine.dir, script);
        change(&mut orders);
        machine.order(&orders);
        machine.start().await;
        machine.beat(|beat| matches!(beat.status, BeatStatus::Ready { .. })).await;
        machine
    }

    pub(crate) fn order(&self, orders: &UserData) {
        self.imds.set("user-data", &serde_json::to_string(orders).unwrap());
    }

    /// Starts the agent, and waits until its dead-man switch runs.
    pub(crate) async fn start(&mut self) {
        // The switch outlives the agent, and with it the test.
        let shutdown = "if [ -d \"$0\" ]; then touch \"$0/shutdown\"; fi";
        let dir = self.dir.path().to_str().unwrap();
        let shutdown = ["sh", "-c", shutdown, dir].map(str::to_owned).to_vec();
        let fast = Duration::from_millis(10);
        let settings = Settings {
            user_data: None,
            host: Some(self.mock.addr().ip()),
            port: self.mock.addr().port(),
            engine_user: self.engine_user.clone(),
            shutdown: Shutdown::new(shutdown),
            lifetime_from: LifetimeFrom::Boot,
            runtime_dir: Some(self.path("run")),
            pace: Pace {
                beat: 5 * fast,
                beat_ready: 5 * fast,
                check_boot: fast,
                check_ready: fast,
                notice: fast,
                lease: fast,
                patience: Duration::from_secs(1),
                kill_grace: Duration::from_secs(3),
                after_end: Duration::from_mins(1),
                tick: fast / 2,
            },
        };
        let world = World {
            metadata: Metadata::at(&self.imds.endpoint).unwrap(),
            connect: Box::new(Given(self.store.clone())),
            clock: Arc::new(ManualClock::default()),
            boot_clock: self.uptime.clone(),
            output: Box::new(std::io::sink()),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        self.agent = Some(tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            run(settings, world, stop).await.unwrap();
        }));
        self.pass(Duration::ZERO).await;
    }

    /// Tells the agent to stop, as SIGTERM does, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        self.agent.take().unwrap().await.unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the inference server's process has written to the file `name`, once there is one.
    pub(crate) async fn file(&self, name: &str) -> String {
        let path = self.path(name);
        let text = until(|| match std::fs::read_to_string(&path) {
            Ok(text) if text.ends_with('\n') => Ok(text),
            other => Err(other),
        });
        text.await.trim_end().to_owned()
    }

    /// The first beat from now on, or the newest one, that is as wanted.
    pub(crate) async fn beat(&self, wanted: impl Fn(&Beat) -> bool) -> Beat {
        let seen = self.store.beats().len().saturating_sub(1);
        until(|| {
            let beats = self.store.beats();
            match beats.iter().skip(seen).find(|beat| wanted(beat)) {
                Some(beat) => Ok(beat.clone()),
                None => Err(beats.last().cloned().map(Box::new)),
            }
        })
        .await
    }

    /// The last beat that was written.
    pub(crate) fn last(&self) -> Beat {
        self.store.beats().last().unwrap().clone()
    }

    /// Renews the lease, and waits until the agent has seen that.
    pub(crate) async fn renew_lease(&self, orders: &ClaimId) {
        let lease = Lease { claim: orders.clone(), bumped_at: self.clock.now() };
        self.store.save(lease, Expect::Any).await.unwrap();
        self.lease_is_read().await;
    }

    /// Waits until a read of the lease has begun and ended.
    pub(crate) async fn lease_is_read(&self) {
        let reads = self.store.lease_reads();
        until(|| Some(self.store.lease_reads()).filter(|now| *now >= reads + 2).ok_or("no read"))
            .await;
    }

    /// Lets time pass, and waits until the dead-man switch has looked at its clock twice.
    pub(crate) async fn pass(&self, step: Duration) {
        self.uptime.advance(step);
        let ticks = self.uptime.ticks.load(Ordering::SeqCst);
        // Two: one look may have been under way. After its end the switch looks no more.
        until(|| {
            let looked = self.uptime.ticks.load(Ordering::SeqCst) >= ticks + 2;
            if looked || self.is_shut_down() { Ok(()) } else { Err("no look at the clock") }
        })
        .await;
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.path("shutdown").exists()
    }

    /// Waits for the shutdown command.
    pub(crate) async fn shut_down(&self) {
        until(|| {
            if self.is_shut_down() {
                Ok(())
            } else {
                Err(self.store.beats().last().cloned().map(Box::new))
            }
        })
        .await;
    }

    /// The reason of the first beat that calls the instance unhealthy.
    pub(crate) async fn unhealthy(&self) -> String {
        let beat = self.beat(|beat| matches!(beat.status, BeatStatus::Unhealthy { .. })).await;
        reason(&beat)
    }
}

/// Why a beat is unhealthy or interrupted.
pub(crate) fn reason(beat: &Beat) -> String {
    match &beat.status {
        BeatStatus::Unhealthy { reason } | BeatStatus::Interrupted { reason } => reason.clone(),
        BeatStatus::Booting { .. } | BeatStatus::Ready { .. } => panic!("{beat:?}"),
    }
}

/// Whether a process runs.
pub(crate) fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Sends a request that generates for some time, and returns its open connection.
pub(crate) async fn long_request(server: SocketAddr, tokens: u32) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt as _;

    let body =
        format!(r#"{{"model":"mock-model","prompt":"a","max_tokens":{tokens},"stream":true}}"#);
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: {server}\r\nauthorization: Bearer up-secret\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(server).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}
