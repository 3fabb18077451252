//! Workers: what takes jobs from their queues and runs them in this process.

mod handler;
mod worker;

pub use handler::{Ended, Handler, Stop, Work};
pub use worker::{Lane, Worker};
