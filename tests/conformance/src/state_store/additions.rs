//! Bounded additions within a commit.

use diogenes_core::Timestamp;
use diogenes_core::ports::{Bound, BoundReached, Expect, Key, StoreError, Write};
use serde_json::json;

use super::Fixture;
use super::support::{check, delete, key, put, race};

const TASKS: usize = 16;

fn add(key: &Key, delta: i64, bound: Bound) -> Write {
    add_until(key, delta, bound, None)
}

fn add_until(key: &Key, delta: i64, bound: Bound, expires_at: Option<Timestamp>) -> Write {
    Write::Add { key: key.clone(), delta, bound, expires_at }
}

impl Fixture {
    async fn count(&self, key: &Key) -> i64 {
        self.shared().count(key).await.unwrap()
    }

    async fn bound_reached(&self, writes: &[Write]) -> BoundReached {
        match self.shared().commit(writes).await {
            Err(StoreError::Bound(reached)) => *reached,
            other => panic!("expected a reached bound, got {other:?}"),
        }
    }
}

/// Additions happen together with puts, deletes and checks, and return no version.
pub async fn additions_happen_with_the_other_writes(fixture: &Fixture) {
    let [a, b] = ["a", "b"].map(|sort| key("c", sort));
    let [new, old, guard] = ["new", "old", "guard"].map(|sort| key("p", sort));
    fixture.put(&old, 1).await;
    let expect = Expect::Version(fixture.put(&guard, 1).await);
    let versions = fixture
        .commit(&[
            add(&a, 3, Bound::AtMost(3)),
            put(&new, 1, Expect::Absent),
            add(&b, -2, Bound::AtLeast(-2)),
            delete(&old, Expect::Any),
            check(&guard, expect),
        ])
        .await;
    let has_version: Vec<_> = versions.iter().map(Option::is_some).collect();
    assert_eq!(has_version, [false, true, false, false, false]);
    assert_eq!((fixture.count(&a).await, fixture.count(&b).await), (3, -2));
    assert_eq!(fixture.document(&new).await, Some(json!(1)));
    assert_eq!(fixture.get(&old).await, None);
}

/// A commit of one addition is one.
pub async fn lone_addition_is_a_commit(fixture: &Fixture) {
    let at = key("c", "a");
    assert_eq!(fixture.commit(&[add(&at, 3, Bound::None)]).await, [None]);
    let reached = fixture.bound_reached(&[add(&at, 1, Bound::AtMost(3))]).await;
    assert_eq!(reached, BoundReached { write: 0, key: at.clone(), standing: 3 });
    assert_eq!(fixture.count(&at).await, 3);
}

/// Beyond a bound nothing happens, and the error names the addition and what stands.
pub async fn reached_bound_stops_every_write(fixture: &Fixture) {
    let [a, b] = ["a", "b"].map(|sort| key("c", sort));
    let item = key("p", "a");
    fixture.add(&a, 8).await;
    fixture.add(&b, 1).await;
    for (writes, reached) in [
        (
            vec![
                put(&item, 1, Expect::Any),
                add(&b, 1, Bound::AtMost(10)),
                add(&a, 3, Bound::AtMost(10)),
            ],
            BoundReached { write: 2, key: a.clone(), standing: 8 },
        ),
        (
            vec![add(&b, -2, Bound::AtLeast(0)), add(&a, 1, Bound::None)],
            BoundReached { write: 0, key: b.clone(), standing: 1 },
        ),
    ] {
        assert_eq!(fixture.bound_reached(&writes).await, reached);
        assert_eq!((fixture.count(&a).await, fixture.count(&b).await), (8, 1));
        assert_eq!(fixture.get(&item).await, None);
    }
}

/// A failed expectation adds nothing.
pub async fn conflict_adds_nothing(fixture: &Fixture) {
    let (counter, item) = (key("c", "a"), key("p", "a"));
    fixture.put(&item, 1).await;
    let conflict =
        fixture.conflict(&[add(&counter, 1, Bound::None), put(&item, 2, Expect::Absent)]).await;
    assert_eq!((conflict.write, conflict.key), (1, item));
    assert_eq!(fixture.count(&counter).await, 0);
}

/// Of several writes that may not happen, the first one is told.
pub async fn first_failure_is_told(fixture: &Fixture) {
    let (counter, item) = (key("c", "a"), key("p", "a"));
    fixture.put(&item, 1).await;
    let (addition, put) = (add(&counter, 2, Bound::AtMost(1)), put(&item, 2, Expect::Absent));
    let reached = fixture.bound_reached(&[addition.clone(), put.clone()]).await;
    assert_eq!(reached, BoundReached { write: 0, key: counter, standing: 0 });
    assert_eq!(fixture.conflict(&[put, addition]).await.write, 0);
}

/// The sum never leaves the range of its type.
pub async fn overflow_is_a_reached_bound(fixture: &Fixture) {
    let item = key("p", "a");
    for (sort, extreme, step) in [("up", i64::MAX, 1), ("down", i64::MIN, -1)] {
        let at = key("c", sort);
        fixture.add(&at, extreme).await;
        for delta in [step, extreme] {
            let writes = [put(&item, 1, Expect::Any), add(&at, delta, Bound::None)];
            let reached = fixture.bound_reached(&writes).await;
            assert_eq!(reached, BoundReached { write: 1, key: at.clone(), standing: extreme });
        }
        assert_eq!(fixture.count(&at).await, extreme);
        assert_eq!(fixture.get(&item).await, None);
    }
}

/// An expired counter counts as absent, with the expiry of the addition that restarts it.
pub async fn expired_counter_counts_as_absent(fixture: &Fixture) {
    let [a, b] = ["a", "b"].map(|sort| key("c", sort));
    for round in 0..3 {
        let end = Some(fixture.in_seconds(60));
        let item = key("p", &round.to_string());
        let writes = [
            add_until(&a, 5, Bound::AtMost(5), end),
            put(&item, 1, Expect::Absent),
            add_until(&b, 2, Bound::AtMost(2), end),
        ];
        fixture.commit(&writes).await;
        assert_eq!((fixture.count(&a).await, fixture.count(&b).await), (5, 2));
        fixture.pass(59);
        let reached = fixture.bound_reached(&[writes[2].clone(), writes[0].clone()]).await;
        assert_eq!(reached, BoundReached { write: 0, key: b.clone(), standing: 2 });
        fixture.pass(1);
        assert_eq!((fixture.count(&a).await, fixture.count(&b).await), (0, 0));
    }
    // What is beyond the bound from zero on is refused, and the counter stays expired.
    let writes = [put(&key("p", "x"), 1, Expect::Any), add(&a, 6, Bound::AtMost(5))];
    let reached = fixture.bound_reached(&writes).await;
    assert_eq!(reached, BoundReached { write: 1, key: a.clone(), standing: 0 });
    assert_eq!(fixture.count(&a).await, 0);
    // A conflict behind an expired counter is one.
    fixture.put(&key("p", "x"), 1).await;
    let writes = [add(&a, 1, Bound::None), put(&key("p", "x"), 2, Expect::Absent)];
    assert_eq!(fixture.conflict(&writes).await.write, 1);
}

/// An item and a counter at one key are two things, also within a commit.
pub async fn item_and_counter_share_a_key(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.commit(&[put(&at, "item", Expect::Absent), add(&at, 7, Bound::None)]).await;
    assert_eq!(fixture.document(&at).await, Some(json!("item")));
    assert_eq!(fixture.count(&at).await, 7);
    fixture.commit(&[delete(&at, Expect::Any), add(&at, 1, Bound::None)]).await;
    assert_eq!(fixture.get(&at).await, None);
    assert_eq!(fixture.count(&at).await, 8);
    fixture.invalid(&[add(&at, 1, Bound::None), add(&at, 1, Bound::None)]).await;
    fixture.invalid(&[add(&key("", "a"), 1, Bound::None)]).await;
    let count = fixture.shared().count(&key("p", "")).await;
    assert!(matches!(count, Err(StoreError::Invalid { .. })), "{count:?}");
    assert_eq!(fixture.count(&at).await, 8);
}

/// Many commits that add to two counters: as many as fit in both, and none by half.
pub async fn bounds_hold_under_concurrency(fixture: &Fixture) {
    let [narrow, wide] = ["narrow", "wide"].map(|sort| key("c", sort));
    let done = race(TASKS, |task| {
        let store = fixture.shared();
        let writes = [
            put(&key("p", &task.to_string()), 1, Expect::Absent),
            add(&narrow, 3, Bound::AtMost(20)),
            add(&wide, 1, Bound::None),
        ];
        async move {
            match store.commit(&writes).await {
                Ok(_) => 1,
                Err(StoreError::Bound(reached)) => {
                    assert_eq!((reached.write, reached.standing), (1, 18));
                    0
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    assert_eq!(done.await.into_iter().sum::<i64>(), 6);
    assert_eq!((fixture.count(&narrow).await, fixture.count(&wide).await), (18, 6));
}
