//! The decision, case by case and for any situation.

mod fixture;
mod properties;
mod table;
