//! What requests cost: prices per million tokens, by provider and model.
//!
//! A [`PriceBook`] has the prices that this version was built with, and those of the operator
//! before them. A [`Price`] says what an attempt [has cost](Price::cost), and
//! [the most that it can cost](Price::bound); models of the fleet have a [`RateCard`] instead.
//!
//! `snapshot.json` has facts from genai-prices by Pydantic (MIT,
//! <https://github.com/pydantic/genai-prices>) in a form of our own; `scripts/update_prices.py`
//! writes it and says what it leaves out.

mod book;
mod check;
mod entry;
mod list;
mod litellm;
mod merge;
mod pattern;
mod price;
mod rates;

pub use book::{InvalidRateCard, PriceBook, PriceOrigin, PriceVersion, Priced, RateCard};
pub use entry::{PriceEntry, is_named};
pub use list::{InvalidPriceList, PriceList};
pub use litellm::Imported;
pub use merge::PriceChange;
pub use price::{InvalidPrice, Price};
pub use rates::{Rates, TokenUsage};
