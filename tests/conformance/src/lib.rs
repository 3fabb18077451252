//! What the ports promise, as tests that every implementation runs.
//!
//! One module per port. A port's suite is a macro that expands to one `#[tokio::test]` per
//! promise, so that a broken one is named:
//!
//! ```text
//! async fn memory() -> Fixture { … }
//! diogenes_conformance::state_store_suite!(memory);
//! ```
//!
//! A real difference between backends is a field of the fixture, never a copy of a test.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a suite is test code that happens to be a library"
)]

pub mod blobs;
pub mod compute;
pub mod demand;
pub mod dynoxide;
pub mod ledger;
pub mod limiter;
pub mod logs;
pub mod names;
pub mod older_records;
pub mod secrets;
pub mod slots;
pub mod state_store;
mod suite;
pub mod wake;
