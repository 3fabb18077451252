//! The decision, case by case and for any situation.

mod agents;
mod fixture;
mod properties;
mod table;
mod upkeep;
