use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{
    Beat, ClaimId, DeploymentId, Engine, InstanceId, LaunchToken, Placement,
};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Clock, ComputeBackend as _, Instance, InstanceState, LaunchRequest, Topic, Wake, WakeError,
};
use diogenes_core::secret::Secret;
use diogenes_core::testing::MemoryStore;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::identity::tagged;
use crate::process::{OnShutdown, ProcessBackend, ProcessSettings};

/// How long a state is waited for.
const DEADLINE: Duration = Duration::from_secs(20);

pub(super) struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[derive(Default)]
pub(super) struct Triggers(Mutex<Vec<ModelName>>);

#[async_trait]
impl Wake for Triggers {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        let Topic::Model(model) = topic else { return Ok(()) };
        self.0.lock().unwrap().push(model.clone());
        Ok(())
    }
}

/// A data directory with what outlives a `serve`. Its processes end with it.
pub(super) struct Machine {
    pub(super) dir: tempfile::TempDir,
    pub(super) settings: ProcessSettings,
    store: Arc<MemoryStore>,
    triggers: Arc<Triggers>,
}

impl Machine {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = tempfile::tempdir().unwrap();
        let deployment = DeploymentId::new(format!(
            "test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        let settings = ProcessSettings {
            kill_grace: Duration::from_millis(200),
            health_interval: Duration::from_millis(20),
            ..ProcessSettings::new(dir.path().join("data"), deployment)
        };
        Self {
            dir,
            settings,
            store: Arc::new(MemoryStore::new(Arc::new(RealClock))),
            triggers: Arc::default(),
        }
    }

    pub(super) fn serve(&self) -> Arc<ProcessBackend> {
        ProcessBackend::open(
            self.settings.clone(),
            self.store.clone(),
            self.triggers.clone(),
            Arc::new(RealClock),
        )
        .unwrap()
    }

    /// Ends `backend` as SIGKILL would: nothing is looked after, the children run on.
    pub(super) async fn crash(&self, backend: Arc<ProcessBackend>) {
        backend.shutdown(OnShutdown::Leave, Duration::ZERO).await;
        drop(backend);
    }

    pub(super) fn triggered(&self) -> usize {
        self.triggers.0.lock().unwrap().len()
    }

    pub(super) fn request(&self, claim: &str, engine: Engine) -> LaunchRequest {
        let deployment = &self.settings.deployment;
        let claim = ClaimId::new(claim);
        LaunchRequest {
            token: LaunchToken::derive(deployment, &claim, 0, 0, &Placement::local()),
            claim,
            model: "org/model:8b".parse().unwrap(),
            engine,
            rung: Placement::local(),
            upstream_key: Secret::new("up-test"),
            lifetime: None,
        }
    }

    pub(super) async fn beat(&self, claim: &str) -> Option<Beat> {
        let key = Beat::key_of(&ClaimId::new(claim));
        let beat = self.store.load::<Beat>(&key).await.unwrap();
        beat.map(|beat| beat.value)
    }

    /// Waits for a beat of `claim` that `fits`.
    pub(super) async fn beat_that(&self, claim: &str, fits: impl Fn(&Beat) -> bool) -> Beat {
        let began = Instant::now();
        loop {
            let beat = self.beat(claim).await;
            match beat {
                Some(beat) if fits(&beat) => return beat,
                last => assert!(began.elapsed() < DEADLINE, "last beat: {last:?}"),
            }
            tick().await;
        }
    }

    /// The record of `claim` as JSON.
    pub(super) fn record(&self, claim: &str) -> Option<serde_json::Value> {
        let path = self.run_dir().join(format!("{claim}.json"));
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    pub(super) fn write_record(&self, claim: &str, record: &serde_json::Value) {
        let path = self.run_dir().join(format!("{claim}.json"));
        std::fs::write(path, record.to_string()).unwrap();
    }

    pub(super) fn run_dir(&self) -> std::path::PathBuf {
        self.settings.data_dir.join("run")
    }

    /// The processes that carry the tags of this deployment.
    pub(super) fn processes(&self) -> Vec<i32> {
        tagged(&self.settings.deployment).into_iter().map(|process| process.pid).collect()
    }

    pub(super) async fn until_no_process(&self) {
        until(|| self.processes().is_empty(), || self.processes()).await;
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for process in tagged(&self.settings.deployment) {
            process.signal(Signal::KILL);
        }
    }
}

pub(super) fn engine(command: &[&str]) -> Engine {
    Engine {
        command: command.iter().map(ToString::to_string).collect(),
        env: BTreeMap::new(),
        working_dir: None,
        health_path: "/health".into(),
        port: None,
    }
}

pub(super) fn shell(script: &str) -> Engine {
    engine(&["/bin/sh", "-c", script])
}

/// Runs until it is ended.
pub(super) fn sleeper() -> Engine {
    engine(&["sleep", "600"])
}

pub(super) async fn seen(backend: &ProcessBackend, id: &InstanceId) -> Option<Instance> {
    let all = backend.describe().await.unwrap();
    all.into_iter().find(|instance| instance.id == *id)
}

pub(super) async fn state(backend: &ProcessBackend, id: &InstanceId) -> Option<InstanceState> {
    seen(backend, id).await.map(|instance| instance.state)
}

/// Waits until `describe` shows `wanted` for `id`; `None` for nothing at all.
pub(super) async fn until_state(
    backend: &ProcessBackend,
    id: &InstanceId,
    wanted: Option<InstanceState>,
) {
    let began = Instant::now();
    loop {
        let last = state(backend, id).await;
        if last == wanted {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "last state: {last:?}, wanted: {wanted:?}");
        tick().await;
    }
}

/// Waits for `holds`; `last` tells what stood in its way.
pub(super) async fn until<T: std::fmt::Debug>(holds: impl Fn() -> bool, last: impl Fn() -> T) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "last: {:?}", last());
        tick().await;
    }
}

pub(super) fn wait_blocking(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() && began.elapsed() < 3 * DEADLINE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for a file and returns what it says.
pub(super) async fn said(path: &Path) -> String {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    until(|| read().ends_with('\n'), read).await;
    read().trim().to_owned()
}

pub(super) fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

async fn tick() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
