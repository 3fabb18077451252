//! The [`Ledger`](crate::ports::Ledger) over a store, and one that divides what it reserves there
//! among many requests.

mod check;
mod purse;
mod record;
mod store_ledger;
mod tranche_ledger;
#[cfg(test)]
mod tranche_tests;
mod tranches;

pub use store_ledger::StoreLedger;
pub use tranche_ledger::TrancheLedger;
