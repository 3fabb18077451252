use std::time::Duration;

use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{Load, ModelSpec, Order, Slot, SlotState, UseStamp};
use diogenes_core::ports::{Clock as _, Expect, Key, StateStore as _, Write};
use pollster::block_on;

use crate::world::{World, name};

#[test]
fn the_load_that_an_agent_tells_counts_as_long_as_routers_send_requests() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    world.order(0, Order::Up);
    reconcile();
    world.beat_with(0, Load { running: 1, waiting: 0 });
    reconcile();
    let claim = world.slot(0).unwrap().claim;
    let stamp = |at| {
        let stamp = UseStamp { model: name(0), claim: Some(claim.clone()), at };
        block_on(world.store.save(stamp, Expect::Any)).unwrap();
    };
    let is_ready = || matches!(world.slot(0).unwrap().state, SlotState::Ready { .. });
    let spec = ModelSpec::new(["vllm"]);
    // Long after `up`, and a request is under way.
    world.clock.advance(spec.idle_timeout * 2);
    stamp(world.clock.now());
    world.clock.advance(Duration::from_mins(4));
    reconcile();
    assert!(is_ready());
    // No router has sent anything for long, whatever the agent says.
    world.clock.advance(spec.idle_timeout);
    reconcile();
    assert!(!is_ready(), "{:?}", world.slot(0));
}

#[test]
fn a_stream_that_goes_on_does_not_undo_a_down() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let stamp = |claim| {
        let stamp = UseStamp { model: name(0), claim, at: world.clock.now() };
        block_on(world.store.save(stamp, Expect::Any)).unwrap();
    };
    // Somebody asks, and his stream begins.
    stamp(None);
    reconcile();
    world.beat_ready(0);
    reconcile();
    let claim = world.slot(0).unwrap().claim;
    stamp(Some(claim.clone()));
    world.clock.advance(Duration::from_secs(1));

    world.order(0, Order::Down);
    for _ in 0..20 {
        // The router stamps all along the stream.
        stamp(Some(claim.clone()));
        reconcile();
        world.clock.advance(UseStamp::EVERY);
        let live = world.slot(0).filter(Slot::is_live);
        assert!(live.is_none(), "what is down stays down: {live:?}");
    }
    assert_eq!(world.slot(0), None, "the stream ended with the drain");

    // Somebody else asks.
    stamp(None);
    reconcile();
    assert!(world.slot(0).is_some_and(|slot| slot.is_live()));
}

#[test]
fn stamps_beside_the_model_count_too() {
    let world = World::new(1);
    let reconcile = || block_on(world.reconciler.reconcile(&name(0))).unwrap();
    let stamp = |who: &str, claim: Option<&str>| {
        let mut document = serde_json::json!({ "model": "m0", "at": world.clock.now() });
        if let Some(claim) = claim {
            document["claim"] = claim.into();
        }
        let write = Write::Put {
            key: Key::new("MODEL#m0", format!("STAMP#{who}")),
            document,
            index: None,
            expires_at: None,
            expect: Expect::Any,
        };
        block_on(world.store.commit(&[write])).unwrap();
    };
    stamp("-", None);
    reconcile();
    let claim = world.slot(0).unwrap().claim;
    world.beat_ready(0);
    reconcile();
    let is_ready = || matches!(world.slot(0).unwrap().state, SlotState::Ready { .. });
    for _ in 0..5 {
        world.clock.advance(ModelSpec::new(["vllm"]).idle_timeout / 2);
        stamp(claim.as_str(), Some(claim.as_str()));
        reconcile();
        assert!(is_ready());
    }
}
