//! The [`Ledger`](crate::ports::Ledger) over a store.

mod record;
mod store_ledger;

pub use store_ledger::StoreLedger;
