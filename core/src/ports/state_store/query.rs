use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Item, Key, MAX_PAGE, StoreError};
use crate::hex;

/// Which of the two orders to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// By [`Key`].
    Main,
    /// By [`IndexKey`](super::IndexKey).
    Index,
}

/// The order of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Smallest sort key first.
    #[default]
    Ascending,
    /// Largest sort key first.
    Descending,
}

/// A listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The order to list.
    pub table: Table,
    /// The partition to list.
    pub partition: String,
    /// Only sort keys that begin with this; empty for all.
    pub sort_prefix: String,
    /// The order.
    pub direction: Direction,
    /// The most items of the page, 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page before it ended.
    pub cursor: Option<Cursor>,
}

impl Query {
    /// All of a partition whose sort keys begin with `sort_prefix`, ascending.
    pub fn new(table: Table, partition: impl Into<String>, sort_prefix: impl Into<String>) -> Self {
        Self {
            table,
            partition: partition.into(),
            sort_prefix: sort_prefix.into(),
            direction: Direction::Ascending,
            limit: MAX_PAGE,
            cursor: None,
        }
    }

    /// What a cursor of this query carries so that it fits no other.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            match self.table {
                Table::Main => "main",
                Table::Index => "index",
            },
            match self.direction {
                Direction::Ascending => "up",
                Direction::Descending => "down",
            },
            &self.partition,
            &self.sort_prefix,
        ] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hex(hash.finalize().get(..8).unwrap_or_default())
    }
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The items, in the query's order.
    pub items: Vec<Item>,
    /// Where the next page starts; absent on the last one.
    pub next: Option<Cursor>,
}

/// A place in a listing. It belongs to its query; with another it is
/// [`StoreError::InvalidCursor`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor that goes on after the item at `key` (listed under `sort`) in `query`.
    pub fn after(query: &Query, sort: &str, key: &Key) -> Self {
        let position =
            serde_json::json!([query.fingerprint(), sort, key.partition, key.sort]).to_string();
        Self(hex(position.as_bytes()))
    }

    /// The cursor that a caller handed back; [`Cursor::position`] checks it.
    pub fn from_caller(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to hand to a caller.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sort key and the item's key after which `query` goes on.
    pub fn position(&self, query: &Query) -> Result<(String, Key), StoreError> {
        let bytes = (0..self.0.len())
            .step_by(2)
            .map(|at| self.0.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect::<Option<Vec<u8>>>()
            .ok_or(StoreError::InvalidCursor)?;
        let (fingerprint, sort, partition, key_sort): (String, String, String, String) =
            serde_json::from_slice(&bytes).map_err(|_| StoreError::InvalidCursor)?;
        if fingerprint != query.fingerprint() {
            return Err(StoreError::InvalidCursor);
        }
        Ok((sort, Key::new(partition, key_sort)))
    }
}
