//! Order, prefixes and partitions of a listing.

use diogenes_core::ports::{Direction, Expect};
use serde_json::json;

use super::Fixture;
use super::support::{delete, key, listing};

/// Sort keys whose order by bytes differs from the order by letters, by case, by number, and
/// by UTF-16 unit.
const SORTS: [&str; 16] = [
    "", "\u{1}", " ", "10", "2", "A", "B", "a", "a\u{0}", "ab", "b", "z", "é", "世", "\u{FFFF}",
    "👩",
];

async fn fill(fixture: &Fixture, partition: &str) -> Vec<String> {
    // Never empty and never written in order.
    let mut sorts: Vec<_> = SORTS.iter().map(|sort| format!("k{sort}")).collect();
    for number in 0..sorts.len() {
        let sort = &sorts[(number * 7) % sorts.len()];
        fixture.put(&key(partition, sort), number).await;
    }
    sorts.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    sorts
}

/// A partition without items has one empty last page.
pub async fn empty_partition_lists_nothing(fixture: &Fixture) {
    fixture.put(&key("p", "a"), 1).await;
    assert_eq!(fixture.sorts(&listing("nothing", "")).await, [""; 0]);
    assert_eq!(fixture.sorts(&listing("p", "b")).await, [""; 0]);
}

/// Items come in the order of the bytes of their sort keys.
pub async fn order_is_bytewise(fixture: &Fixture) {
    let expected = fill(fixture, "p").await;
    assert_eq!(fixture.sorts(&listing("p", "")).await, expected);
}

/// The other direction is the exact reverse, also under a prefix.
pub async fn descending_is_the_reverse(fixture: &Fixture) {
    let mut expected = fill(fixture, "p").await;
    expected.reverse();
    for prefix in ["", "k", "ka"] {
        let mut query = listing("p", prefix);
        query.direction = Direction::Descending;
        let expected: Vec<_> = expected.iter().filter(|sort| sort.starts_with(prefix)).collect();
        let seen = fixture.sorts(&query).await;
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{prefix}");
    }
}

/// A listing shows its partition only, not those that begin like it.
pub async fn partition_is_exact(fixture: &Fixture) {
    for partition in ["p", "p#", "pp", "P", "o", "q", "p\u{0}", "%", "_"] {
        fixture.put(&key(partition, partition), 1).await;
    }
    for partition in ["p", "p#", "P", "p\u{0}", "%", "_"] {
        let sorts = fixture.sorts(&listing(partition, "")).await;
        assert_eq!(sorts, [partition]);
    }
}

/// No character of a prefix is a pattern, and case counts.
pub async fn prefix_is_literal(fixture: &Fixture) {
    let sorts = [
        "%",
        "%a",
        "*",
        "*a",
        "?a",
        "A#1",
        "[a]",
        "\\%",
        "_",
        "_a",
        "a",
        "a#",
        "a#1",
        "a#2",
        "a$",
        "a\"b",
        "a'b",
        "aé",
        "ae\u{301}",
        "é",
        "éa",
    ];
    for sort in sorts {
        fixture.put(&key("p", sort), 1).await;
    }
    for prefix in
        ["%", "_", "*", "?", "[a", "\\", "a", "a#", "a\"", "a'", "A", "é", "ae", "zz", "#"]
    {
        let mut expected: Vec<_> =
            sorts.into_iter().filter(|sort| sort.starts_with(prefix)).collect();
        expected.sort_unstable();
        let seen = fixture.sorts(&listing("p", prefix)).await;
        assert_eq!(seen, expected, "{prefix:?}");
    }
}

/// The end of a prefix's range is found also where its last character has no successor.
pub async fn prefix_may_end_in_the_last_character(fixture: &Fixture) {
    let last = "\u{10FFFF}";
    let sorts = [
        format!("a{last}"),
        format!("a{last}b"),
        format!("a{last}{last}"),
        "b".into(),
        "\u{D7FF}".into(),
        "\u{D7FF}x".into(),
        "\u{E000}".into(),
        last.into(),
        format!("{last}a"),
        format!("{last}{last}{last}"),
    ];
    for sort in &sorts {
        fixture.put(&key("p", sort), 1).await;
    }
    for prefix in [format!("a{last}"), last.into(), format!("{last}{last}"), "\u{D7FF}".into()] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let mut expected: Vec<_> =
                sorts.iter().filter(|sort| sort.starts_with(&prefix)).collect();
            expected.sort_unstable();
            if direction == Direction::Descending {
                expected.reverse();
            }
            let mut query = listing("p", &prefix);
            query.direction = direction;
            let seen = fixture.sorts(&query).await;
            assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{prefix:?}");
        }
    }
}

/// A sort key begins with itself.
pub async fn prefix_itself_is_listed(fixture: &Fixture) {
    for sort in ["a", "a#", "a#b", "a#b#c"] {
        fixture.put(&key("p", sort), 1).await;
    }
    let sorts = fixture.sorts(&listing("p", "a#b")).await;
    assert_eq!(sorts, ["a#b", "a#b#c"]);
}

/// A listed item is what `get` returns for its key.
pub async fn items_are_listed_whole(fixture: &Fixture) {
    let end = fixture.in_seconds(60);
    fixture.put(&key("p", "a"), json!({"x": [null]})).await;
    fixture.write(super::support::put_until(&key("p", "b"), 2, end, Expect::Any)).await;
    fixture.write(super::support::put_indexed(&key("p", "c"), 3, ("i", "s"))).await;
    let listed = fixture.all(&listing("p", "")).await;
    assert_eq!(listed.len(), 3);
    for item in listed {
        assert_eq!(fixture.get(&item.key.clone()).await, Some(item));
    }
}

/// A listing follows deletes at once.
pub async fn deleted_items_are_not_listed(fixture: &Fixture) {
    for sort in ["a", "b", "c"] {
        fixture.put(&key("p", sort), 1).await;
    }
    fixture.commit(&[delete(&key("p", "b"), Expect::Any)]).await;
    assert_eq!(fixture.sorts(&listing("p", "")).await, ["a", "c"]);
}
