//! The SQLite store.
#![expect(clippy::unwrap_used, reason = "the fixture of a test")]

use std::sync::Arc;

use diogenes_backends::sqlite::SqliteStore;
use diogenes_conformance::state_store::Fixture;
use diogenes_core::testing::ManualClock;

async fn sqlite() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(&directory.path().join("state.db"), clock.clone()).unwrap();
    Fixture::new(Arc::new(store), clock).keeping(directory)
}

diogenes_conformance::state_store_suite!(sqlite);
