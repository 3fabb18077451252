//! The way of a request, as far as it is pure: what to do next for it, given its route, how the
//! targets of the route stand, and what its attempts have come to.
//!
//! `diogenes_api::proxy` walks it. [`budget`] says what it may use, [`ledger`] keeps account of it,
//! [`prices`] turn tokens into money, and the [`catalog`] keeps routes and providers.
//! [`translation`] lets a caller of one API be served by a target of another. [`usage`] tells
//! afterwards who used what, and a [`record`] what one request was. [`cache`] keeps answers for
//! requests that come again.

mod breaker;
pub mod budget;
pub mod cache;
pub mod catalog;
pub mod continuation;
mod fair_queue;
pub mod ledger;
mod plan;
pub mod prices;
mod provider;
pub mod record;
mod route;
mod strategy;
mod target;
pub mod translation;
pub mod usage;

pub use breaker::Breaker;
pub use fair_queue::{FairQueue, QueuePlace};
pub use plan::{
    Attempted, GiveUp, Health, MAX_CASUALTIES, ModelHealth, Outcome, Step, Waiting, next,
};
pub use provider::{
    InvalidProvider, InvalidProviderName, ProviderKind, ProviderName, ProviderSpec, ProviderSpecs,
};
pub use route::{InvalidRoute, RouteSpec, Routes, WhileCold};
pub use strategy::{Rank, Strategy, order};
pub use target::RouteTarget;
