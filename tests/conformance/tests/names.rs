//! Names and definitions in the stores of one machine.
#![expect(clippy::unwrap_used, reason = "the fixtures of a test")]

use std::sync::Arc;

use diogenes_conformance::names::Fixture;
use diogenes_core::testing::ManualClock;

/// The store in memory.
mod memory {
    use diogenes_core::testing::MemoryStore;

    use super::{Arc, Fixture, ManualClock};

    async fn memory() -> Fixture {
        let clock = Arc::new(ManualClock::default());
        Fixture::new(Arc::new(MemoryStore::new(clock.clone())), clock).await
    }

    diogenes_conformance::names_suite!(memory);
}

/// The SQLite store.
mod sqlite {
    use diogenes_backends::sqlite::SqliteStore;

    use super::{Arc, Fixture, ManualClock};

    async fn sqlite() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let store = SqliteStore::open(&directory.path().join("state.db"), clock.clone()).unwrap();
        Fixture::new(Arc::new(store), clock).await.keeping(directory)
    }

    diogenes_conformance::names_suite!(sqlite);
}
