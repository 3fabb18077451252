//! The functions' applications over a store in memory, held against the template that deploys
//! them.

mod control;
mod store;
mod template;
