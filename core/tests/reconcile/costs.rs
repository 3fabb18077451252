//! What is kept of the time of instances.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the fixture is not inside a test function")]

use std::time::Duration;

use diogenes_core::days::{day_of, expiry_of};
use diogenes_core::entity::{Entity as _, StoreExt as _};
use diogenes_core::fleet::{
    InstanceDay, InstanceTime, Load, ModelSpec, Order, Placement, SlotState, Source,
};
use diogenes_core::ports::Clock as _;
use pollster::block_on;
use proptest::prelude::*;

use crate::world::{World, name};

fn world() -> World {
    let world = World::new(1);
    let mut spec = ModelSpec::new(["vllm"]);
    spec.ladder = vec![Placement::new("g6.xlarge").at("0.8048".parse().ok())];
    block_on(world.registry.apply(&name(0), spec, Source::Api)).unwrap();
    world
}

impl World {
    fn round(&self) {
        let round = block_on(self.reconciler.reconcile_all()).unwrap();
        assert!(round.models.iter().all(|one| one.result.is_ok()), "{round:?}");
    }

    fn days(&self) -> Vec<InstanceDay> {
        let all = block_on(self.store.load_all::<InstanceDay>(InstanceDay::of_days(""))).unwrap();
        all.into_iter().map(|stored| stored.value).collect()
    }

    fn time(&self) -> InstanceTime {
        let mut sum = InstanceTime::default();
        self.days().iter().for_each(|day| sum.add(&day.time));
        sum
    }

    /// Rounds until the slot is free.
    fn end(&self) {
        self.order(0, Order::Down);
        for _ in 0..8 {
            self.round();
            if self.slot(0).is_none() {
                return;
            }
            self.clock.advance(Duration::from_secs(1));
        }
        panic!("{:?}", self.slot(0));
    }
}

const SECOND: u64 = 1000;

#[test]
fn an_instance_boots_works_and_idles() {
    let world = world();
    world.order(0, Order::Up);
    world.round();
    let launched_at = world.clock.now();
    world.clock.advance(Duration::from_secs(90));
    world.round();
    assert_eq!(world.time(), InstanceTime { boot_ms: 90 * SECOND, use_ms: 0, idle_ms: 0 });
    world.clock.advance(Duration::from_secs(10));
    world.beat_ready(0);
    world.round();
    let ready_at = world.clock.now();
    world.clock.advance(Duration::from_mins(2));
    world.round();
    let idle = InstanceTime { boot_ms: 100 * SECOND, use_ms: 0, idle_ms: 120 * SECOND };
    assert_eq!(world.time(), idle, "ready since {ready_at}");
    world.clock.advance(Duration::from_mins(1));
    world.beat_with(0, Load { running: 1, ..Load::default() });
    world.round();
    let day = world.days().remove(0);
    assert_eq!((day.label.as_str(), day.day), ("g6.xlarge", day_of(launched_at)));
    assert_eq!(day.price_per_hour, "0.8048".parse().ok());
    assert_eq!(day.expires_at(), Some(expiry_of(day.day)));
    assert_eq!(day.time.total_ms(), 280 * SECOND);
}

#[test]
fn what_is_never_launched_costs_nothing() {
    let world = world();
    world.backend.cloud.exhaust(&["g6.xlarge"]);
    world.order(0, Order::Up);
    world.round();
    world.clock.advance(Duration::from_mins(5));
    world.round();
    assert_eq!(world.days(), []);
}

#[test]
fn a_day_ends_at_midnight_however_long_nobody_has_looked() {
    let world = world();
    world.ready(0);
    let began = world.slot(0).unwrap().launched_at();
    world.round();
    world.clock.advance(Duration::from_hours(60));
    world.round();
    let days = world.days();
    assert_eq!(days.len(), 3, "{days:?}");
    let of_middle = days[1].time.total_ms();
    assert_eq!(of_middle, 24 * 3600 * SECOND);
    let until = world.clock.now();
    let all = world.time().total_ms();
    assert_eq!(u128::from(all), until.duration_since(began).as_millis().unsigned_abs());
}

#[test]
fn a_write_that_fails_ends_nothing_and_is_made_up_for() {
    let world = world();
    world.ready(0);
    let began = world.slot(0).unwrap().launched_at();
    world.clock.advance(Duration::from_secs(1));
    world.round();
    world.clock.advance(Duration::from_mins(5));
    // Somebody else writes the same record at the same time.
    let mut day =
        block_on(world.store.load::<InstanceDay>(&world.days()[0].key())).unwrap().unwrap();
    let unchanged = day.unchanged();
    day.value.until = world.clock.now();
    day.value.time.idle_ms = 301 * SECOND;
    block_on(world.store.save(day.value.clone(), unchanged)).unwrap();
    world.round();
    assert_eq!(world.time().total_ms(), 301 * SECOND, "counted once");
    assert!(matches!(world.slot(0).unwrap().state, SlotState::Ready { .. }));
    world.end();
    let ended = world.days()[0].until;
    let all = u128::from(world.time().total_ms());
    assert_eq!(all, ended.duration_since(began).as_millis().unsigned_abs());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_second_of_an_instance_is_counted_once(
        steps in prop::collection::vec((1u64..40_000, any::<bool>(), any::<bool>()), 1..12),
        boot in 1u64..600,
    ) {
        let world = world();
        world.order(0, Order::Up);
        world.round();
        let launched_at = world.slot(0).unwrap().launched_at();
        world.clock.advance(Duration::from_secs(boot));
        world.beat_ready(0);
        world.round();
        for (pause, is_busy, is_single) in steps {
            world.clock.advance(Duration::from_secs(pause));
            if world.slot(0).is_none() {
                break;
            }
            world.beat_with(0, Load { running: u32::from(is_busy), ..Load::default() });
            if is_single {
                block_on(world.reconciler.reconcile(&name(0))).unwrap();
            } else {
                world.round();
            }
        }
        if world.slot(0).is_some() {
            world.end();
        }
        let days = world.days();
        let until = days.iter().map(|day| day.until).max().unwrap();
        let time = world.time();
        prop_assert_eq!(time.boot_ms, boot * SECOND);
        let life = until.duration_since(launched_at).as_millis().unsigned_abs();
        prop_assert_eq!(u128::from(time.total_ms()), life);
        for day in &days {
            prop_assert!(day.time.total_ms() <= 24 * 3600 * SECOND, "{:?}", day);
        }
    }
}
