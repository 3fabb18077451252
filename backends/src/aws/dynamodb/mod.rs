//! [`StateStore`](diogenes_core::ports::StateStore) on one DynamoDB table.
//!
//! The table has the keys `pk` and `sk` (strings), an index named `index` on `ipk` and `isk`, and
//! the TTL attribute `ttl`. An item stands under its own key; the partition of a counter begins
//! with `COUNTER#`, and an item partition that begins like that is written as `ITEM#…`.
//!
//! A read is one GetItem or Query, a commit of one write one PutItem or DeleteItem under a
//! condition, a larger one a TransactWriteItems, a single addition one UpdateItem (a second one
//! where the counter had expired). Throttled calls and lost answers are repeated for some seconds here and
//! not by the SDK, because only who sees every attempt can tell a conflict with somebody else
//! from one with its own earlier attempt.

mod call;
mod condition;
mod counter;
mod fault;
mod item;
mod list;
mod patience;
mod state_store;
mod store;
mod table;
mod transaction;
mod write;

#[cfg(test)]
mod tests;

pub use store::DynamoStore;
pub use table::create_table;
