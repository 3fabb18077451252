//! Requests to addresses that users choose, such as those of `http` jobs.
//!
//! Whoever may create such a request must not reach through it what only this machine can: itself,
//! its network, the metadata service of its cloud. So every one of them goes through [`Outbound`]:
//! it connects only to [public addresses](inward), follows no redirect, asks no proxy of the
//! environment and reads no more of an answer than it was told to. [`OutboundRules`] open what an
//! installation wants to reach nevertheless.
//!
//! Addresses are checked where names become addresses for the connection itself, so that a name
//! which means something else a moment later gets nowhere either.

mod address;
mod client;
mod resolver;
mod rules;
#[cfg(test)]
mod tests;

pub use address::inward;
pub use client::{Destination, Outbound, OutboundError, OutboundRequest, OutboundResponse};
pub(crate) use client::{NOT_CALLERS, is_callers};
pub use resolver::Inward;
pub use rules::{InvalidRule, OutboundRules};
