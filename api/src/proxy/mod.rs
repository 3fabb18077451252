//! `/v1`: the way of a request to the replicas of the fleet or to a provider, and of their answers
//! back.
//!
//! One request is one walk, and each step is made from the one before it:
//!
//! 1. `admission`: who asks, and what for;
//! 2. `resolution`: the models that the name leads to, by a `route` or alone, each a
//!    `destination`;
//! 3. `pursuit`: the plan ([`diogenes_core::gateway`]), carried out: `hold` and attempts
//!    (`call`);
//! 4. `delivery`: bytes copied as they come, plain answers checked, streams watched, and translated
//!    by an `interpreter` where the target speaks another dialect;
//! 5. `settlement`: metrics, limits, usage (for a `consumer`), the record (a `draft` until then),
//!    stamps; once, however the request ends.
//!
//! [`Gateway::walk`] is all of it as a call; `routes` are its caller for HTTP. Bodies pass byte
//! for byte: only `model` is rewritten where an alias or the spec asks for it, and usage is asked
//! for where a limit counts tokens.

mod admission;
mod arrangement;
mod background;
mod beginning;
mod bound;
mod call;
mod casualties;
mod consumer;
mod conversations;
mod current_prices;
mod delivery;
mod destination;
mod dialect;
pub mod dispatch;
mod draft;
mod entry;
mod fleet_link;
mod form;
mod gateway;
mod headers;
mod hold;
mod interpreter;
mod keeping;
mod line;
mod models;
mod opening;
mod peek;
mod prompting;
mod proper_end;
mod provider;
mod published;
mod purse;
mod pursuit;
mod recovery;
mod refusal;
mod resolution;
mod route;
mod routes;
mod settlement;
mod speed;
mod state;
mod target;
#[cfg(test)]
pub(crate) mod testing;
mod trace;
mod trials;
mod upstream;
mod usage;
mod verdict;
mod views;
mod walk;
mod watch;
mod wording;

pub use admission::InferenceRequest;
pub use background::Ground;
pub(crate) use delivery::COST;
pub use delivery::{Answer, AnswerBody, AnswerStream};
pub use dialect::Dialect;
pub use dispatch::Dispatcher;
pub use gateway::{Deadlines, Gateway, GatewaySettings, Records};
pub use provider::ProviderError;
pub use published::WayOut;
pub use purse::Purse;
pub(crate) use recovery::RECOVERIES;
pub(crate) use routes::{models_router, router};
pub(crate) use speed::Speed;
pub use state::ProxyState;
pub use trials::Trials;
pub(crate) use usage::Usage;
pub(crate) use verdict::retry_after;
pub use views::FleetViews;
