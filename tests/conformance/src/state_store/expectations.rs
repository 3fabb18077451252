//! The conditions of a commit.

use std::collections::HashSet;

use diogenes_core::ports::{Expect, Version};
use serde_json::json;

use super::Fixture;
use super::support::{check, delete, key, listing, put};

/// [`Expect::Absent`] holds where nothing stands, also after a delete.
pub async fn absent_holds_for_nothing_only(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.write(put(&at, 1, Expect::Absent)).await;
    fixture.conflict(&[put(&at, 2, Expect::Absent)]).await;
    assert_eq!(fixture.document(&at).await, Some(json!(1)));
    fixture.commit(&[delete(&at, Expect::Any)]).await;
    fixture.write(put(&at, 3, Expect::Absent)).await;
    assert_eq!(fixture.document(&at).await, Some(json!(3)));
}

/// [`Expect::Version`] holds until the item is written again, if only with the same document.
pub async fn version_holds_for_that_write_only(fixture: &Fixture) {
    let at = key("p", "a");
    let first = fixture.put(&at, 1).await;
    let second = fixture.write(put(&at, 1, Expect::Version(first.clone()))).await;
    let lost = fixture.conflict(&[put(&at, 2, Expect::Version(first))]).await;
    assert_eq!(lost.standing.unwrap().version, second);
    fixture.write(put(&at, 3, Expect::Version(second))).await;
    assert_eq!(fixture.document(&at).await, Some(json!(3)));
}

/// A version cannot stand where nothing does.
pub async fn version_of_a_missing_item_conflicts(fixture: &Fixture) {
    let at = key("p", "a");
    let gone = fixture.put(&at, 1).await;
    fixture.commit(&[delete(&at, Expect::Any)]).await;
    for expect in [gone, Version::new("never"), Version::new("")].map(Expect::Version) {
        for write in [put(&at, 2, expect.clone()), delete(&at, expect.clone()), check(&at, expect)]
        {
            assert_eq!(fixture.conflict(&[write]).await.standing, None);
        }
    }
    assert_eq!(fixture.get(&at).await, None);
}

/// A version belongs to one item.
pub async fn version_of_another_item_conflicts(fixture: &Fixture) {
    let (at, other) = (key("p", "a"), key("p", "b"));
    let versions = fixture.commit(&[put(&at, 1, Expect::Any), put(&other, 1, Expect::Any)]).await;
    let wrong = Expect::Version(versions[1].clone().unwrap());
    fixture.conflict(&[put(&at, 2, wrong)]).await;
    assert_eq!(fixture.document(&at).await, Some(json!(1)));
}

/// [`Expect::Any`] holds with and without an item.
pub async fn any_holds_always(fixture: &Fixture) {
    let at = key("p", "a");
    for round in 0..2 {
        fixture.commit(&[check(&at, Expect::Any)]).await;
        fixture.write(put(&at, round, Expect::Any)).await;
    }
    for _ in 0..2 {
        fixture.commit(&[delete(&at, Expect::Any)]).await;
    }
}

/// Every put has a version of its own.
pub async fn every_write_gets_a_fresh_version(fixture: &Fixture) {
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let keys = ["a", "b", "c"].map(|sort| key("p", sort));
        let writes = keys.map(|at| put(&at, "same", Expect::Any));
        for version in fixture.commit(&writes).await {
            assert!(seen.insert(version.unwrap()), "a version came twice");
        }
    }
}

/// A delete does not let versions begin anew.
pub async fn version_is_not_reused_after_a_delete(fixture: &Fixture) {
    let at = key("p", "a");
    let mut seen = HashSet::new();
    for _ in 0..20 {
        assert!(seen.insert(fixture.write(put(&at, 1, Expect::Absent)).await));
        fixture.commit(&[delete(&at, Expect::Any)]).await;
    }
    for old in seen {
        fixture.conflict(&[put(&at, 2, Expect::Version(old))]).await;
    }
}

/// The conflict names the first write of the commit whose expectation does not hold.
pub async fn conflict_carries_the_first_failed_write(fixture: &Fixture) {
    for sort in ["b", "d"] {
        fixture.put(&key("p", sort), sort).await;
    }
    let keys = ["e", "d", "c", "b", "a"];
    let writes = keys.map(|sort| put(&key("p", sort), "new", Expect::Absent));
    let conflict = fixture.conflict(&writes).await;
    assert_eq!(conflict.write, 1);
    assert_eq!(conflict.key, key("p", "d"));
    assert_eq!(conflict.standing.unwrap().document, json!("d"));
}

/// The conflict brings the item, so that the loser can decide again without a read.
pub async fn conflict_carries_the_standing_item(fixture: &Fixture) {
    let at = key("p", "a");
    let old = fixture.put(&at, json!({"round": 1})).await;
    fixture.put(&at, json!({"round": 2})).await;
    let standing = fixture.get(&at).await;
    for write in [
        put(&at, 3, Expect::Version(old.clone())),
        put(&at, 3, Expect::Absent),
        delete(&at, Expect::Version(old.clone())),
        delete(&at, Expect::Absent),
        check(&at, Expect::Version(old)),
        check(&at, Expect::Absent),
    ] {
        let conflict = fixture.conflict(&[write]).await;
        assert_eq!(conflict.write, 0);
        assert_eq!(conflict.key, at);
        assert_eq!(conflict.standing, standing);
    }
    assert_eq!(fixture.get(&at).await, standing);
}

/// One failed expectation, and none of the writes happens, whichever place it has.
pub async fn conflict_writes_nothing(fixture: &Fixture) {
    let (kept, taken) = (key("p", "kept"), key("p", "taken"));
    fixture.put(&kept, "old").await;
    fixture.put(&taken, "old").await;
    let before = fixture.all(&listing("p", "")).await;
    let good = [put(&key("p", "new"), 1, Expect::Absent), put(&kept, 1, Expect::Any)];
    for place in 0..=good.len() {
        let mut writes = good.to_vec();
        writes.insert(place, put(&taken, 1, Expect::Absent));
        assert_eq!(fixture.conflict(&writes).await.write, place);
        assert_eq!(fixture.all(&listing("p", "")).await, before);
    }
    let writes =
        [delete(&kept, Expect::Any), put(&taken, 1, Expect::Version(Version::new("never")))];
    assert_eq!(fixture.conflict(&writes).await.write, 1);
    assert_eq!(fixture.all(&listing("p", "")).await, before);
}

/// A check guards the writes beside it, across partitions.
pub async fn failed_check_stops_every_write(fixture: &Fixture) {
    let (guard, at) = (key("guards", "g"), key("p", "a"));
    let lease = fixture.put(&guard, "mine").await;
    let guarded = [put(&at, 1, Expect::Any), check(&guard, Expect::Version(lease.clone()))];
    assert_eq!(fixture.commit(&guarded).await.len(), 2);
    fixture.put(&guard, "another's").await;
    let guarded = [put(&at, 2, Expect::Any), check(&guard, Expect::Version(lease))];
    let conflict = fixture.conflict(&guarded).await;
    assert_eq!(conflict.write, 1);
    assert_eq!(conflict.standing.unwrap().document, json!("another's"));
    assert_eq!(fixture.document(&at).await, Some(json!(1)));
}

/// The result has one entry per write, in order: a version for a put, none for the others.
pub async fn versions_are_returned_per_write(fixture: &Fixture) {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|sort| key("p", sort));
    let versions = fixture
        .commit(&[
            delete(&a, Expect::Any),
            put(&d, 1, Expect::Absent),
            check(&b, Expect::Absent),
            put(&c, 2, Expect::Any),
        ])
        .await;
    let [None, Some(of_d), None, Some(of_c)] = versions.as_slice() else {
        panic!("wrong versions: {versions:?}");
    };
    assert_eq!(fixture.get(&d).await.unwrap().version, *of_d);
    assert_eq!(fixture.get(&c).await.unwrap().version, *of_c);
}

/// A delete holds to its expectation like a put.
pub async fn delete_under_an_expectation(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.commit(&[delete(&at, Expect::Absent)]).await;
    let old = fixture.put(&at, 1).await;
    let new = fixture.put(&at, 2).await;
    fixture.conflict(&[delete(&at, Expect::Version(old))]).await;
    assert_eq!(fixture.document(&at).await, Some(json!(2)));
    fixture.commit(&[delete(&at, Expect::Version(new))]).await;
    assert_eq!(fixture.get(&at).await, None);
}
