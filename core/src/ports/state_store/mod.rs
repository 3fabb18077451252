mod checks;
mod query;

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

pub use checks::{check_key, check_query, check_writes, document_bytes};
pub use query::{Cursor, Direction, Page, Query, Table};

/// The largest document, in bytes of its compact JSON. DynamoDB's item limit is 400 KB; this
/// leaves room for keys and attributes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// The most writes of one commit, DynamoDB's limit for a transaction.
pub const MAX_WRITES: usize = 100;
/// The longest partition or sort key in bytes; DynamoDB's sort-key limit.
pub const MAX_KEY_BYTES: usize = 1024;
/// The most items of one page.
pub const MAX_PAGE: usize = 1000;

/// How deep a document may nest: what `serde_json` reads back. A deeper one could be written
/// and never read again.
pub const MAX_DEPTH: usize = 127;

/// A strongly consistent document store with conditional writes.
///
/// Expired items count as absent in every read and every expectation, whatever the backend's
/// sweeper has or has not removed. An expiry is kept to the nanosecond.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// The item that stands at `key`, with every commit that had returned before the call.
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError>;

    /// One page of a partition, in order of the sort key (bytewise).
    ///
    /// Strongly consistent on [`Table::Main`]. [`Table::Index`] may lag behind and carries whole
    /// items; whoever decides on one re-reads it by key. A page may be shorter than the limit,
    /// even empty: only a missing cursor ends the listing.
    async fn list(&self, query: &Query) -> Result<Page, StoreError>;

    /// Applies 1 to [`MAX_WRITES`] writes on distinct keys, all or none, each under its
    /// expectation. Returns the new version per put, and `None` for every other write.
    ///
    /// The first write that may not happen fails the whole commit: with
    /// [`StoreError::Conflict`] if its expectation does not hold, with [`StoreError::Bound`] if
    /// it is an addition beyond its bound. Repeats inside the store (a lost answer, a transaction
    /// conflict) are never seen as conflicts with oneself, and add nothing twice.
    ///
    /// An item and a counter at the same key are distinct. The new value of a counter is not
    /// returned, because a transaction of DynamoDB does not tell it: a single [`add`](Self::add)
    /// or [`count`](Self::count) does. A commit of a single addition is an `add`.
    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError>;

    /// Adds `delta` to a counter, atomically, and returns its new value; an absent counter
    /// starts at zero and gets `expires_at`. Beyond `bound`, or beyond what an `i64` holds,
    /// nothing changes: [`StoreError::Bound`].
    ///
    /// Counters live in a key space of their own: `get`, `list` and the writes of items neither
    /// see nor touch them. There is no retry inside; after [`StoreError::Unknown`] the delta may
    /// or may not have been added.
    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError>;

    /// The value of a counter, with every addition that had returned before the call; zero where
    /// there is none, or an expired one.
    async fn count(&self, key: &Key) -> Result<i64, StoreError>;
}

/// Where an item stands. Both parts are 1 to [`MAX_KEY_BYTES`] bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Groups the items that are listed together.
    pub partition: String,
    /// Orders them, bytewise.
    pub sort: String,
}

impl Key {
    /// A key of its two parts.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

/// A second key under which [`Table::Index`] lists an item. Not unique.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexKey {
    /// Groups the items that are listed together.
    pub partition: String,
    /// Orders them, bytewise.
    pub sort: String,
}

/// An opaque id of one write: compared for equality only, never reused, not even after a delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// The version with this id; for stores only.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id; for stores only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A document with its key, version, index key and expiry.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it stands.
    pub key: Key,
    /// The write that put it there.
    pub version: Version,
    pub document: Value,
    /// Where the index lists it.
    pub index: Option<IndexKey>,
    /// From this time on it is absent.
    pub expires_at: Option<Timestamp>,
}

/// What must stand at a key for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No item, or an expired one.
    Absent,
    /// The item with this version.
    Version(Version),
    /// Whatever stands there.
    Any,
}

/// One write of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Replaces whatever stands at the key.
    Put {
        key: Key,
        /// The whole new document.
        document: Value,
        /// Where the index lists it.
        index: Option<IndexKey>,
        /// From this time on it is absent.
        expires_at: Option<Timestamp>,
        expect: Expect,
    },
    /// Removes the item; with [`Expect::Any`] also when there is none.
    Delete { key: Key, expect: Expect },
    /// Changes nothing; the commit happens only if the condition holds.
    Check { key: Key, expect: Expect },
    /// Adds to a counter, as [`StateStore::add`] does; the commit happens only if the new value
    /// is within the bound.
    Add {
        key: Key,
        /// What is added; negative to subtract.
        delta: i64,
        /// Where the new value must be.
        bound: Bound,
        /// The expiry of a counter that is absent or has expired; one that stands keeps its own.
        expires_at: Option<Timestamp>,
    },
}

impl Write {
    /// The key it writes or checks.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. }
            | Self::Delete { key, .. }
            | Self::Check { key, .. }
            | Self::Add { key, .. } => key,
        }
    }

    /// Its condition; an addition has none but its bound.
    pub fn expect(&self) -> &Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } | Self::Check { expect, .. } => {
                expect
            }
            Self::Add { .. } => &Expect::Any,
        }
    }
}

/// How far a counter may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Anywhere.
    None,
    /// The new value is at most this.
    AtMost(i64),
    /// The new value is at least this.
    AtLeast(i64),
}

impl Bound {
    /// Whether a counter may take `value`.
    pub fn allows(self, value: i64) -> bool {
        match self {
            Self::None => true,
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    /// `standing + delta`, where that is within the bound and within an `i64`.
    pub fn add(self, standing: i64, delta: i64) -> Option<i64> {
        standing.checked_add(delta).filter(|value| self.allows(*value))
    }
}

/// A failed expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The place of the failed write in the commit.
    pub write: usize,
    pub key: Key,
    /// What stands there, so that the loser needs no second read.
    pub standing: Option<Item>,
}

/// An addition that its bound, or the range of an `i64`, refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundReached {
    /// The place of the addition in the commit; zero for [`StateStore::add`].
    pub write: usize,
    pub key: Key,
    /// Its value, which is unchanged; zero where it is absent.
    pub standing: i64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An expectation did not hold; nothing was written.
    #[error("`{}` was changed by somebody else in the meantime", .0.key)]
    Conflict(Box<Conflict>),
    /// A counter would pass its bound; nothing was added or written.
    #[error("the counter `{}` is at {} and would pass its bound", .0.key, .0.standing)]
    Bound(Box<BoundReached>),
    /// The document is above [`MAX_DOCUMENT_BYTES`]; nothing was written.
    #[error("the document at `{key}` has {bytes} bytes; the limit is {MAX_DOCUMENT_BYTES}")]
    TooLarge {
        /// Where it was to be put.
        key: Key,
        bytes: usize,
    },
    /// The call breaks a rule of the port; nothing was written.
    #[error("{reason}")]
    Invalid { reason: String },
    /// The cursor is broken or belongs to another query.
    #[error("the cursor does not belong to this listing; start again without one")]
    InvalidCursor,
    /// What stands in the store cannot be read: a damaged file, a foreign schema.
    #[error("the store is damaged: {reason}")]
    Corrupt {
        /// What was found where.
        reason: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Nothing was written or read; the same call may succeed later.
    #[error("the store did not answer: {reason}")]
    Unavailable {
        reason: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The answer was lost: the write may have happened or not.
    #[error("the store's answer was lost: {reason}")]
    Unknown {
        reason: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl StoreError {
    /// Whether the write may have happened all the same: what it refers to must stay.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}
