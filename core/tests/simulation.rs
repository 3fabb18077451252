//! The fleet under random schedules. `DIOGENES_SEED=N` replays one, `DIOGENES_SCHEDULES=N` runs
//! more or fewer than the default.

use std::time::Duration;

use diogenes_core::testing::simulation::{Settings, Simulation, Violation, seeds};

/// A violation names its seed; it is replayed with `DIOGENES_SEED`.
fn run(settings: Settings) -> Result<(), Violation> {
    seeds(2_500).try_for_each(|seed| Simulation::run(seed, settings))
}

#[test]
fn invariants_hold_where_listings_lag() -> Result<(), Violation> {
    run(Settings {
        steps: 300,
        settle: Duration::from_mins(5),
        max_replicas: 3,
        launch_patience: Duration::from_secs(5),
    })
}

#[test]
fn invariants_hold_where_listings_are_exact() -> Result<(), Violation> {
    run(Settings {
        steps: 300,
        settle: Duration::ZERO,
        max_replicas: 1,
        launch_patience: Duration::ZERO,
    })
}
