//! The functions' applications over a store in memory, held against the template that deploys
//! them.

mod control;
mod metrics;
mod store;
mod template;
