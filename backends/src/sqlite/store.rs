use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Bound, Clock, Item, Key, Page, Query, StateStore, StoreError, Version, Write, check_key,
    check_query, check_writes,
};
use rusqlite::Connection;

use super::error::{Fault, OpenError, lost};
use super::open;
use super::read::ItemSize;
use super::workers::Workers;
use super::{read, write};

/// A [`StateStore`] in one SQLite file.
///
/// A call whose future is dropped still runs to its end. Dropping the store waits for the calls
/// that run, and closes the file.
pub struct SqliteStore {
    path: Arc<Path>,
    clock: Arc<dyn Clock>,
    readers: Workers,
    // After the readers, so that the last connection to close is the one that may write.
    writer: Workers,
}

impl SqliteStore {
    /// Opens the file at `path`, and creates it (mode 0600) where there is none; its directory
    /// must exist. Items expire by `clock`.
    ///
    /// A file that is refused is left as it was.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let connections = open::connect(path)?;
        let start = |name, connections| {
            Workers::start(name, connections).map_err(|source| OpenError::other(path, source))
        };
        Ok(Self {
            path: path.into(),
            clock,
            writer: start("sqlite-writer", vec![connections.writer])?,
            readers: start("sqlite-reader", connections.readers)?,
        })
    }

    /// Deletes expired items and counters and returns how many. Nothing depends on it but the
    /// size of the file.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let mut sum = 0;
        loop {
            let now = self.clock.now();
            let (deleted, done) =
                self.write(move |connection| write::sweep(connection, now)).await?;
            sum += deleted;
            if done {
                return Ok(sum);
            }
        }
    }

    /// How large the living items are whose partitions begin with `prefix`, those first that expire
    /// first.
    pub async fn sizes(&self, prefix: &str) -> Result<Vec<ItemSize>, StoreError> {
        let (prefix, clock) = (prefix.to_owned(), Arc::clone(&self.clock));
        self.read(move |connection| read::sizes(connection, &prefix, clock.now())).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers
            .run(move |connection| work(connection))
            .await
            .map_err(|reason| lost(reason, false))?
            .map_err(|fault| fault.into_store_error(&self.path))
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer
            .run(work)
            .await
            .map_err(|reason| lost(reason, true))?
            .map_err(|fault| fault.into_store_error(&self.path))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        check_key(key)?;
        let (key, clock) = (key.clone(), Arc::clone(&self.clock));
        self.read(move |connection| read::get(connection, &key, clock.now())).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        check_query(query)?;
        let after = match &query.cursor {
            Some(cursor) => Some(cursor.position(query)?),
            None => None,
        };
        let (query, clock) = (query.clone(), Arc::clone(&self.clock));
        self.read(move |connection| read::list(connection, &query, after, clock.now())).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        check_writes(writes)?;
        let writes = writes.iter().map(write::Prepared::new).collect::<Result<Vec<_>, _>>()?;
        let clock = Arc::clone(&self.clock);
        self.write(move |connection| write::commit(connection, writes, &*clock)).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        check_key(key)?;
        let (key, clock) = (key.clone(), Arc::clone(&self.clock));
        self.write(move |connection| {
            write::add(connection, &key, delta, bound, expires_at, &*clock)
        })
        .await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        check_key(key)?;
        let (key, clock) = (key.clone(), Arc::clone(&self.clock));
        self.read(move |connection| Ok(read::counter(connection, &key, clock.now())?.unwrap_or(0)))
            .await
    }
}
