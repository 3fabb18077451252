use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Bound, Clock as _, Cursor, Direction, Expect, Key, MAX_DEPTH, MAX_DOCUMENT_BYTES, Query,
    StateStore as _, StoreError, Table, Write,
};
use diogenes_core::testing::ManualClock;
use rusqlite::{Connection, ToSql};
use serde_json::{Value, json};

use super::super::read::{PAGE_BYTES, statement};
use super::super::{SqliteStore, open::connect};
use super::{directory, key, open, put};

#[tokio::test]
async fn sweep_deletes_what_has_expired_and_nothing_else() {
    let (_directory, path) = directory();
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(&path, clock.clone()).unwrap();
    let until = |sort: &str, expires_at| Write::Put {
        key: key(sort),
        document: json!(sort),
        index: None,
        expires_at,
        expect: Expect::Any,
    };
    let (soon, late) =
        (Some(clock.now() + Duration::from_nanos(5)), Some(clock.now() + Duration::from_nanos(6)));
    for hundred in 0..11 {
        let writes: Vec<_> =
            (0..100).map(|number| until(&format!("{hundred:02}{number:02}"), soon)).collect();
        store.commit(&writes).await.unwrap();
    }
    store.commit(&[until("late", late), until("never", None)]).await.unwrap();
    for (sort, end) in [("soon", soon), ("late", late), ("never", None)] {
        store.add(&key(sort), 1, Bound::None, end).await.unwrap();
    }
    assert_eq!(store.sweep().await.unwrap(), 0);
    clock.advance(Duration::from_nanos(5));
    assert_eq!(store.sweep().await.unwrap(), 1101);
    assert_eq!(store.sweep().await.unwrap(), 0);
    drop(store);
    let file = Connection::open(&path).unwrap();
    for table in ["items", "counters"] {
        let left: i64 =
            file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(left, 2, "{table}");
    }
}

#[tokio::test]
async fn sizes_are_those_of_living_items_with_the_prefix() {
    let (_directory, path) = directory();
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(&path, clock.clone()).unwrap();
    let write = |partition: &str, text: &str, seconds| Write::Put {
        key: Key::new(partition, "ANSWER"),
        document: json!(text),
        index: None,
        expires_at: Some(clock.now() + Duration::from_secs(seconds)),
        expect: Expect::Any,
    };
    let writes = [
        write("CACHE#late", "four", 60),
        write("CACHE#soon", "ä", 30),
        write("CACHE#gone", "x", 1),
        write("CACHE", "x", 60),
        write("CACHF#", "x", 60),
        write("CACHE$", "x", 60),
    ];
    store.commit(&writes).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let sizes = store.sizes("CACHE#").await.unwrap();
    let told: Vec<_> = sizes.iter().map(|size| (size.key.partition.as_str(), size.bytes)).collect();
    assert_eq!(told, [("CACHE#soon", 4), ("CACHE#late", 6)]);
    assert_eq!(sizes[0].expires_at, Some(clock.now() + Duration::from_secs(29)));
}

#[tokio::test]
async fn page_of_large_documents_ends_early() {
    let (_directory, path) = directory();
    let store = open(&path);
    let text = "x".repeat(MAX_DOCUMENT_BYTES - 2);
    for number in 0..40 {
        let write = put(&format!("{number:02}"), text.clone(), Expect::Any);
        store.commit(&[write]).await.unwrap();
    }
    let mut query = Query::new(Table::Main, "p", "");
    let mut pages = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        pages.push(page.items.len());
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(pages.iter().sum::<usize>(), 40);
    let most = PAGE_BYTES / MAX_DOCUMENT_BYTES + 1;
    assert!(pages.iter().all(|page| *page <= most), "{pages:?}");
}

#[tokio::test]
async fn document_that_could_not_be_read_back_is_refused() {
    let (_directory, path) = directory();
    let store = open(&path);
    let nested = |levels| {
        (0..levels).fold(Value::Null, |inner, level| match level % 2 {
            0 => json!([inner]),
            _ => json!({ "in": inner }),
        })
    };
    store.commit(&[put("a", nested(MAX_DEPTH), Expect::Any)]).await.unwrap();
    let item = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(item.document, nested(MAX_DEPTH));
    let deeper = put("a", nested(MAX_DEPTH + 1), Expect::Any);
    let refused = store.commit(&[deeper]).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
}

#[test]
fn every_listing_is_a_seek() {
    let (_directory, path) = directory();
    let file = connect(&path).unwrap().writer;
    for table in [Table::Main, Table::Index] {
        for direction in [Direction::Ascending, Direction::Descending] {
            for prefix in ["", "s"] {
                for continued in [false, true] {
                    let mut query = Query::new(table, "p", prefix);
                    query.direction = direction;
                    let after = continued
                        .then(|| Cursor::after(&query, "s1", &key("s1")).position(&query))
                        .transpose()
                        .unwrap();
                    let (sql, parameters) = statement(&query, after, Timestamp::UNIX_EPOCH);
                    let parameters: Vec<_> = parameters
                        .iter()
                        .map(|(name, value)| (*name, value as &dyn ToSql))
                        .collect();
                    let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                    let steps: Vec<String> = plan
                        .query_map(parameters.as_slice(), |row| row.get(3))
                        .unwrap()
                        .collect::<Result<_, _>>()
                        .unwrap();
                    let [step] = steps.as_slice() else {
                        panic!("{sql}: {steps:?}");
                    };
                    assert!(step.starts_with("SEARCH items USING INDEX"), "{step}");
                    // The bound that a page goes on from is part of the seek.
                    let bounds = usize::from(!prefix.is_empty()) + usize::from(continued);
                    assert!(bounds == 0 || step.contains(['>', '<']), "{sql}: {step}");
                }
            }
        }
    }
}

#[tokio::test]
async fn full_disk_is_said_and_writes_nothing() {
    let (_directory, path) = directory();
    let store = open(&path);
    store.commit(&[put("a", 1, Expect::Any)]).await.unwrap();
    let limit_pages = async |pages: i64| {
        store
            .write(move |file| {
                file.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
                Ok(())
            })
            .await
            .unwrap();
    };
    // SQLite reports its own limit like a full disk.
    limit_pages(20).await;
    let large = [put("a", 2, Expect::Any), put("b", "x".repeat(200_000), Expect::Any)];
    match store.commit(&large).await {
        Err(StoreError::Unavailable { reason, .. }) => {
            assert!(reason.contains("is full"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let item = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(item.document, json!(1));
    limit_pages(1_000_000).await;
    store.commit(&large).await.unwrap();
}

#[tokio::test]
async fn foreign_content_is_corrupt() {
    let (_directory, path) = directory();
    let store = open(&path);
    store.commit(&[put("a", 1, Expect::Any)]).await.unwrap();
    let other = Connection::open(&path).unwrap();
    for damage in [
        "UPDATE items SET document = '{'",
        "UPDATE items SET document = '1', expires_at = 1 << 60, expires_nanos = 0",
        "ALTER TABLE items RENAME TO things",
    ] {
        other.execute_batch(damage).unwrap();
        let read = store.get(&key("a")).await;
        assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{damage}: {read:?}");
    }
}

#[tokio::test]
async fn abandoned_commit_runs_to_its_end() {
    let (_directory, path) = directory();
    let store = open(&path);
    let writes = [put("a", 1, Expect::Any), put("b", 1, Expect::Any)];
    {
        let mut commit = std::pin::pin!(store.commit(&writes));
        // Polled once, then dropped.
        std::future::poll_fn(|context| {
            let _ = commit.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    // The writer takes its jobs in order, so the abandoned one has run before this one.
    store.commit(&[put("c", 1, Expect::Any)]).await.unwrap();
    let page = store.list(&Query::new(Table::Main, "p", "")).await.unwrap();
    let sorts: Vec<_> = page.items.into_iter().map(|item| item.key.sort).collect();
    assert_eq!(sorts, ["a", "b", "c"]);
}

#[tokio::test]
async fn versions_are_128_random_bits() {
    let (_directory, path) = directory();
    let store = open(&path);
    let writes: Vec<_> =
        (0..100).map(|number| put(&format!("{number}"), number, Expect::Any)).collect();
    for version in store.commit(&writes).await.unwrap() {
        let version = version.unwrap();
        assert_eq!(version.as_str().len(), 32);
        assert!(version.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
