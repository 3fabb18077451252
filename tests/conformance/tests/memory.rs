//! The in-memory store.

use std::sync::Arc;

use diogenes_conformance::state_store::Fixture;
use diogenes_core::testing::{ManualClock, MemoryStore};

async fn memory() -> Fixture {
    let clock = Arc::new(ManualClock::default());
    Fixture::new(Arc::new(MemoryStore::new(clock.clone())), clock)
}

diogenes_conformance::state_store_suite!(memory);
