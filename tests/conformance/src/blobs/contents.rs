use diogenes_core::ports::{BlobError, BlobKey};

use super::Fixture;

fn key(text: &str) -> BlobKey {
    BlobKey::new(text).unwrap()
}

/// What was put is read back, whole and in part.
pub async fn what_was_put_is_read_back(fixture: &Fixture) {
    let blobs = &fixture.blobs;
    let key = key("files/default/file-1");
    assert_eq!(blobs.size(&key).await.unwrap(), None);
    let error = blobs.read(&key, 0..1).await.unwrap_err();
    assert!(matches!(error, BlobError::NotFound { .. }), "{error}");
    blobs.put(&key, b"0123456789".to_vec(), false).await.unwrap();
    assert_eq!(blobs.size(&key).await.unwrap(), Some(10));
    for (range, expected) in [
        (0..10, "0123456789"),
        (3..5, "34"),
        (8..100, "89"),
        (10..20, ""),
        (50..60, ""),
        (4..4, ""),
    ] {
        let read = blobs.read(&key, range.clone()).await.unwrap();
        assert_eq!(read, expected.as_bytes(), "{range:?}");
    }
    blobs.put(&key, Vec::new(), false).await.unwrap();
    assert_eq!((blobs.size(&key).await.unwrap(), fixture.content(&key).await), (Some(0), vec![]));
}

/// Of those who put a blob only if it is absent, one succeeds.
pub async fn only_one_creates_a_blob(fixture: &Fixture) {
    let key = key("a/b");
    let mut tasks = Vec::new();
    for number in 0..16u8 {
        let (blobs, key) = (fixture.blobs.clone(), key.clone());
        tasks.push(tokio::spawn(async move {
            (number, blobs.put(&key, vec![number; 1000], true).await)
        }));
    }
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (number, Ok(())) => winners.push(number),
            (_, Err(BlobError::Exists { .. })) => {}
            (_, Err(error)) => panic!("{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(fixture.content(&key).await, vec![winners[0]; 1000]);
}

/// A blob that is being written is not there until it is finished, and never if it is given up.
pub async fn a_blob_appears_whole_or_not_at_all(fixture: &Fixture) {
    let blobs = &fixture.blobs;
    let key = key("big/one");
    // More than one part of whatever gathers them.
    let chunk: Vec<u8> = (0..=255u8).cycle().take(1 << 20).collect();
    let mut writer = blobs.writer(&key).await.unwrap();
    for _ in 0..20 {
        writer.write(&chunk).await.unwrap();
        assert_eq!(blobs.size(&key).await.unwrap(), None);
    }
    assert_eq!(writer.finish().await.unwrap(), 20 << 20);
    assert_eq!(fixture.content(&key).await, chunk.repeat(20));

    let mut second = blobs.writer(&key).await.unwrap();
    second.write(b"other").await.unwrap();
    second.abort().await;
    let mut third = blobs.writer(&key).await.unwrap();
    third.write(b"dropped").await.unwrap();
    drop(third);
    assert_eq!(blobs.size(&key).await.unwrap(), Some(20 << 20));
    let empty = blobs.writer(&key).await.unwrap();
    assert_eq!(empty.finish().await.unwrap(), 0);
    assert_eq!(blobs.size(&key).await.unwrap(), Some(0));
}

/// A listing has what is below a folder, in order, and nothing of what only begins alike.
pub async fn a_listing_has_what_is_below(fixture: &Fixture) {
    let blobs = &fixture.blobs;
    for text in ["a/2", "a/1", "a/b/3", "ab/4", "c"] {
        blobs.put(&key(text), text.as_bytes().to_vec(), false).await.unwrap();
    }
    let listed = blobs.list(&key("a")).await.unwrap();
    assert_eq!(listed, [(key("a/1"), 3), (key("a/2"), 3), (key("a/b/3"), 5)]);
    assert_eq!(blobs.list(&key("nowhere")).await.unwrap(), []);
}

/// What is deleted is gone; a repeat call succeeds.
pub async fn what_is_deleted_is_gone(fixture: &Fixture) {
    let blobs = &fixture.blobs;
    let key = key("a/b/c");
    blobs.put(&key, b"x".to_vec(), true).await.unwrap();
    blobs.delete(&key).await.unwrap();
    blobs.delete(&key).await.unwrap();
    assert_eq!(blobs.size(&key).await.unwrap(), None);
    blobs.put(&key, b"y".to_vec(), true).await.unwrap();
    assert_eq!(fixture.content(&key).await, b"y");
}
