//! The domain of Diogenes, free of any cloud, protocol or clock.
//!
//! - [`ports`]: what the domain needs from the world, one documented trait per file.
//! - [`fleet`]: models, slots, the instance state machine, the pure decision and its shell.
//! - [`gateway`]: what to do next for a request: send it, hold it, or turn it away.
//! - [`routing`]: which of a model's replicas serves a request.
//! - [`keys`]: API keys: issue, verify, limit.
//! - [`jobs`]: work that outlives the process that begins it.
//! - [`batches`]: files, and batches of requests.
//! - [`datasets`]: examples in snapshots that never change.
//! - [`deployments`]: how a new version of a prompt reaches its users.
//! - [`prompts`]: prompts in versions, their labels, what is rendered of them.
//! - [`audit`]: who changed what.
//! - [`evals`]: whether a candidate does better than a baseline.
//! - [`causes`]: errors and what caused them.
//! - [`days`]: the days that usage and costs are kept by.
//! - [`tenancy`]: projects, permissions, and who makes a request.
//! - [`wake`]: one asker per wake-up, where many processes ask.
//! - [`testing`] (feature `testing`): the in-memory store, the fake compute backend and
//!   the seeded simulation of the fleet.
//!
//! Nothing here reads a clock, the environment, a file or a random source by itself: such
//! values come in through a port or as an argument.

pub mod audit;
pub mod batches;
pub mod byte_size;
pub mod causes;
mod daily;
pub mod datasets;
pub mod days;
pub mod deployments;
pub mod duration;
pub mod entity;
pub mod evals;
pub mod fleet;
pub mod gateway;
mod hex;
pub mod jobs;
mod json_schema;
pub mod keys;
pub mod money;
pub mod name;
mod ordered_id;
pub mod ports;
pub mod prompts;
pub mod routing;
pub mod secret;
mod sorted_json;
pub mod tenancy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wake;

pub use hex::hex;
/// An instant on the control plane's clock; RFC 3339 in JSON.
pub use jiff::Timestamp;
