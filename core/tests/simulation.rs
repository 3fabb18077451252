//! The fleet under random schedules. `DIOGENES_SEED=N` replays one, `DIOGENES_SCHEDULES=N` runs
//! more or fewer than the default.

use std::time::Duration;

use diogenes_core::testing::simulation::{Settings, Simulation};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(settings: Settings) {
    let schedules = number("DIOGENES_SCHEDULES").unwrap_or(5_000);
    let seeds = match number("DIOGENES_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..schedules,
    };
    for seed in seeds {
        if let Err(violation) = Simulation::run(seed, settings) {
            panic!("{violation}; replay it with DIOGENES_SEED={seed}");
        }
    }
}

#[test]
fn invariants_hold_where_listings_lag() {
    run(Settings {
        steps: 300,
        settle: Duration::from_mins(5),
        max_replicas: 3,
    });
}

#[test]
fn invariants_hold_where_listings_are_exact() {
    run(Settings {
        steps: 300,
        settle: Duration::ZERO,
        max_replicas: 1,
    });
}
