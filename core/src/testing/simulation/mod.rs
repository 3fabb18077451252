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

/// The seeds of the schedules to run: the one that the variable `DIOGENES_SEED` replays, or as
/// many as `DIOGENES_SCHEDULES` says, `default` of them if it says nothing.
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    match number("DIOGENES_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DIOGENES_SCHEDULES").unwrap_or(default),
    }
}
