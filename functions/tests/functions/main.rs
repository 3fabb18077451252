//! The functions' applications over a store in memory, held against the template that deploys
//! them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the fixtures are not inside test functions"
)]

mod control;
mod metrics;
mod store;
mod template;
