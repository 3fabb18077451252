//! A table of version 0.1.0 in the store in memory.
#![expect(clippy::expect_used, reason = "the fixture of a test")]

use std::sync::Arc;

use diogenes_conformance::older_records::Fixture;
use diogenes_core::testing::{ManualClock, MemoryStore};

async fn memory() -> Fixture {
    let clock = Arc::new(ManualClock::new("2026-11-26T18:13:00Z".parse().expect("a time")));
    Fixture::replayed(Arc::new(MemoryStore::new(clock.clone())), clock).await
}

diogenes_conformance::older_records_suite!(memory);
