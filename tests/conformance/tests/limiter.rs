//! The limiters: in memory, and over the stores.
#![expect(clippy::unwrap_used, reason = "the fixture of a test")]

mod local {
    use std::sync::Arc;

    use diogenes_conformance::limiter::Fixture;
    use diogenes_core::keys::LocalLimiter;
    use diogenes_core::testing::ManualClock;

    async fn local() -> Fixture {
        Fixture::new(Arc::new(LocalLimiter::default()), Arc::new(ManualClock::default()), true)
    }

    diogenes_conformance::limiter_suite!(local);
}

mod memory {
    use std::sync::Arc;

    use diogenes_conformance::limiter::Fixture;
    use diogenes_core::keys::StoreLimiter;
    use diogenes_core::testing::{ManualClock, MemoryStore};

    async fn memory() -> Fixture {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Fixture::new(Arc::new(StoreLimiter::new(store)), clock, false)
    }

    diogenes_conformance::limiter_suite!(memory);
}

mod sqlite {
    use std::sync::Arc;

    use diogenes_backends::sqlite::SqliteStore;
    use diogenes_conformance::limiter::Fixture;
    use diogenes_core::keys::StoreLimiter;
    use diogenes_core::testing::ManualClock;

    async fn sqlite() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let store = SqliteStore::open(&directory.path().join("state.db"), clock.clone()).unwrap();
        Fixture::new(Arc::new(StoreLimiter::new(Arc::new(store))), clock, false).keeping(directory)
    }

    diogenes_conformance::limiter_suite!(sqlite);
}
