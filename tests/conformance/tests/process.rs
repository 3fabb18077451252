//! The process backend.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "the fixture is not inside a test function")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diogenes_backends::process::{ProcessBackend, ProcessSettings};
use diogenes_conformance::compute::Fixture;
use diogenes_core::fleet::{DeploymentId, Engine};
use diogenes_core::testing::{CountingWake, ManualClock, MemoryStore};
use tempfile::TempDir;

async fn process() -> Fixture {
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

    // It runs until the file of its claim, which is its id, is there, or the directory is gone:
    // so it ends with the check.
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
    let end = move |id: &diogenes_core::fleet::InstanceId| {
        std::fs::write(over.join(id.as_str()), "").unwrap();
    };
    Fixture::new(backend, engine, end, dir)
}

diogenes_conformance::compute_suite!(process);
