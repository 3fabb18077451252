//! The sizes that every store keeps to.

use diogenes_core::ports::{
    Bound, Expect, MAX_DOCUMENT_BYTES, MAX_KEY_BYTES, MAX_PAGE, MAX_WRITES, StoreError,
    document_bytes,
};
use serde_json::{Value, json};

use super::Fixture;
use super::support::{check, delete, index_listing, key, listing, put, put_indexed};

/// A document of exactly `bytes` bytes.
fn document(bytes: usize) -> Value {
    let document = json!({ "text": "x".repeat(bytes - r#"{"text":""}"#.len()) });
    assert_eq!(document_bytes(&document), bytes);
    document
}

/// A document of [`MAX_DOCUMENT_BYTES`] is stored, listed, and carried by a conflict.
pub async fn largest_document_fits(fixture: &Fixture) {
    let at = key("p", "a");
    let largest = document(MAX_DOCUMENT_BYTES);
    fixture.put(&at, largest.clone()).await;
    assert_eq!(fixture.document(&at).await.as_ref(), Some(&largest));
    assert_eq!(fixture.all(&listing("p", "")).await[0].document, largest);
    let conflict = fixture.conflict(&[put(&at, 1, Expect::Absent)]).await;
    assert_eq!(conflict.standing.unwrap().document, largest);
}

/// One byte more is [`StoreError::TooLarge`], and nothing is written.
pub async fn larger_document_is_too_large(fixture: &Fixture) {
    let (at, other) = (key("p", "a"), key("p", "b"));
    let writes =
        [put(&other, 1, Expect::Any), put(&at, document(MAX_DOCUMENT_BYTES + 1), Expect::Any)];
    match fixture.shared().commit(&writes).await {
        Err(StoreError::TooLarge { key, bytes }) => {
            assert_eq!(key, at);
            assert_eq!(bytes, MAX_DOCUMENT_BYTES + 1);
        }
        other => panic!("expected a refusal of the size, got {other:?}"),
    }
    assert_eq!(fixture.get(&at).await, None);
    assert_eq!(fixture.get(&other).await, None);
}

/// Characters beyond ASCII count with their bytes, escapes as they are written.
pub async fn size_is_counted_in_bytes_of_compact_json(fixture: &Fixture) {
    let at = key("p", "a");
    for (text, bytes) in [("é", 2), ("世", 3), ("👩", 4), ("\"", 2), ("\u{1}", 6)] {
        let room = MAX_DOCUMENT_BYTES - 2;
        fixture.put(&at, text.repeat(room / bytes)).await;
        let above = put(&at, text.repeat(room / bytes + 1), Expect::Any);
        let refused = fixture.shared().commit(&[above]).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{text:?}");
    }
}

/// [`MAX_WRITES`] writes are one commit.
pub async fn most_writes_fit(fixture: &Fixture) {
    let keys: Vec<_> = (0..MAX_WRITES)
        .map(|number| key(&format!("p{}", number % 3), &format!("{number:03}")))
        .collect();
    let puts: Vec<_> = keys.iter().map(|at| put(at, 1, Expect::Absent)).collect();
    assert_eq!(fixture.commit(&puts).await.len(), MAX_WRITES);
    let deletes: Vec<_> = keys.iter().map(|at| delete(at, Expect::Any)).collect();
    assert_eq!(fixture.commit(&deletes).await.len(), MAX_WRITES);
    for at in &keys {
        assert_eq!(fixture.get(at).await, None);
    }
}

/// One write more is refused as a whole.
pub async fn more_writes_are_refused(fixture: &Fixture) {
    let writes: Vec<_> = (0..=MAX_WRITES)
        .map(|number| put(&key("p", &format!("{number:03}")), 1, Expect::Any))
        .collect();
    fixture.invalid(&writes).await;
    assert_eq!(fixture.sorts(&listing("p", "")).await, [""; 0]);
}

/// A commit writes something.
pub async fn no_writes_are_refused(fixture: &Fixture) {
    fixture.invalid(&[]).await;
}

/// The keys of a commit are distinct, whatever the writes do.
pub async fn repeated_key_is_refused(fixture: &Fixture) {
    let at = key("p", "a");
    for second in [put(&at, 2, Expect::Any), delete(&at, Expect::Any), check(&at, Expect::Any)] {
        fixture.invalid(&[put(&at, 1, Expect::Any), second]).await;
        assert_eq!(fixture.get(&at).await, None);
    }
}

/// Every part of a key takes [`MAX_KEY_BYTES`] bytes.
pub async fn longest_keys_fit(fixture: &Fixture) {
    for longest in ["x".repeat(MAX_KEY_BYTES), "世".repeat(MAX_KEY_BYTES / 3)] {
        let at = key(&longest, &longest);
        fixture.write(put_indexed(&at, 1, (&longest, &longest))).await;
        let item = fixture.get(&at).await.unwrap();
        assert_eq!(item.key, at);
        let listed = fixture.sorts(&listing(&longest, &longest)).await;
        assert_eq!(listed, std::slice::from_ref(&longest));
        fixture.index_shows(&index_listing(&longest, &longest), &[&longest]).await;
        let counted = fixture.shared().add(&at, 2, Bound::None, None).await;
        assert_eq!(counted.unwrap(), 2);
    }
}

/// One byte more is refused, in each part and in the index key.
pub async fn longer_keys_are_refused(fixture: &Fixture) {
    for longer in ["x".repeat(MAX_KEY_BYTES + 1), "世".repeat(MAX_KEY_BYTES / 3 + 1)] {
        bad_part_is_refused(fixture, &longer).await;
    }
}

/// No part of a key is empty.
pub async fn empty_keys_are_refused(fixture: &Fixture) {
    bad_part_is_refused(fixture, "").await;
}

async fn bad_part_is_refused(fixture: &Fixture, bad: &str) {
    let at = key("p", "a");
    for wrong in [key(bad, "a"), key("p", bad)] {
        fixture.invalid(&[put(&wrong, 1, Expect::Any)]).await;
        fixture.invalid(&[delete(&wrong, Expect::Any)]).await;
        fixture.invalid(&[check(&wrong, Expect::Any)]).await;
        let read = fixture.shared().get(&wrong).await;
        assert!(matches!(read, Err(StoreError::Invalid { .. })), "{read:?}");
    }
    fixture.invalid(&[put_indexed(&at, 1, (bad, "a"))]).await;
    fixture.invalid(&[put_indexed(&at, 1, ("p", bad))]).await;
    assert_eq!(fixture.get(&at).await, None);
    for query in [listing(bad, ""), index_listing(bad, "")] {
        let page = fixture.shared().list(&query).await;
        assert!(matches!(page, Err(StoreError::Invalid { .. })), "{page:?}");
    }
}

/// A call that breaks a rule is refused as such, also when its expectation would fail.
pub async fn rules_come_before_expectations(fixture: &Fixture) {
    let at = key("p", "a");
    fixture.put(&at, 1).await;
    let conflict = put(&at, 2, Expect::Absent);
    fixture.invalid(&[conflict.clone(), put(&key("p", ""), 1, Expect::Any)]).await;
    fixture.invalid(&[conflict.clone(), conflict]).await;
}

/// A page has 1 to [`MAX_PAGE`] items.
pub async fn page_limits_are_kept(fixture: &Fixture) {
    fixture.put(&key("p", "a"), 1).await;
    for (limit, allowed) in
        [(0, false), (1, true), (MAX_PAGE, true), (MAX_PAGE + 1, false), (usize::MAX, false)]
    {
        let mut query = listing("p", "");
        query.limit = limit;
        match fixture.shared().list(&query).await {
            Ok(page) => assert!(allowed && page.items.len() == 1, "{limit}"),
            Err(StoreError::Invalid { .. }) => assert!(!allowed, "{limit}"),
            Err(error) => panic!("{limit}: {error}"),
        }
    }
}
