//! Many requests that nobody waits for: what batches and evals have in common.
//!
//! [`Flights`] has as many of them under way as their model has room for beside what others ask, and hands each answer
//! to its [`Load`] to be kept, before another request is begun in its place. An [`Asker`] sends one until there is an
//! answer that counts.

mod asking;
mod done;
mod flights;
mod patron;
mod records;

pub(crate) use asking::{Asker, Refusal, Reply, Request, Said};
pub(crate) use done::Done;
pub(crate) use flights::{Asked, Flights, Landed, Load};
pub(crate) use patron::{Patron, Trouble, commit};
pub(crate) use records::Records;

/// The most records that are written in one commit, and the most bytes of them.
pub(crate) const MOST_WRITES: usize = 50;
pub(crate) const MOST_BYTES: usize = 1 << 20;
