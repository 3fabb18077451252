//! A seeded simulation of the fleet.
//!
//! Several reconcilers run at once, interleaved between any two calls of a port, crash between
//! any two, lose answers, are triggered twice or not at all, while callers come and go, instances
//! boot, fail and are taken back, and operators speak. What must hold in any schedule is checked
//! after every step ([`Simulation::run`]); a failure names its seed, and a seed replays exactly.

mod faults;
mod invariants;
mod world;

pub use world::{Settings, Simulation, Violation};
