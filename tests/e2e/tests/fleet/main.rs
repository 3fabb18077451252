//! How the fleet follows the demand, its operators, and its own failures.

mod failures;
mod idle;
mod orders;
mod registry;
mod scaling;
