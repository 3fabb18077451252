//! Who used how much of what: requests, tokens and money, per day.
//!
//! A [`UsageBook`] adds requests up in memory and writes the sums into [`UsageRecord`]s from time to
//! time; [`Usages`] reads them as a [`UsageReport`], and [`FleetCosts`] what the instances of the fleet
//! have cost beside them. It only reports. What may be used is up to
//! [`budget`](super::budget), whose ledger loses nothing when a process is killed.

mod book;
mod costs;
mod counts;
mod noted;
mod pages;
mod record;
mod report;
#[cfg(test)]
mod tests;

pub use book::UsageBook;
pub use costs::{CostBy, CostError, CostReport, CostRow, Costs, FleetCosts};
pub use counts::Counts;
pub use noted::Noted;
pub use record::{UsageId, UsageRecord};
pub use report::{By, Filter, UsageError, UsageReport, UsageRow, Usages, WhichProjects};
