//! The gateway, the fleet and its inference servers together under random schedules, in simulated
//! time: the real dispatcher, holds, stamps, reconciler and loop of `serve`, over a store in memory,
//! a fake cloud, and sockets on loopback. `DIOGENES_SEED=N` replays a schedule,
//! `DIOGENES_SCHEDULES=N` runs more or fewer than the default.
//!
//! The simulation of `diogenes-core` interleaves reconcilers between any two calls of a port; this
//! one has what is around them, and holds to what callers and operators are promised:
//!
//! - a request counts once, whatever it has gone through, and not at all when it is over;
//! - a request ends in time, and never silently in the middle of an answer;
//! - nothing is sent to a replica that drains, and none is ended with requests on it for being idle;
//! - what is down stays down until somebody asks again;
//! - no two models have a name in common;
//! - when nobody asks, nothing is left running.

mod callers;
mod clock;
mod journal;
mod machines;
mod world;

use diogenes_core::testing::simulation::seeds;
use world::{Kind, World};

/// Runs schedules; a violation names its seed.
fn run(kind: Kind) -> Result<(), String> {
    seeds(12).try_for_each(|seed| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        runtime
            .block_on(World::run(kind, seed))
            .map_err(|violation| format!("seed {seed}: {violation}"))
    })
}

#[test]
fn promises_hold_in_one_process() -> Result<(), String> {
    run(Kind::Serve)
}

#[test]
fn promises_hold_between_routers_and_an_orchestrator() -> Result<(), String> {
    run(Kind::Functions)
}
