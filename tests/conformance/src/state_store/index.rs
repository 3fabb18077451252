//! The second order, in which an item may be listed.

use diogenes_core::ports::{Direction, Expect, Query};
use serde_json::json;

use super::Fixture;
use super::support::{delete, index_listing, key, listing, put, put_indexed};

/// The index lists by index key and carries whole items.
pub async fn items_are_listed_by_their_index_key(fixture: &Fixture) {
    for (partition, sort, place) in [("p", "a", "3"), ("q", "b", "1"), ("p", "c", "2")] {
        fixture.write(put_indexed(&key(partition, sort), json!({"at": place}), ("i", place))).await;
    }
    let query = index_listing("i", "");
    fixture.index_shows(&query, &["b", "c", "a"]).await;
    for item in fixture.all(&query).await {
        assert_eq!(fixture.get(&item.key.clone()).await, Some(item));
    }
}

/// An item without an index key is in the table only.
pub async fn items_without_an_index_key_are_not_listed(fixture: &Fixture) {
    fixture.put(&key("i", "plain"), 1).await;
    fixture.write(put_indexed(&key("p", "marked"), 1, ("i", "x"))).await;
    fixture.index_shows(&index_listing("i", ""), &["marked"]).await;
    fixture.index_shows(&index_listing("p", ""), &[]).await;
}

async fn fill_shared(fixture: &Fixture) -> Vec<(String, String)> {
    let mut writes = Vec::new();
    let mut keys = Vec::new();
    for number in 0..12 {
        let at = key(&format!("p{}", number % 2), &format!("{number:02}"));
        // Five share one index key, so that some pages end inside the run.
        let place = match number {
            0..4 => "a",
            4..9 => "b",
            _ => "c",
        };
        writes.push(put_indexed(&at, number, ("i", place)));
        keys.push((at.partition, at.sort));
    }
    fixture.commit(&writes).await;
    keys.sort();
    keys
}

/// An index key is not unique.
pub async fn items_may_share_an_index_key(fixture: &Fixture) {
    for sort in ["a", "b", "c"] {
        fixture.write(put_indexed(&key("p", sort), sort, ("i", "same"))).await;
    }
    let mut query = index_listing("i", "same");
    fixture.index_holds(&query, 3).await;
    query.direction = Direction::Descending;
    fixture.index_holds(&query, 3).await;
}

/// Pages through shared index keys show every item once.
pub async fn shared_index_keys_page_without_loss(fixture: &Fixture) {
    let expected = fill_shared(fixture).await;
    let mut query = index_listing("i", "");
    fixture.index_holds(&query, expected.len()).await;
    for direction in [Direction::Ascending, Direction::Descending] {
        query.direction = direction;
        for limit in 1..=expected.len() + 1 {
            query.limit = limit;
            let items = fixture.all(&query).await;
            let places: Vec<_> =
                items.iter().map(|item| item.index.clone().unwrap().sort).collect();
            let ordered = match direction {
                Direction::Ascending => places.is_sorted(),
                Direction::Descending => places.iter().rev().is_sorted(),
            };
            assert!(ordered, "limit {limit}: {places:?}");
            let mut seen: Vec<_> =
                items.into_iter().map(|item| (item.key.partition, item.key.sort)).collect();
            seen.sort();
            assert_eq!(seen, expected, "limit {limit}, {direction:?}");
        }
    }
}

/// A put with another index key lists the item there and nowhere else.
pub async fn changed_index_key_moves_the_item(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.write(put_indexed(&at, 1, ("i", "1"))).await;
    fixture.write(put_indexed(&at, 2, ("i", "2"))).await;
    fixture.index_shows(&index_listing("i", "1"), &[]).await;
    fixture.index_shows(&index_listing("i", ""), &["a"]).await;
    fixture.write(put_indexed(&at, 3, ("j", "2"))).await;
    fixture.index_shows(&index_listing("i", ""), &[]).await;
    fixture.index_shows(&index_listing("j", ""), &["a"]).await;
    let listed = fixture.all(&index_listing("j", "")).await;
    assert_eq!(listed[0].document, json!(3));
}

/// A put without an index key takes the item out of the index.
pub async fn dropped_index_key_removes_the_item(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.write(put_indexed(&at, 1, ("i", "1"))).await;
    fixture.index_shows(&index_listing("i", ""), &["a"]).await;
    fixture.write(put(&at, 2, Expect::Any)).await;
    fixture.index_shows(&index_listing("i", ""), &[]).await;
    assert_eq!(fixture.get(&at).await.unwrap().index, None);
}

/// A delete takes the item out of the index.
pub async fn deleted_item_leaves_the_index(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.write(put_indexed(&at, 1, ("i", "1"))).await;
    fixture.commit(&[delete(&at, Expect::Any)]).await;
    fixture.index_shows(&index_listing("i", ""), &[]).await;
}

/// Partitions of the index and of the table do not meet, whatever their names.
pub async fn index_and_table_are_apart(fixture: &Fixture) {
    fixture.write(put_indexed(&key("same", "a"), 1, ("same", "z"))).await;
    fixture.write(put_indexed(&key("other", "b"), 2, ("same", "y"))).await;
    assert_eq!(fixture.sorts(&listing("same", "")).await, ["a"]);
    fixture.index_shows(&index_listing("same", ""), &["b", "a"]).await;
}

/// Prefix and direction work on the index sort key, bytewise.
pub async fn index_prefix_and_order(fixture: &Fixture) {
    let places = ["%", "A", "a", "a#1", "a#2", "aé", "b", "é", "\u{FFFF}", "👩"];
    for (number, place) in places.iter().enumerate() {
        // The items' own keys run the other way.
        let at = key("p", &format!("{:02}", 99 - number));
        fixture.write(put_indexed(&at, *place, ("i", place))).await;
    }
    let seen = async |query: Query| {
        let items = fixture.all(&query).await;
        let places: Vec<_> = items.into_iter().map(|item| item.index.unwrap().sort).collect();
        places
    };
    fixture.index_holds(&index_listing("i", ""), places.len()).await;
    assert_eq!(seen(index_listing("i", "")).await, places);
    for prefix in ["a", "a#", "%", "é", "\u{FFFF}", "z"] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let mut expected: Vec<_> =
                places.into_iter().filter(|place| place.starts_with(prefix)).collect();
            if direction == Direction::Descending {
                expected.reverse();
            }
            for limit in [1, 2, 1000] {
                let query = Query { direction, limit, ..index_listing("i", prefix) };
                assert_eq!(seen(query).await, expected, "{prefix:?}");
            }
        }
    }
}
