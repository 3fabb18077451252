//! Every error that the API gives, as a caller sees it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails at once"
)]

mod cluster;
mod inference;
mod keys;
mod models;
mod sheet;
mod states;

use sheet::Sheet;
