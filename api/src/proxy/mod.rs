//! `/v1`: OpenAI's API, passed on byte for byte.
//!
//! Only `model` and `stream` are read from a request, and `model` is rewritten where an alias or
//! the spec asks for it. A request that finds no replica is held or turned away
//! ([`dispatch`]); a stream that ends without its end gets an error event.

pub mod dispatch;
mod entry;
mod headers;
mod hold;
mod in_use;
mod inference;
pub mod link;
mod models;
mod peek;
mod sse;
mod state;
mod stream;
mod target;
mod upstream;

pub use dispatch::Dispatcher;
pub(crate) use inference::{models_router, router};
pub use link::StoreLink;
pub(crate) use sse::Usage;
pub use state::{FleetViews, ProxyState};
