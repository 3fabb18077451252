use std::sync::atomic::Ordering;
use std::time::Duration;

use diogenes_core::causes::chain;
use diogenes_core::fleet::{ModelSpec, Order, ReconcileError, SlotState, Source};
use diogenes_core::ports::ComputeError;
use pollster::block_on;

use crate::world::{World, failures, name};

#[test]
fn a_denied_end_is_told_by_name_and_loses_nothing() {
    let world = World::new(2);
    world.order(0, Order::Up);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let claim = world.slot(0).unwrap().claim;
    world.order(0, Order::Down);
    world.order(1, Order::Up);
    world.backend.may_end.store(false, Ordering::SeqCst);

    let launched_at = world.slot(0).unwrap().launched_at();
    let round = block_on(world.reconciler.reconcile_all()).unwrap();
    // Just then its age is of interest.
    assert_eq!(round.models[0].oldest_launch, Some(launched_at));
    assert_eq!(
        failures(round),
        ["the compute backend refused what the fleet needs: not allowed: allow `End`"]
    );
    let stuck = world.slot(0).unwrap();
    assert!(matches!(stuck.state, SlotState::Terminating { .. }), "{:?}", stuck.state);
    assert_eq!(stuck.claim, claim);
    // The other model had its turn all the same.
    assert!(matches!(world.slot(1).unwrap().state, SlotState::Booting { .. }));

    // Nor is it forgotten, however long nobody mends it.
    world.clock.advance(Duration::from_hours(1));
    let outcome = block_on(world.reconciler.reconcile(&name(0))).unwrap();
    assert!(outcome.refused.is_some() && outcome.oldest_launch.is_some(), "{outcome:?}");
    assert_eq!(world.slot(0).unwrap().state, stuck.state);

    world.backend.may_end.store(true, Ordering::SeqCst);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    world.clock.advance(Duration::from_secs(1));
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    assert_eq!((world.slot(0), world.running()), (None, 1));
}

#[test]
fn a_denied_end_keeps_nobody_from_being_launched() {
    let world = World::new(1);
    let mut spec = ModelSpec::new(["vllm"]);
    spec.max_replicas = 2;
    block_on(world.registry.apply(&name(0), spec.clone(), Source::Api)).unwrap();
    world.order(0, Order::Pin);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    // A changed engine replaces the replica.
    spec.command.push("--new".into());
    block_on(world.registry.apply(&name(0), spec, Source::Api)).unwrap();
    world.backend.may_end.store(false, Ordering::SeqCst);
    let mut refused = None;
    for _ in 0..3 {
        // The draining of the old one is published before its end is asked for.
        refused = block_on(world.reconciler.reconcile(&name(0))).unwrap().refused;
        world.clock.advance(Duration::from_secs(1));
    }
    assert!(matches!(refused, Some(ReconcileError::Compute(ComputeError::Denied { .. }))));
    assert_eq!(world.running(), 2);
}

#[test]
fn a_denied_listing_changes_nothing() {
    let world = World::new(1);
    world.order(0, Order::Up);
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let before = world.slot(0);
    world.backend.may_list.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_hours(1));
    for error in [
        block_on(world.reconciler.reconcile(&name(0))).unwrap_err(),
        block_on(world.reconciler.reconcile_all()).unwrap_err(),
    ] {
        assert_eq!(
            chain(&error),
            "the compute backend refused what the fleet needs: not allowed: allow `List`"
        );
    }
    assert_eq!((world.slot(0), world.running()), (before, 1));
}
