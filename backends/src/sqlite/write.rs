use diogenes_core::Timestamp;
use diogenes_core::ports::{
    Bound, Clock, Conflict, Expect, IndexKey, Key, StoreError, Version, Write,
};
use rusqlite::{
    Connection, OptionalExtension as _, Transaction, TransactionBehavior, named_params, params,
};

use super::error::Fault;
use super::read;
use super::row::{LIVES, StoredRow, columns, seconds_and_nanos};

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

impl Prepared {
    pub(super) fn new(write: &Write) -> Result<Self, StoreError> {
        let change = match write {
            Write::Check { .. } => Change::None,
            Write::Delete { .. } => Change::Delete,
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
            Change::Delete | Change::None => None,
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
        Change::None => {}
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
    let (second, nanos) = seconds_and_nanos(clock.now());
    let standing: Option<i64> = transaction
        .prepare_cached(&format!(
            "SELECT value FROM counters
             WHERE partition = :partition AND sort = :sort AND {LIVES}"
        ))?
        .query_row(
            named_params! {
                ":partition": key.partition,
                ":sort": key.sort,
                ":second": second,
                ":nanos": nanos,
            },
            |row| row.get(0),
        )
        .optional()?;
    let value = standing
        .unwrap_or(0)
        .checked_add(delta)
        .filter(|value| bound.allows(*value))
        .ok_or(StoreError::Bound)?;
    if standing.is_some() {
        transaction
            .prepare_cached("UPDATE counters SET value = ?3 WHERE partition = ?1 AND sort = ?2")?
            .execute(params![key.partition, key.sort, value])?;
    } else {
        let (expires_at, expires_nanos) = columns(expires_at);
        transaction
            .prepare_cached("INSERT OR REPLACE INTO counters VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![key.partition, key.sort, value, expires_at, expires_nanos])?;
    }
    transaction.commit().map_err(Fault::Commit)?;
    Ok(value)
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
