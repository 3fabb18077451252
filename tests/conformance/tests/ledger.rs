//! The ledger in memory and in SQLite, and the one with tranches over both.
#![expect(clippy::unwrap_used, reason = "the fixture of a test")]

mod memory {
    use std::sync::Arc;

    use diogenes_conformance::ledger::Fixture;
    use diogenes_core::testing::{ManualClock, MemoryStore};

    async fn memory() -> Fixture {
        let clock = Arc::new(ManualClock::default());
        Fixture::new(Arc::new(MemoryStore::new(clock.clone())), clock)
    }

    diogenes_conformance::ledger_suite!(memory);
}

mod tranches {
    use std::sync::Arc;

    use diogenes_conformance::ledger::Fixture;
    use diogenes_core::testing::{ManualClock, MemoryStore};

    async fn tranches() -> Fixture {
        let clock = Arc::new(ManualClock::default());
        Fixture::new(Arc::new(MemoryStore::new(clock.clone())), clock).with_tranches()
    }

    diogenes_conformance::ledger_suite!(tranches);
}

mod sqlite {
    use std::sync::Arc;

    use diogenes_backends::sqlite::SqliteStore;
    use diogenes_conformance::ledger::Fixture;
    use diogenes_core::testing::ManualClock;

    async fn sqlite() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let store = SqliteStore::open(&directory.path().join("state.db"), clock.clone()).unwrap();
        Fixture::new(Arc::new(store), clock).remote().keeping(directory)
    }

    diogenes_conformance::ledger_suite!(sqlite);
}

mod tranches_in_sqlite {
    use std::sync::Arc;

    use diogenes_backends::sqlite::SqliteStore;
    use diogenes_conformance::ledger::Fixture;
    use diogenes_core::testing::ManualClock;

    async fn sqlite() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let store = SqliteStore::open(&directory.path().join("state.db"), clock.clone()).unwrap();
        Fixture::new(Arc::new(store), clock).remote().with_tranches().keeping(directory)
    }

    diogenes_conformance::ledger_suite!(sqlite);
}
