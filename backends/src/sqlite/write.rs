use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Bound, BoundReached, Clock, Conflict, Expect, IndexKey, Key, StoreError, Version, Write,
};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::error::Fault;
use super::read;
use super::row::{StoredRow, columns, seconds_and_nanos};

/// How many rows a sweep deletes in one transaction, so that no commit waits long for it.
const SWEEP_BATCH: usize = 500;

/// A write that owns all it needs on the writer's thread.
#[derive(Debug)]
pub(super) struct Prepared {
    key: Key,
    expect: Expect,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Put(Put),
    Add(Addition),
    Delete,
    None,
}

#[derive(Debug)]
struct Put {
    version: Version,
    document: String,
    index: Option<IndexKey>,
    expires_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Addition {
    delta: i64,
    bound: Bound,
    expires_at: Option<Timestamp>,
}

impl Prepared {
    pub(super) fn new(write: &Write) -> Result<Self, StoreError> {
        let change = match write {
            Write::Check { .. } => Change::None,
            Write::Delete { .. } => Change::Delete,
            Write::Add { delta, bound, expires_at, .. } => {
                Change::Add(Addition { delta: *delta, bound: *bound, expires_at: *expires_at })
            }
            Write::Put { document, index, expires_at, .. } => Change::Put(Put {
                version: fresh_version()?,
                document: document.to_string(),
                index: index.clone(),
                expires_at: *expires_at,
            }),
        };
        Ok(Self { key: write.key().clone(), expect: write.expect().clone(), change })
    }

    fn version(self) -> Option<Version> {
        match self.change {
            Change::Put(put) => Some(put.version),
            Change::Add(_) | Change::Delete | Change::None => None,
        }
    }
}

/// Applies `writes` in one transaction that holds the write lock from its beginning.
pub(super) fn commit(
    connection: &mut Connection,
    writes: Vec<Prepared>,
    clock: &dyn Clock,
) -> Result<Vec<Option<Version>>, Fault> {
    let transaction = begin(connection)?;
    let now = clock.now();
    for (place, write) in writes.iter().enumerate() {
        check(&transaction, place, write, now)?;
        // At once, because it is its own check; a later failure rolls it back.
        if let Change::Add(addition) = &write.change {
            addition.apply(&transaction, place, &write.key, now)?;
        }
    }
    for write in &writes {
        apply(&transaction, write)?;
    }
    transaction.commit().map_err(Fault::Commit)?;
    Ok(writes.into_iter().map(Prepared::version).collect())
}

fn check(
    transaction: &Transaction<'_>,
    place: usize,
    write: &Prepared,
    now: Timestamp,
) -> Result<(), Fault> {
    let expected = match &write.expect {
        Expect::Any => return Ok(()),
        Expect::Absent => None,
        Expect::Version(version) => Some(version.as_str()),
    };
    let standing = read::standing(transaction, &write.key, now)?;
    if standing.as_ref().map(|row| row.version.as_str()) == expected {
        return Ok(());
    }
    let standing = standing.map(StoredRow::into_item).transpose()?;
    Err(StoreError::Conflict(Box::new(Conflict { write: place, key: write.key.clone(), standing }))
        .into())
}

fn apply(transaction: &Transaction<'_>, write: &Prepared) -> rusqlite::Result<()> {
    let Key { partition, sort } = &write.key;
    match &write.change {
        Change::Add(_) | Change::None => {}
        Change::Delete => {
            transaction
                .prepare_cached("DELETE FROM items WHERE partition = ?1 AND sort = ?2")?
                .execute(params![partition, sort])?;
        }
        Change::Put(put) => {
            let (expires_at, expires_nanos) = columns(put.expires_at);
            transaction
                .prepare_cached(
                    "INSERT INTO items (partition, sort, version, document, index_partition,
                                        index_sort, expires_at, expires_nanos)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                     ON CONFLICT (partition, sort) DO UPDATE SET
                        version = excluded.version,
                        document = excluded.document,
                        index_partition = excluded.index_partition,
                        index_sort = excluded.index_sort,
                        expires_at = excluded.expires_at,
                        expires_nanos = excluded.expires_nanos",
                )?
                .execute(params![
                    partition,
                    sort,
                    put.version.as_str(),
                    put.document,
                    put.index.as_ref().map(|index| &index.partition),
                    put.index.as_ref().map(|index| &index.sort),
                    expires_at,
                    expires_nanos,
                ])?;
        }
    }
    Ok(())
}

/// Adds to a counter and returns its new value.
pub(super) fn add(
    connection: &mut Connection,
    key: &Key,
    delta: i64,
    bound: Bound,
    expires_at: Option<Timestamp>,
    clock: &dyn Clock,
) -> Result<i64, Fault> {
    let transaction = begin(connection)?;
    let addition = Addition { delta, bound, expires_at };
    let value = addition.apply(&transaction, 0, key, clock.now())?;
    transaction.commit().map_err(Fault::Commit)?;
    Ok(value)
}

impl Addition {
    /// Refuses what is beyond the bound, and returns the new value.
    fn apply(
        &self,
        transaction: &Transaction<'_>,
        place: usize,
        key: &Key,
        now: Timestamp,
    ) -> Result<i64, Fault> {
        let standing = read::counter(transaction, key, now)?;
        let value = self.bound.add(standing.unwrap_or(0), self.delta).ok_or_else(|| {
            StoreError::Bound(Box::new(BoundReached {
                write: place,
                key: key.clone(),
                standing: standing.unwrap_or(0),
            }))
        })?;
        let Key { partition, sort } = key;
        if standing.is_some() {
            transaction
                .prepare_cached(
                    "UPDATE counters SET value = ?3 WHERE partition = ?1 AND sort = ?2",
                )?
                .execute(params![partition, sort, value])?;
        } else {
            let (expires_at, expires_nanos) = columns(self.expires_at);
            transaction
                .prepare_cached("INSERT OR REPLACE INTO counters VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![partition, sort, value, expires_at, expires_nanos])?;
        }
        Ok(value)
    }
}

/// Deletes one batch of expired items and counters; returns how many, and whether that was all.
pub(super) fn sweep(connection: &mut Connection, now: Timestamp) -> Result<(usize, bool), Fault> {
    let (second, nanos) = seconds_and_nanos(now);
    let transaction = begin(connection)?;
    let mut deleted = [0; 2];
    for (table, deleted) in ["items", "counters"].into_iter().zip(&mut deleted) {
        *deleted = transaction
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE (partition, sort) IN (
                    SELECT partition, sort FROM {table}
                    WHERE expires_at IS NOT NULL AND (expires_at, expires_nanos) <= (?1, ?2)
                    LIMIT {SWEEP_BATCH})"
            ))?
            .execute(params![second, nanos])?;
    }
    transaction.commit().map_err(Fault::Commit)?;
    let done = deleted.iter().all(|count| *count < SWEEP_BATCH);
    Ok((deleted.iter().sum(), done))
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn fresh_version() -> Result<Version, StoreError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|source| StoreError::Unavailable {
        reason: "the system gives no random bytes".into(),
        source: Some(source.into()),
    })?;
    Ok(Version::new(format!("{:032x}", u128::from_be_bytes(id))))
}
