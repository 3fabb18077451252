//! Short forms for the checks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Bound, Clock as _, Conflict, Expect, IndexKey, Item, Key, Page, Query, StateStore, StoreError,
    Table, Version, Write,
};
use serde_json::Value;

use super::Fixture;

/// How long an index may lag behind its table.
const INDEX_LAG: Duration = Duration::from_secs(20);

/// More pages than any check lists; a listing that goes round in circles ends here.
const MOST_PAGES: usize = 10_000;

pub(super) fn key(partition: &str, sort: &str) -> Key {
    Key::new(partition, sort)
}

pub(super) fn put(key: &Key, document: impl Into<Value>, expect: Expect) -> Write {
    Write::Put {
        key: key.clone(),
        document: document.into(),
        index: None,
        expires_at: None,
        expect,
    }
}

pub(super) fn put_indexed(key: &Key, document: impl Into<Value>, index: (&str, &str)) -> Write {
    Write::Put {
        key: key.clone(),
        document: document.into(),
        index: Some(IndexKey { partition: index.0.into(), sort: index.1.into() }),
        expires_at: None,
        expect: Expect::Any,
    }
}

pub(super) fn put_until(
    key: &Key,
    document: impl Into<Value>,
    expires_at: Timestamp,
    expect: Expect,
) -> Write {
    Write::Put {
        key: key.clone(),
        document: document.into(),
        index: None,
        expires_at: Some(expires_at),
        expect,
    }
}

pub(super) fn delete(key: &Key, expect: Expect) -> Write {
    Write::Delete { key: key.clone(), expect }
}

pub(super) fn check(key: &Key, expect: Expect) -> Write {
    Write::Check { key: key.clone(), expect }
}

impl Fixture {
    pub(super) fn shared(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store)
    }

    pub(super) fn in_seconds(&self, seconds: u64) -> Timestamp {
        self.clock.now() + Duration::from_secs(seconds)
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) async fn get(&self, key: &Key) -> Option<Item> {
        self.store.get(key).await.unwrap()
    }

    pub(super) async fn document(&self, key: &Key) -> Option<Value> {
        self.get(key).await.map(|item| item.document)
    }

    pub(super) async fn commit(&self, writes: &[Write]) -> Vec<Option<Version>> {
        self.store.commit(writes).await.unwrap()
    }

    /// Puts one item whatever stands there.
    pub(super) async fn put(&self, key: &Key, document: impl Into<Value>) -> Version {
        self.write(put(key, document, Expect::Any)).await
    }

    /// Applies one put.
    pub(super) async fn write(&self, write: Write) -> Version {
        self.commit(&[write]).await.remove(0).unwrap()
    }

    pub(super) async fn conflict(&self, writes: &[Write]) -> Conflict {
        match self.store.commit(writes).await {
            Err(StoreError::Conflict(conflict)) => *conflict,
            other => panic!("expected a conflict, got {other:?}"),
        }
    }

    pub(super) async fn invalid(&self, writes: &[Write]) {
        match self.store.commit(writes).await {
            Err(StoreError::Invalid { .. }) => {}
            other => panic!("expected a broken rule, got {other:?}"),
        }
    }

    pub(super) async fn add(&self, key: &Key, delta: i64) -> i64 {
        self.store.add(key, delta, Bound::None, None).await.unwrap()
    }

    pub(super) async fn page(&self, query: &Query) -> Page {
        let page = self.store.list(query).await.unwrap();
        assert!(page.items.len() <= query.limit, "more items than the limit");
        page
    }

    /// Every item that `query` lists, page by page.
    pub(super) async fn all(&self, query: &Query) -> Vec<Item> {
        let mut query = query.clone();
        let mut items = Vec::new();
        for _ in 0..MOST_PAGES {
            let page = self.page(&query).await;
            items.extend(page.items);
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return items,
            }
        }
        panic!("the listing of `{}` does not end", query.partition);
    }

    /// The sort keys of a partition of the table.
    pub(super) async fn sorts(&self, query: &Query) -> Vec<String> {
        let items = self.all(query).await;
        items.into_iter().map(|item| item.key.sort).collect()
    }

    /// Waits until the index lists the items with these sort keys, in this order.
    pub(super) async fn index_shows(&self, query: &Query, sorts: &[&str]) {
        self.index_becomes(query, |seen| seen == sorts, &format!("{sorts:?}")).await;
    }

    /// Waits until the index lists this many items.
    pub(super) async fn index_holds(&self, query: &Query, count: usize) {
        self.index_becomes(query, |seen| seen.len() == count, &format!("{count} items")).await;
    }

    async fn index_becomes(
        &self,
        query: &Query,
        expected: impl Fn(&[String]) -> bool,
        wanted: &str,
    ) {
        assert_eq!(query.table, Table::Index);
        let deadline = Instant::now() + INDEX_LAG;
        loop {
            let seen = self.sorts(query).await;
            if expected(&seen) {
                return;
            }
            assert!(Instant::now() < deadline, "the index shows {seen:?} instead of {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(super) fn listing(partition: &str, prefix: &str) -> Query {
    Query::new(Table::Main, partition, prefix)
}

pub(super) fn index_listing(partition: &str, prefix: &str) -> Query {
    Query::new(Table::Index, partition, prefix)
}

/// Runs `tasks` copies of a future at once and returns what they return.
pub(crate) async fn race<T, F>(tasks: usize, run: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(tasks));
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let (start, job) = (Arc::clone(&start), run(task));
        running.spawn(async move {
            start.wait().await;
            job.await
        });
    }
    running.join_all().await
}
