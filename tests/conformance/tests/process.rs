//! The process backend.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "the fixture is not inside a test function")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_backends::process::{ProcessBackend, ProcessSettings};
use diogenes_conformance::compute::Fixture;
use diogenes_conformance::logs;
use diogenes_core::fleet::{ClaimId, DeploymentId, Engine, InstanceId, LaunchToken, Placement};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{ComputeBackend as _, LaunchRequest};
use diogenes_core::secret::Secret;
use diogenes_core::testing::{CountingWake, ManualClock, MemoryStore};
use tempfile::TempDir;

/// A backend, an engine that runs on it until the file of its claim is in `over`, or that directory
/// is gone, and what both stand on.
struct Machine {
    backend: Arc<ProcessBackend>,
    engine: Engine,
    over: PathBuf,
    dir: TempDir,
}

fn machine() -> Machine {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let dir = TempDir::new().unwrap();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let deployment = DeploymentId::new(format!("conformance-{}-{count}", std::process::id()));
    let settings = ProcessSettings {
        kill_grace: Duration::from_millis(200),
        ..ProcessSettings::new(dir.path().join("data"), deployment)
    };
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let backend =
        ProcessBackend::open(settings, store, Arc::new(CountingWake::default()), clock).unwrap();

    let over = dir.path().join("over");
    std::fs::create_dir(&over).unwrap();
    let script = "while [ -d \"$OVER\" ] && [ ! -e \"$OVER/$DIOGENES_CLAIM\" ]; \
                  do sleep 0.02; done; exit 3";
    let engine = Engine {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("OVER".to_owned(), over.to_str().unwrap().into())]),
        working_dir: None,
        health_path: "/health".into(),
        port: None,
    };
    Machine { backend, engine, over, dir }
}

async fn process() -> Fixture {
    let Machine { backend, engine, over, dir } = machine();
    // The id of an instance is its claim.
    let end = move |id: &InstanceId| std::fs::write(over.join(id.as_str()), "").unwrap();
    Fixture::new(backend, engine, end, dir)
}

diogenes_conformance::compute_suite!(process);

/// Launches servers, and appends to their logs as they would.
struct Servers {
    backend: Arc<ProcessBackend>,
    engine: Engine,
}

#[async_trait]
impl logs::Servers for Servers {
    async fn start(&self, model: &ModelName, claim: &ClaimId) {
        let request = LaunchRequest {
            token: LaunchToken::new(format!("{claim}-token")),
            claim: claim.clone(),
            model: model.clone(),
            engine: self.engine.clone(),
            rung: Placement::local(),
            upstream_key: Secret::new("up-conformance"),
            lifetime: None,
        };
        self.backend.launch(&request).await.unwrap();
    }

    async fn print(&self, _: &ModelName, claim: &ClaimId, lines: &[u8]) {
        let path = self.backend.log_path(claim).unwrap();
        OpenOptions::new().append(true).open(path).unwrap().write_all(lines).unwrap();
    }
}

mod process_logs {
    async fn process() -> super::logs::Fixture {
        let super::Machine { backend, engine, over: _, dir } = super::machine();
        let servers = super::Servers { backend: backend.clone(), engine };
        super::logs::Fixture::new(backend, servers).keeping(dir)
    }

    diogenes_conformance::logs_suite!(process);
}
