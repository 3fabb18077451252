//! Counters.

use diogenes_core::Timestamp;
use diogenes_core::ports::{Bound, Expect, Key, MAX_KEY_BYTES, StoreError};
use serde_json::json;

use super::Fixture;
use super::support::{delete, index_listing, key, listing, put};

impl Fixture {
    async fn add_within(&self, key: &Key, delta: i64, bound: Bound) -> Option<i64> {
        self.add_until(key, delta, bound, None).await
    }

    /// The new value, or none where the bound refused it.
    async fn add_until(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Option<i64> {
        match self.store.add(key, delta, bound, expires_at).await {
            Ok(value) => Some(value),
            Err(StoreError::Bound(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The first addition returns its own delta.
pub async fn counter_starts_at_zero(fixture: &Fixture) {
    assert_eq!(fixture.add(&key("c", "zero"), 0).await, 0);
    let at = key("c", "a");
    assert_eq!(fixture.add(&at, 5).await, 5);
    assert_eq!(fixture.add(&at, 1).await, 6);
    assert_eq!(fixture.add(&at, 0).await, 6);
}

/// Counters are signed.
pub async fn counter_may_go_below_zero(fixture: &Fixture) {
    let at = key("c", "a");
    assert_eq!(fixture.add(&at, -3).await, -3);
    assert_eq!(fixture.add(&at, 5).await, 2);
    assert_eq!(fixture.add(&at, -10).await, -8);
}

/// The value may reach the upper bound; beyond it nothing changes.
pub async fn upper_bound_is_inclusive(fixture: &Fixture) {
    let (at, bound) = (key("c", "a"), Bound::AtMost(10));
    assert_eq!(fixture.add_within(&at, 8, bound).await, Some(8));
    assert_eq!(fixture.add_within(&at, 3, bound).await, None);
    assert_eq!(fixture.add_within(&at, 2, bound).await, Some(10));
    assert_eq!(fixture.add_within(&at, 1, bound).await, None);
    assert_eq!(fixture.add(&at, 0).await, 10);
}

/// The value may reach the lower bound; beyond it nothing changes.
pub async fn lower_bound_is_inclusive(fixture: &Fixture) {
    let (at, bound) = (key("c", "a"), Bound::AtLeast(0));
    assert_eq!(fixture.add(&at, 2).await, 2);
    assert_eq!(fixture.add_within(&at, -3, bound).await, None);
    assert_eq!(fixture.add_within(&at, -2, bound).await, Some(0));
    assert_eq!(fixture.add_within(&at, -1, bound).await, None);
    assert_eq!(fixture.add(&at, 0).await, 0);
}

/// A step towards the bound from beyond it is refused while it does not arrive.
pub async fn bound_is_on_the_new_value(fixture: &Fixture) {
    let at = key("c", "a");
    assert_eq!(fixture.add(&at, 20).await, 20);
    assert_eq!(fixture.add_within(&at, -1, Bound::AtMost(10)).await, None);
    assert_eq!(fixture.add_within(&at, -10, Bound::AtMost(10)).await, Some(10));
    assert_eq!(fixture.add_within(&at, 1, Bound::AtLeast(12)).await, None);
    assert_eq!(fixture.add_within(&at, -15, Bound::AtLeast(-5)).await, Some(-5));
}

/// The first addition is bounded too, and a refused one leaves no counter and no expiry.
pub async fn bound_of_a_new_counter_holds(fixture: &Fixture) {
    let at = key("c", "a");
    let end = Some(fixture.in_seconds(10));
    let refused = fixture.add_until(&at, 6, Bound::AtMost(5), end).await;
    assert_eq!(refused, None);
    let refused = fixture.add_until(&at, 0, Bound::AtLeast(1), end).await;
    assert_eq!(refused, None);
    assert_eq!(fixture.add(&at, 5).await, 5);
    fixture.pass(11);
    assert_eq!(fixture.add(&at, 1).await, 6);
}

/// The value never wraps round.
pub async fn counter_stays_within_its_type(fixture: &Fixture) {
    for (sort, extreme, step) in [("up", i64::MAX, 1), ("down", i64::MIN, -1)] {
        let at = key("c", sort);
        assert_eq!(fixture.add(&at, extreme).await, extreme);
        assert_eq!(fixture.add_within(&at, step, Bound::None).await, None);
        assert_eq!(fixture.add_within(&at, extreme, Bound::None).await, None);
        assert_eq!(fixture.add(&at, 0).await, extreme);
        assert_eq!(fixture.add(&at, -step).await, extreme - step);
    }
}

/// From its expiry on a counter counts from zero again, with the expiry of that call.
pub async fn counter_restarts_when_it_expires(fixture: &Fixture) {
    let at = key("c", "a");
    for _ in 0..3 {
        let end = Some(fixture.in_seconds(60));
        assert_eq!(fixture.add_until(&at, 2, Bound::None, end).await, Some(2));
        fixture.pass(59);
        assert_eq!(fixture.add(&at, 2).await, 4);
        fixture.pass(1);
    }
    let bound = Bound::AtMost(3);
    assert_eq!(fixture.add_within(&at, 3, bound).await, Some(3));
    fixture.pass(1_000_000);
    assert_eq!(fixture.add(&at, 1).await, 4);
}

/// Only an absent counter takes an expiry.
pub async fn standing_counter_keeps_its_expiry(fixture: &Fixture) {
    let at = key("c", "a");
    let (soon, late) = (Some(fixture.in_seconds(10)), Some(fixture.in_seconds(99)));
    assert_eq!(fixture.add_until(&at, 1, Bound::None, soon).await, Some(1));
    assert_eq!(fixture.add_until(&at, 1, Bound::None, late).await, Some(2));
    fixture.pass(10);
    assert_eq!(fixture.add(&at, 1).await, 1);

    let lasting = key("c", "b");
    assert_eq!(fixture.add(&lasting, 1).await, 1);
    let again = fixture.add_until(&lasting, 1, Bound::None, late).await;
    assert_eq!(again, Some(2));
    fixture.pass(1000);
    assert_eq!(fixture.add(&lasting, 1).await, 3);
}

/// `get`, `list` and `commit` neither see nor touch a counter, nor it an item.
pub async fn counters_are_apart_from_items(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.add(&at, 7).await;
    assert_eq!(fixture.get(&at).await, None);
    assert_eq!(fixture.sorts(&listing("p", "")).await, [""; 0]);
    fixture.index_shows(&index_listing("p", ""), &[]).await;
    fixture.write(put(&at, "item", Expect::Absent)).await;
    assert_eq!(fixture.add(&at, 1).await, 8);
    assert_eq!(fixture.document(&at).await, Some(json!("item")));
    assert_eq!(fixture.sorts(&listing("p", "")).await, ["a"]);
    fixture.commit(&[delete(&at, Expect::Any)]).await;
    assert_eq!(fixture.add(&at, 1).await, 9);
    assert_eq!(fixture.get(&at).await, None);
}

/// Each key has a counter of its own.
pub async fn counters_with_like_keys_are_apart(fixture: &Fixture) {
    let keys = [
        key("c", "a"),
        key("c", "A"),
        key("c", "a#"),
        key("ca", "a"),
        key("c#a", "b"),
        key("c", "a#b"),
        key("c", "%"),
        key("c", "é"),
        key("c", "e\u{301}"),
    ];
    for (at, delta) in keys.iter().zip(1..) {
        assert_eq!(fixture.add(at, delta).await, delta, "{at}");
    }
}

/// A counter's key follows the rules of keys.
pub async fn counter_keys_are_checked(fixture: &Fixture) {
    let longer = "x".repeat(MAX_KEY_BYTES + 1);
    for wrong in [key("", "a"), key("c", ""), key(&longer, "a"), key("c", &longer)] {
        let sum = fixture.store.add(&wrong, 1, Bound::None, None).await;
        assert!(matches!(sum, Err(StoreError::Invalid { .. })), "{sum:?}");
    }
}
