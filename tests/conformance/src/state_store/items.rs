//! Reading back what was written.

use diogenes_core::Timestamp;
use diogenes_core::ports::{Expect, IndexKey, Item, Key, Write};
use serde_json::{Value, json};

use super::Fixture;
use super::support::{check, delete, key, listing, put};

/// `get` of a key that was never written.
pub async fn missing_item_is_none(fixture: &Fixture) {
    assert_eq!(fixture.get(&key("p", "missing")).await, None);
}

/// `get` returns the key, the version of the commit, and the document.
pub async fn put_item_is_returned_whole(fixture: &Fixture) {
    let at = key("p", "a");
    let version = fixture.put(&at, json!({"n": 1})).await;
    let expected =
        Item { key: at.clone(), version, document: json!({"n": 1}), index: None, expires_at: None };
    assert_eq!(fixture.get(&at).await, Some(expected));
}

/// A put replaces the whole document; nothing is merged.
pub async fn put_replaces_everything(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.put(&at, json!({"old": 1, "both": 1})).await;
    fixture.put(&at, json!({"new": 2, "both": 2})).await;
    assert_eq!(fixture.document(&at).await, Some(json!({"new": 2, "both": 2})));
}

/// After a delete there is no item.
pub async fn deleted_item_is_gone(fixture: &Fixture) {
    let (at, other) = (key("p", "a"), key("p", "b"));
    fixture.put(&at, 1).await;
    fixture.put(&other, 2).await;
    assert_eq!(fixture.commit(&[delete(&at, Expect::Any)]).await, [None]);
    assert_eq!(fixture.get(&at).await, None);
    assert_eq!(fixture.document(&other).await, Some(json!(2)));
}

/// With [`Expect::Any`] a delete needs no item.
pub async fn delete_of_nothing_succeeds(fixture: &Fixture) {
    let at = key("p", "a");
    assert_eq!(fixture.commit(&[delete(&at, Expect::Any)]).await, [None]);
    assert_eq!(fixture.get(&at).await, None);
}

/// A check alone is a commit that writes nothing.
pub async fn check_changes_nothing(fixture: &Fixture) {
    let (at, missing) = (key("p", "a"), key("p", "b"));
    fixture.put(&at, 1).await;
    let before = fixture.get(&at).await;
    let version = before.clone().unwrap().version;
    let checks = [check(&at, Expect::Version(version)), check(&missing, Expect::Absent)];
    assert_eq!(fixture.commit(&checks).await, [None, None]);
    assert_eq!(fixture.get(&at).await, before);
    assert_eq!(fixture.get(&missing).await, None);
}

/// Partitions do not share sort keys.
pub async fn same_sort_key_in_another_partition_is_another_item(fixture: &Fixture) {
    fixture.put(&key("p", "a"), 1).await;
    fixture.put(&key("q", "a"), 2).await;
    assert_eq!(fixture.document(&key("p", "a")).await, Some(json!(1)));
    assert_eq!(fixture.document(&key("q", "a")).await, Some(json!(2)));
}

/// Where the partition ends is part of the key, whatever separator a store might use inside.
pub async fn key_parts_are_not_joined(fixture: &Fixture) {
    let likes = [
        ("a", "b#c"),
        ("a#b", "c"),
        ("a/b", "c"),
        ("a", "b/c"),
        ("a\u{0}b", "c"),
        ("a", "b\u{0}c"),
        ("ab", "c"),
        ("a", "bc"),
    ];
    for (number, (partition, sort)) in likes.iter().enumerate() {
        fixture.put(&key(partition, sort), number).await;
    }
    for (number, (partition, sort)) in likes.iter().enumerate() {
        let document = fixture.document(&key(partition, sort)).await;
        assert_eq!(document, Some(json!(number)), "{partition:?} {sort:?}");
    }
}

/// Numbers, nulls and structure come back as they went in.
pub async fn documents_round_trip(fixture: &Fixture) {
    let documents = [
        json!(null),
        json!(true),
        json!(""),
        json!([]),
        json!({}),
        json!({"": {"": [null, {"null": null}]}}),
        json!([1, 1.0, -0.0, 0]),
        json!([u64::MAX, u64::MAX - 1, i64::MIN, i64::MAX]),
        json!([f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::EPSILON]),
        json!([0.1, 0.1 + 0.2, 1.0 / 3.0, 1e21, 123_456_789.123_456_79]),
        json!([9_007_199_254_740_993_u64, 9_007_199_254_740_992.0]),
        json!({"b": 1, "a": {"d": [1, [2, [3]]], "c": "x"}}),
        json!([2.638_344_616_030_823e-256, 7.038_531e-26, 1.175_494_35e-38]),
    ];
    for (number, document) in documents.iter().enumerate() {
        let at = key("documents", &format!("{number:03}"));
        fixture.put(&at, document.clone()).await;
        let back = fixture.document(&at).await.unwrap();
        assert_eq!(back, *document);
        // Equality of numbers hides the sign of zero and how they are written.
        assert_eq!(back.to_string(), document.to_string());
    }
    let listed = fixture.all(&listing("documents", "")).await;
    let listed: Vec<_> = listed.into_iter().map(|item| item.document).collect();
    assert_eq!(listed, documents);
}

/// Every character is allowed in a document.
pub async fn strings_round_trip(fixture: &Fixture) {
    let at = key("p", "a");
    for text in [
        "\u{0}",
        "a\u{0}b",
        "'\"\\`;--",
        "line\r\nline\u{2028}\u{7f}\u{1b}",
        "Grüße, 世界 👩‍👩‍👧 \u{10FFFF}\u{FFFF}\u{FEFF}",
        "e\u{301} is not é",
    ] {
        let document = json!({text: [text]});
        fixture.put(&at, document.clone()).await;
        assert_eq!(fixture.document(&at).await, Some(document));
    }
}

/// Every character is allowed in a key, and none stands for others.
pub async fn keys_with_any_character_round_trip(fixture: &Fixture) {
    let texts = [
        "\u{0}",
        " ",
        "%",
        "_",
        "*",
        "?",
        "#",
        "/",
        "'",
        "\"",
        "\\",
        "é",
        "e\u{301}",
        "A",
        "a",
        "ß",
        "SS",
        "世",
        "\u{FFFF}",
        "👩",
        "\u{10FFFF}",
        "1",
        "01",
        "1.0",
        "null",
    ];
    for (number, text) in texts.iter().enumerate() {
        fixture.put(&key(text, text), number).await;
    }
    for (number, text) in texts.iter().enumerate() {
        let item = fixture.get(&key(text, text)).await.unwrap();
        assert_eq!(item.key, key(text, text));
        assert_eq!(item.document, json!(number), "{text:?}");
    }
}

/// A request body of a caller may be nested as deeply as its parser allows.
pub async fn deep_document_round_trips(fixture: &Fixture) {
    let document = (0..100).fold(json!("core"), |inner, level| {
        if level % 2 == 0 { json!([inner]) } else { json!({ "in": inner }) }
    });
    let at = key("p", "deep");
    fixture.put(&at, document.clone()).await;
    assert_eq!(fixture.document(&at).await, Some(document));
}

/// Expiry and index key are part of the item, to the nanosecond.
pub async fn expiry_and_index_round_trip(fixture: &Fixture) {
    let at = key("p", "a");
    let index = IndexKey { partition: "by name".into(), sort: "é\u{0}#".into() };
    for expires_at in [
        "2100-02-03T04:05:06.123456789Z".parse::<Timestamp>().unwrap(),
        "9000-01-01T00:00:00Z".parse().unwrap(),
        Timestamp::MAX,
    ] {
        let version = fixture
            .write(Write::Put {
                key: at.clone(),
                document: json!(1),
                index: Some(index.clone()),
                expires_at: Some(expires_at),
                expect: Expect::Any,
            })
            .await;
        let expected = Item {
            key: at.clone(),
            version,
            document: json!(1),
            index: Some(index.clone()),
            expires_at: Some(expires_at),
        };
        assert_eq!(fixture.get(&at).await, Some(expected));
    }
}

/// A commit that has returned is in the very next read, by key and by listing.
pub async fn read_sees_every_commit_that_returned(fixture: &Fixture) {
    let at: Key = key("p", "a");
    for round in 0..100 {
        let version = fixture.write(put(&at, Value::from(round), Expect::Any)).await;
        assert_eq!(fixture.get(&at).await.unwrap().version, version);
        let listed = fixture.all(&listing("p", "")).await;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].version, version);
    }
}
