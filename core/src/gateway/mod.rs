//! The way of a request, as far as it is pure: what to do next for it, given its route, how the
//! targets of the route stand, and what its attempts have come to.
//!
//! `diogenes_api::proxy` walks it.

pub mod ledger;
mod plan;
mod route;

pub use plan::{GiveUp, Health, Outcome, Step, Waiting, next};
pub use route::{InvalidRoute, RouteSpec, Routes, Strategy, WhileCold};
