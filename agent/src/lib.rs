//! The agent of a GPU instance: starts the inference server as its child, reports how it is
//! doing, and ends the instance when nobody wants it any more. It proxies nothing.
//!
//! - [`run`]: one run, from the orders to the last beat.
//! - [`deadman`]: the switch that ends the instance, in a thread that waits for nobody.
//! - [`Args`]: the command line.

mod agent;
mod args;
mod aws;
pub mod deadman;
mod engine;
mod facts;
mod metadata;
mod orders;
mod report;
mod settings;
mod watch;

pub use agent::{Connect, World, run};
pub use args::Args;
pub use aws::Aws;
pub use metadata::{Metadata, MetadataError};
pub use settings::{LifetimeFrom, Pace, Settings};
