//! The commands against servers that answer as they are told.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails at once"
)]

mod chat;
mod completions;
mod doctor;
mod embed;
mod errors;
mod fake;
mod gateway;
mod health;
mod local;
mod logs;
mod prices;
