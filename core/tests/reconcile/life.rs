use std::time::Duration;

use diogenes_core::fleet::{EndReason, FailureKind, FleetEvent, Order, Retire, SlotState};
use diogenes_core::ports::Clock as _;
use pollster::block_on;

use crate::world::{World, name};

#[test]
fn a_reconcile_tells_what_happened() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    assert_eq!(reconcile().events, []);

    world.order(0, Order::Up);
    let launched_at = world.clock.now();
    reconcile();
    world.clock.advance(Duration::from_secs(42));
    world.beat_ready(0);
    let outcome = reconcile();
    let cold_start = Duration::from_secs(42);
    assert_eq!(outcome.events, [FleetEvent::Ready { cold_start }]);
    assert_eq!(outcome.oldest_launch, Some(launched_at));

    world.order(0, Order::Down);
    let mut events = Vec::new();
    for _ in 0..3 {
        events.extend(reconcile().events);
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(events, [FleetEvent::Freed]);
    assert_eq!(reconcile().oldest_launch, None);

    world.backend.cloud.exhaust(&["local"]);
    world.order(0, Order::Up);
    let kind = FailureKind::Capacity;
    assert_eq!(reconcile().events[..1], [FleetEvent::LaunchFailed { kind }]);
}

#[test]
fn a_replica_is_never_drained_and_ended_in_one_reconcile() {
    let world = World::new(1);
    world.ready(0);
    world.order(0, Order::Down);
    let outcome = block_on(world.reconciler.reconcile(&name(0))).unwrap();
    assert!(matches!(world.slot(0).unwrap().state, SlotState::Draining { .. }));
    assert_eq!(outcome.next_check, Some(world.clock.now()), "and now it may be");
    assert_eq!((outcome.view.unwrap().replicas, world.running()), (vec![], 1));
    block_on(world.reconciler.reconcile(&name(0))).unwrap();
    assert_eq!(world.running(), 0);
}

#[test]
fn the_end_of_the_program_is_not_a_failure_of_its_models() {
    let world = World::new(2);
    world.ready(0);
    world.order(1, Order::Up);
    block_on(world.reconciler.reconcile(&name(1))).unwrap();
    block_on(world.reconciler.retire(Retire::Starting)).unwrap();
    assert!(matches!(world.slot(0).unwrap().state, SlotState::Ready { .. }));
    block_on(world.reconciler.retire(Retire::All)).unwrap();
    for number in 0..2 {
        let state = world.slot(number).unwrap().state;
        let SlotState::Terminating { reason, .. } = &state else { panic!("{state:?}") };
        assert_eq!(*reason, EndReason::Shutdown);
    }
    assert_eq!(world.running(), 0);
    world.clock.advance(Duration::from_mins(20));
    let round = block_on(world.reconciler.reconcile_all()).unwrap();
    for one in &round.models {
        let outcome = one.result.as_ref().unwrap();
        assert_eq!(outcome.events, [FleetEvent::Freed]);
        assert_eq!(outcome.view.as_ref().unwrap().control.failure, None);
    }
    assert_eq!((world.slot(0), world.slot(1)), (None, None));
}
