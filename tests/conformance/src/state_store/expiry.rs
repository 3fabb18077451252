//! Expired items count as absent, whatever has or has not been swept.

use std::time::Duration;

use diogenes_core::ports::{Clock as _, Expect, IndexKey, Write};
use serde_json::json;

use super::Fixture;
use super::support::{check, delete, index_listing, key, listing, put, put_until};

/// An item lives until just before its expiry, to the nanosecond.
pub async fn item_is_absent_from_its_expiry_on(fixture: &Fixture) {
    let at = key("p", "a");
    let end = fixture.in_seconds(60) + Duration::from_nanos(7);
    fixture.write(put_until(&at, 1, end, Expect::Any)).await;
    fixture.clock.set(end - Duration::from_nanos(1));
    assert_eq!(fixture.get(&at).await.unwrap().expires_at, Some(end));
    fixture.clock.set(end);
    assert_eq!(fixture.get(&at).await, None);
    fixture.pass(1_000_000);
    assert_eq!(fixture.get(&at).await, None);
}

/// An expiry that has passed makes no error, only an absent item.
pub async fn item_that_is_put_expired_is_absent(fixture: &Fixture) {
    let at = key("p", "a");
    for end in [
        fixture.clock.now(),
        fixture.clock.now() - Duration::from_mins(1),
        diogenes_core::Timestamp::MIN,
    ] {
        fixture.write(put_until(&at, 1, end, Expect::Absent)).await;
        assert_eq!(fixture.get(&at).await, None);
        assert_eq!(fixture.sorts(&listing("p", "")).await, [""; 0]);
    }
}

/// [`Expect::Absent`] holds for an expired item, and the new one stands in its place.
pub async fn absent_holds_for_an_expired_item(fixture: &Fixture) {
    let at = key("p", "a");
    let end = fixture.in_seconds(60);
    fixture.write(put_until(&at, 1, end, Expect::Any)).await;
    fixture.conflict(&[put(&at, 2, Expect::Absent)]).await;
    fixture.pass(60);
    fixture.write(put(&at, 3, Expect::Absent)).await;
    assert_eq!(fixture.document(&at).await, Some(json!(3)));
    fixture.conflict(&[put(&at, 4, Expect::Absent)]).await;
}

/// An expired item's version stands no more, and the conflict shows nothing.
pub async fn version_of_an_expired_item_conflicts(fixture: &Fixture) {
    let at = key("p", "a");
    let end = fixture.in_seconds(60);
    let version = fixture.write(put_until(&at, 1, end, Expect::Any)).await;
    fixture.pass(60);
    let expect = Expect::Version(version);
    for write in [put(&at, 2, expect.clone()), delete(&at, expect.clone()), check(&at, expect)] {
        let conflict = fixture.conflict(&[write]).await;
        assert_eq!(conflict.standing, None);
        assert_eq!(conflict.key, at);
    }
    assert_eq!(fixture.get(&at).await, None);
}

/// Deletes and checks see an expired item as absent.
pub async fn expired_item_can_be_deleted_and_checked(fixture: &Fixture) {
    let at = key("p", "a");
    for expect in [Expect::Any, Expect::Absent] {
        let end = fixture.in_seconds(60);
        fixture.write(put_until(&at, 1, end, Expect::Any)).await;
        fixture.pass(60);
        fixture.commit(&[check(&at, expect.clone())]).await;
        fixture.commit(&[delete(&at, expect)]).await;
        assert_eq!(fixture.get(&at).await, None);
    }
}

/// A listing skips expired items and shows those that live.
pub async fn expired_items_are_not_listed(fixture: &Fixture) {
    let ends = [("a", 10), ("b", 30), ("c", 20)].map(|(sort, after)| {
        let end = fixture.in_seconds(after);
        put_until(&key("p", sort), sort, end, Expect::Any)
    });
    fixture.commit(&ends).await;
    fixture.put(&key("p", "d"), "d").await;
    for living in [["a", "b", "c", "d"].as_slice(), &["b", "c", "d"]] {
        assert_eq!(fixture.sorts(&listing("p", "")).await, living);
        fixture.pass(10);
    }
    assert_eq!(fixture.sorts(&listing("p", "")).await, ["b", "d"]);
    fixture.pass(1000);
    assert_eq!(fixture.sorts(&listing("p", "")).await, ["d"]);
}

/// Items behind a long run of expired ones are found with every page size.
pub async fn expired_items_do_not_end_a_listing(fixture: &Fixture) {
    let end = fixture.in_seconds(1);
    let writes: Vec<_> = (0..60)
        .map(|number| {
            let at = key("p", &format!("{number:03}"));
            match number % 30 {
                29 => put(&at, number, Expect::Any),
                _ => put_until(&at, number, end, Expect::Any),
            }
        })
        .collect();
    fixture.commit(&writes).await;
    fixture.pass(1);
    for limit in [1, 2, 7, 1000] {
        let mut query = listing("p", "");
        query.limit = limit;
        assert_eq!(fixture.sorts(&query).await, ["029", "059"], "{limit}");
    }
}

/// The index drops an item when it expires.
pub async fn expired_items_leave_the_index(fixture: &Fixture) {
    for (sort, after) in [("a", 10), ("b", 20)] {
        fixture
            .write(Write::Put {
                key: key("p", sort),
                document: json!(sort),
                index: Some(IndexKey { partition: "i".into(), sort: "same".into() }),
                expires_at: Some(fixture.in_seconds(after)),
                expect: Expect::Any,
            })
            .await;
    }
    fixture.index_shows(&index_listing("i", ""), &["a", "b"]).await;
    fixture.pass(10);
    fixture.index_shows(&index_listing("i", ""), &["b"]).await;
    fixture.pass(10);
    fixture.index_shows(&index_listing("i", ""), &[]).await;
}

/// The expiry belongs to the write: a put without one makes the item last.
pub async fn put_without_expiry_takes_the_old_one_away(fixture: &Fixture) {
    let at = key("p", "a");
    let end = fixture.in_seconds(60);
    fixture.write(put_until(&at, 1, end, Expect::Any)).await;
    fixture.put(&at, 2).await;
    fixture.pass(61);
    let item = fixture.get(&at).await.unwrap();
    assert_eq!(item.document, json!(2));
    assert_eq!(item.expires_at, None);
}
