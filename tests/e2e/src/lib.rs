//! Drives the real `diogenes` and `mock-vllm` programs over HTTP.
//!
//! Every test has a [`Serve`] of its own: a free port, a temporary data directory, and nothing
//! left behind when it is dropped. Tests wait for states with deadlines ([`eventually`]).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails at once"
)]

#[cfg(feature = "aws")]
pub mod aws;
pub mod batch;
mod client;
mod cluster;
mod collector;
mod config;
mod folder;
mod programs;
mod raw;
mod script;
mod serve;
mod sse;
pub mod target;
mod wait;
pub mod wire;

pub use client::{Answer, Client, chat};
pub use cluster::ready;
pub use collector::{Collector, Metric, Span};
pub use config::{Config, Model};
pub use folder::Folder;
pub use programs::{diogenes, mock_vllm};
pub use raw::RawConnection;
pub use script::{SCRIPT_HEADER, Script, Step};
pub use serve::{Serve, refused_to_start};
pub use sse::{Event, EventStream};
pub use wait::{DEADLINE, eventually, eventually_within};
