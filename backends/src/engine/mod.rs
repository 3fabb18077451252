//! An inference server as whoever starts it sees it, `diogenes serve` on its machine and the agent
//! on an instance: how it is started, what its log tells, whether it answers, and how it ended.
//!
//! - [`secrets`]: what its environment refers to.
//! - [`start`]: its process.
//! - [`output`]: the lines of its log, and the phases that they announce.
//! - [`health`]: its health check.
//! - [`port`]: whether it listens where it is looked for.
//! - [`loopback`]: how it is reached from its own machine.
//! - [`exit`]: how it ended.

pub mod exit;
pub mod health;
pub mod loopback;
pub mod output;
pub mod port;
pub mod secrets;
pub mod start;
