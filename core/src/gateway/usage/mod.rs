//! Who used how much of what: requests, tokens and money, per day.
//!
//! A [`UsageBook`] adds requests up in memory and writes the sums into [`UsageRecord`]s from time to
//! time; [`Usages`] reads them as a [`UsageReport`]. It only reports. What may be used is up to
//! [`budget`](super::budget), whose ledger loses nothing when a process is killed.

mod book;
mod counts;
mod noted;
mod pages;
mod record;
mod report;
#[cfg(test)]
mod tests;

pub use book::UsageBook;
pub use counts::Counts;
pub use noted::Noted;
pub use record::{RETENTION_DAYS, UsageId, UsageRecord};
pub use report::{By, Filter, UsageError, UsageReport, UsageRow, Usages, WhichProjects};
