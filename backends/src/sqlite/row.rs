use diogenes_core::Timestamp;
use diogenes_core::ports::{IndexKey, Item, Key, StoreError, Version};
use rusqlite::Row;

/// The columns that [`StoredRow::read`] takes, in its order.
pub(super) const COLUMNS: &str = "partition, sort, version, document, index_partition, \
                                  index_sort, expires_at, expires_nanos";

/// Holds for rows that live at the time in the parameters `:second` and `:nanos`.
pub(super) const LIVES: &str =
    "(expires_at IS NULL OR (expires_at, expires_nanos) > (:second, :nanos))";

/// A row of `items`, its document not parsed yet.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) key: Key,
    pub(super) version: String,
    pub(super) document: String,
    pub(super) index: Option<IndexKey>,
    pub(super) expires_at: Option<Timestamp>,
}

impl StoredRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let index = match (row.get(4)?, row.get(5)?) {
            (Some(partition), Some(sort)) => Some(IndexKey { partition, sort }),
            _ => None,
        };
        Ok(Self {
            key: Key::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
            version: row.get(2)?,
            document: row.get(3)?,
            index,
            expires_at: expiry(row, 6)?,
        })
    }

    pub(super) fn into_item(self) -> Result<Item, StoreError> {
        let document =
            serde_json::from_str(&self.document).map_err(|source| StoreError::Corrupt {
                reason: format!("the document at `{}` is not JSON", self.key),
                source: Some(source.into()),
            })?;
        Ok(Item {
            key: self.key,
            version: Version::new(self.version),
            document,
            index: self.index,
            expires_at: self.expires_at,
        })
    }
}

/// Reads a time from the column at `at` and the one after it.
pub(super) fn expiry(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Timestamp>> {
    let (second, nanos): (Option<i64>, Option<i32>) = (row.get(at)?, row.get(at + 1)?);
    let (Some(second), Some(nanos)) = (second, nanos) else {
        return Ok(None);
    };
    Timestamp::new(second, nanos).map(Some).map_err(|source| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Integer, source.into())
    })
}

/// A time as two columns that order like it: a 64-bit count of nanoseconds ends in 2262.
pub(super) fn seconds_and_nanos(time: Timestamp) -> (i64, i32) {
    (time.as_second(), time.subsec_nanosecond())
}

/// The same for an optional time.
pub(super) fn columns(time: Option<Timestamp>) -> (Option<i64>, Option<i32>) {
    time.map(seconds_and_nanos).unzip()
}
