//! The link at work, over a store that counts, is slow, and fails where told.

mod serving;
mod world;

use std::time::Duration;

use diogenes_core::audit::Actor;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{Model, Order, Phase, Progress, Registry, Source, UseStamp};
use diogenes_core::gateway::catalog::{CatalogEditor, Precondition, SecretRule};
use diogenes_core::gateway::prices::PriceList;
use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock as _, Expect};
use tokio::time::sleep;

use self::world::{World, model};
use super::super::later::SETTLE;
use super::super::stamps::InUse;
use super::super::{Admitted, FleetLink, Room};
use super::CATALOG_LIFE;
use crate::proxy::entry::Limit;

#[tokio::test(start_paused = true)]
async fn warm_requests_cost_at_most_one_read_a_second_and_one_of_the_catalog_in_five() {
    for replicas in [1, 3] {
        let world = World::new().await;
        for index in 0..replicas {
            world.ready(index, "http://127.0.0.1:1").await;
        }
        let name = model();
        world.link.refresh(name.as_str()).await.unwrap();
        world.store.reads();
        let seconds: usize = 20;
        for _ in 0..seconds * 10 {
            sleep(Duration::from_millis(100)).await;
            let asked = (0..50).map(|_| world.link.refresh(name.as_str()));
            for answer in futures_util::future::join_all(asked).await {
                answer.unwrap();
            }
        }
        let reads = world.store.reads();
        let most = seconds + seconds / 5;
        assert!(reads <= most, "{reads} reads in {seconds} s of {replicas} replicas");
        // And the view is kept fresh: it lives for two seconds.
        assert!(reads >= seconds / 2, "{reads} reads in {seconds} s of {replicas} replicas");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_shows_no_model_that_is_deleted_or_forgotten() {
    let listed = async |world: &World| {
        sleep(Duration::from_secs(3)).await;
        world.link.refresh_models().await.unwrap();
        world.dispatcher.views().len()
    };
    let world = World::new().await;
    assert_eq!(listed(&world).await, 1);
    let (store, clock, wake) = (&world.store, &world.clock, &world.wake);
    let registry = Registry::new(store.clone(), clock.clone(), wake.clone());
    registry.delete(&model(), Source::Api).await.unwrap();
    assert_eq!(listed(&world).await, 0);

    let world = World::new().await;
    assert_eq!(listed(&world).await, 1);
    world.store.remove(Model::key_of(&model()), Expect::Any).await.unwrap();
    assert_eq!(listed(&world).await, 1, "a listing that lags does not know a new model");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(listed(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn reads_that_take_long_are_shared_by_all_who_wait_for_them() {
    let world = World::new().await;
    world.ready(0, "http://127.0.0.1:1").await;
    world.store.slow(Duration::from_secs(1));
    world.store.reads();
    let name = model();
    let asked = (0..100).map(|_| world.link.refresh(name.as_str()));
    for answer in futures_util::future::join_all(asked).await {
        answer.unwrap();
    }
    assert_eq!(world.store.reads(), 2, "the view and the catalog");
}

#[tokio::test(start_paused = true)]
async fn a_route_is_known_within_five_seconds_and_serves_on_while_the_store_is_away() {
    let world = World::new().await;
    let (store, clock) = (world.store.clone(), world.clock.clone());
    let editor = CatalogEditor::new(store, clock, SecretRule::Parameters);
    let name: ModelName = "assistant".parse().unwrap();
    let knows = |world: &World| world.dispatcher.route_named(name.as_str()).is_some();
    world.link.refresh(name.as_str()).await.unwrap();
    assert!(!knows(&world));

    let spec = serde_json::json!({"targets": [model()]});
    let spec = serde_json::from_value(spec).unwrap();
    editor.apply_route(&Actor::operator(), &name, &spec, &Precondition::None).await.unwrap();
    sleep(CATALOG_LIFE).await;
    world.link.refresh(name.as_str()).await.unwrap();
    assert!(knows(&world));

    world.store.fail(true);
    sleep(CATALOG_LIFE).await;
    assert!(world.link.refresh(name.as_str()).await.is_err(), "its view is stale");
    assert!(knows(&world));
    world.store.fail(false);
    editor.delete_route(&Actor::operator(), &name, &Precondition::None).await.unwrap();
    world.link.refresh(name.as_str()).await.unwrap();
    assert!(!knows(&world), "what could not be read is read as soon as it can be");
}

#[tokio::test(start_paused = true)]
async fn imported_prices_are_read_once_for_each_import() {
    let world = World::new().await;
    let editor =
        CatalogEditor::new(world.store.clone(), world.clock.clone(), SecretRule::Parameters);
    let (actor, whatever) = (Actor::operator(), Precondition::None);
    let reads_of_a_look = async || {
        sleep(CATALOG_LIFE).await;
        world.store.reads();
        world.link.refresh(model().as_str()).await.unwrap();
        world.store.reads()
    };
    let sources = || {
        let prices = world.dispatcher.prices();
        prices.lists().map(|(_, list)| list.source().to_owned()).collect::<Vec<_>>()
    };
    let without = reads_of_a_look().await;
    for source in ["one", "two"] {
        let list = serde_json::json!({"source": source, "date": "2026-11-27", "providers": {}});
        let list = PriceList::parse(list.to_string().as_bytes()).unwrap();
        editor.import_prices(&actor, &list, &whatever).await.unwrap();
        assert_eq!(reads_of_a_look().await, without + 1, "the list is one part");
        assert_eq!(sources(), [source]);
        assert_eq!(reads_of_a_look().await, without);
    }
    editor.delete_prices(&actor, &whatever).await.unwrap();
    assert_eq!(reads_of_a_look().await, without);
    assert!(sources().is_empty());
}

#[tokio::test(start_paused = true)]
async fn use_is_stamped_once_in_fifteen_seconds_however_many_use_it() {
    let world = World::new().await;
    let claim = world.ready(0, "http://127.0.0.1:1").await;
    let began = world.store.writes();
    let users: Vec<_> =
        (0..100).map(|_| InUse::begin(&world.link.stamps, model(), claim.clone())).collect();
    sleep(UseStamp::EVERY * 4 + Duration::from_secs(1)).await;
    // At 0, 15, 30, 45 and 60 s.
    assert_eq!(world.store.writes() - began, 5);
    assert_eq!(world.stamp(Some(&claim)).await, Some(world.started + UseStamp::EVERY * 4));

    // Nobody uses it any more, nobody stamps it.
    drop(users);
    world.link.settle().await;
    sleep(UseStamp::EVERY * 4).await;
    assert_eq!(world.store.writes() - began, 5);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_does_not_undo_a_down() {
    let world = World::new().await;
    let name = model();
    let (store, clock, wake) = (&world.store, &world.clock, &world.wake);
    world.link.refresh(name.as_str()).await.unwrap();
    world.link.look(&world.entry(), world.started).await;
    assert_eq!(world.stamp(None).await, Some(world.started));
    sleep(UseStamp::EVERY * 2).await;
    world.link.look(&world.entry(), world.started).await;
    let stamped = world.stamp(None).await;
    assert_eq!(stamped, Some(world.started + UseStamp::EVERY * 2), "it still waits");

    let registry = Registry::new(store.clone(), clock.clone(), wake.clone());
    registry.order(&name, Order::Down).await.unwrap();
    sleep(UseStamp::EVERY * 2).await;
    world.link.look(&world.entry(), world.started).await;
    assert_eq!(world.stamp(None).await, stamped);
    // One that came later does.
    let arrived_at = clock.now();
    world.link.look(&world.entry(), arrived_at).await;
    assert_eq!(world.stamp(None).await, Some(arrived_at));
}

#[tokio::test(start_paused = true)]
async fn a_stamp_that_failed_is_written_with_the_next_request() {
    let world = World::new().await;
    let name = model();
    world.store.fail(true);
    world.link.stamps.stamp(&name, None).await;
    assert_eq!(world.stamp(None).await, None);
    world.store.fail(false);
    world.link.stamps.stamp(&name, None).await;
    assert_eq!(world.stamp(None).await, Some(world.started));
}

#[tokio::test(start_paused = true)]
async fn settling_finishes_what_was_deferred_and_gives_up_what_hangs() {
    let world = World::new().await;
    let claim = world.ready(0, "http://127.0.0.1:1").await;
    world.store.slow(Duration::from_secs(2));
    drop(InUse::begin(&world.link.stamps, model(), claim.clone()));
    // Its task runs, and has not come to the store yet.
    world.link.settle().await;
    assert!(world.stamp(Some(&claim)).await.is_some());
    assert_eq!(world.store.unfinished(), 0);

    world.link.later(Box::pin(std::future::pending()));
    let began = tokio::time::Instant::now();
    world.link.settle().await;
    assert_eq!(began.elapsed(), SETTLE);
}

#[tokio::test(start_paused = true)]
async fn a_wait_asks_for_a_reconcile_until_a_replica_is_on_its_way() {
    let world = World::new().await;
    let name = model();
    world.link.refresh(name.as_str()).await.unwrap();
    world.link.ask(&world.entry()).await;
    assert_eq!(world.asked(), 1);
    for _ in 0..10 {
        sleep(Duration::from_millis(900)).await;
        world.link.look(&world.entry(), world.started).await;
    }
    // Nothing came of the first: every three seconds.
    assert_eq!(world.asked(), 2);

    world.booting(0).await;
    for _ in 0..20 {
        sleep(Duration::from_millis(900)).await;
        world.link.look(&world.entry(), world.started).await;
    }
    assert_eq!(world.asked(), 0, "a replica is on its way, and the reminder is not due");
    for _ in 0..10 {
        sleep(Duration::from_millis(900)).await;
        world.link.look(&world.entry(), world.started).await;
    }
    assert_eq!(world.asked(), 1, "the reminder");
}

#[tokio::test]
async fn routers_look_the_less_often_the_longer_a_boot_takes_and_not_together() {
    let world = World::new().await;
    let (seconds, millis) = (Duration::from_secs, Duration::from_millis);
    for (elapsed, eta, about) in [
        // A tenth of what is left, from the shortest to the longest pause.
        (0, Some(0), 900),
        (0, Some(5), 900),
        (0, Some(20), 2000),
        (0, Some(300), 4000),
        // Where nobody knows: a second more with every minute.
        (0, None, 900),
        (60, None, 1900),
        (600, None, 4000),
    ] {
        let progress =
            Progress { phase: Phase::Boot, elapsed: seconds(elapsed), eta: eta.map(seconds) };
        let pauses: Vec<_> = (0..200).map(|_| world.link.pause(&progress)).collect();
        let (least, most) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
        let tenths = |count| millis(about) * count / 10;
        assert!((tenths(8)..tenths(9)).contains(&least), "{least:?} at {progress:?}");
        assert!((tenths(11)..tenths(12)).contains(&most), "{most:?} at {progress:?}");
    }
}

#[tokio::test]
async fn routers_share_the_places_of_a_key() {
    let world = World::new().await;
    world.link.refresh(model().as_str()).await.unwrap();
    let entry = world.dispatcher.get(model().as_str()).unwrap();
    let (greedy, other) = (KeyId::from_caller("greedy"), KeyId::from_caller("other"));
    let enter = async |key: &KeyId| {
        let room = Room { most: 3, of_key: Some((key, 2)) };
        world.link.enter(&entry, room).await.unwrap()
    };
    let places = [enter(&greedy).await, enter(&greedy).await];
    assert!(matches!(places, [Admitted::Place(_), Admitted::Place(_)]), "{places:?}");
    assert!(matches!(enter(&greedy).await, Admitted::Full(Limit::OfKey(2))));
    let third = enter(&other).await;
    assert!(matches!(third, Admitted::Place(_)), "{third:?}");
    assert!(matches!(enter(&other).await, Admitted::Full(Limit::OfAll(3))));
    world.link.settle().await;
    assert_eq!(world.held().await, 3, "who was refused is not counted");
    drop((places, third));
    world.link.settle().await;
    assert_eq!(world.held().await, 0);
    let again = [enter(&greedy).await, enter(&greedy).await];
    assert!(matches!(again, [Admitted::Place(_), Admitted::Place(_)]), "{again:?}");
}
