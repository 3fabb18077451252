use std::sync::atomic::Ordering;
use std::time::Duration;

use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{AgentRules, Lease, Order};
use diogenes_core::ports::Clock as _;
use pollster::block_on;

use crate::world::{World, failures, name};

#[test]
fn a_reconcile_of_all_lists_the_instances_once() {
    let world = World::new(5);
    block_on(world.reconciler.reconcile_all()).unwrap();
    assert_eq!(world.describes(), 1, "while nothing runs");
    for number in 0..5 {
        world.order(number, Order::Up);
    }
    let round = block_on(world.reconciler.reconcile_all()).unwrap();
    assert_eq!((world.describes(), round.models.len(), world.running()), (1, 5, 5), "launching");
    for number in 0..5 {
        world.order(number, Order::Down);
    }
    block_on(world.reconciler.reconcile_all()).unwrap();
    world.clock.advance(Duration::from_secs(1));
    block_on(world.reconciler.reconcile_all()).unwrap();
    assert_eq!((world.describes(), world.running()), (2, 0), "ending");
}

#[test]
fn a_model_that_cannot_be_reconciled_hides_no_other() {
    let world = World::new(3);
    world.ready(1);
    world.damage(0);
    let round = block_on(world.reconciler.reconcile_all()).unwrap();
    let told: Vec<_> =
        round.models.iter().map(|one| (one.model.to_string(), one.result.is_ok())).collect();
    let expected = [("m0", false), ("m1", true), ("m2", true)];
    assert_eq!(told, expected.map(|(name, is_ok)| (name.to_owned(), is_ok)));
    assert_eq!(round.models[1].oldest_launch, Some(world.slot(1).unwrap().launched_at()));
    assert_eq!(failures(round).len(), 1);
    let views = block_on(world.reconciler.views()).unwrap();
    let names: Vec<_> = views.iter().map(|view| view.model.name.to_string()).collect();
    assert_eq!(names, ["m1", "m2"], "by their records alone");
}

#[test]
fn a_model_whose_launch_hangs_keeps_no_other_waiting() {
    let world = World::new(6);
    *world.backend.hangs.lock().unwrap() = Some(name(0));
    for number in 0..6 {
        world.order(number, Order::Up);
    }
    let round = block_on(world.reconciler.reconcile_all()).unwrap();
    assert_eq!(failures(round), ["reconciling did not finish within 30s"]);
    assert_eq!(world.running(), 5);
    // It goes on where it stopped.
    *world.backend.hangs.lock().unwrap() = None;
    assert_eq!(failures(block_on(world.reconciler.reconcile_all()).unwrap()), [""; 0]);
    assert_eq!(world.running(), 6);
}

#[test]
fn leases_are_bumped_before_the_backend_is_asked() {
    let mut world = World::new(3);
    world.ready(0);
    world.ready(2);
    world.reconciler.agents = Some(AgentRules { max_lifetime: Duration::from_hours(24) });
    world.damage(1);
    world.backend.may_list.store(false, Ordering::SeqCst);
    block_on(world.reconciler.reconcile_all()).unwrap_err();
    for number in [0, 2] {
        let key = Lease::key_of(&world.slot(number).unwrap().claim);
        let lease = block_on(world.store.load::<Lease>(&key)).unwrap().unwrap();
        assert_eq!(lease.value.bumped_at, world.clock.now(), "m{number}");
    }
}
