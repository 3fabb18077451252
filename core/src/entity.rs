//! Typed records above the [`StateStore`]: domain code never builds a raw key.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Timestamp;
use crate::ports::{
    Cursor, Expect, IndexKey, Item, Key, Query, StateStore, StoreError, Version, Write,
};

/// A record type with a place of its own in the store.
pub trait Entity: Serialize + DeserializeOwned + Send + Sync {
    /// The name of the record type in messages.
    const KIND: &'static str;

    /// Where this record stands.
    fn key(&self) -> Key;

    /// Where the index lists it.
    fn index(&self) -> Option<IndexKey> {
        None
    }

    /// From when on it is absent.
    fn expires_at(&self) -> Option<Timestamp> {
        None
    }

    /// The write that puts this record under an expectation.
    fn put(&self, expect: Expect) -> Result<Write, StoreError> {
        let document = serde_json::to_value(self).map_err(|source| StoreError::Invalid {
            reason: format!("this {} cannot be written as JSON: {source}", Self::KIND),
        })?;
        Ok(Write::Put {
            key: self.key(),
            document,
            index: self.index(),
            expires_at: self.expires_at(),
            expect,
        })
    }
}

/// A record with the version that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    pub value: T,
    /// The write that put it there.
    pub version: Version,
}

impl<T: Entity> Stored<T> {
    /// Reads the record out of an item.
    pub fn from_item(item: Item) -> Result<Self, StoreError> {
        let value =
            serde_json::from_value(item.document).map_err(|source| StoreError::Corrupt {
                reason: format!("`{}` is not a {}", item.key, T::KIND),
                source: Some(source.into()),
            })?;
        Ok(Self { value, version: item.version })
    }

    /// The expectation that this very version still stands.
    pub fn unchanged(&self) -> Expect {
        Expect::Version(self.version.clone())
    }
}

/// How many records are read at once where only some are wanted: they may be large.
const AT_ONCE: usize = 200;

/// Typed reads and writes over any [`StateStore`].
#[async_trait]
pub trait StoreExt: StateStore {
    /// The record at `key`.
    async fn load<T: Entity>(&self, key: &Key) -> Result<Option<Stored<T>>, StoreError> {
        self.get(key).await?.map(Stored::from_item).transpose()
    }

    /// Every record that `query` lists, over all its pages.
    async fn load_all<T: Entity>(&self, mut query: Query) -> Result<Vec<Stored<T>>, StoreError> {
        let mut records = Vec::new();
        loop {
            let page = self.list(&query).await?;
            for item in page.items {
                records.push(Stored::from_item(item)?);
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(records),
            }
        }
    }

    /// One page of records and the cursor of the next.
    async fn load_page<T: Entity>(
        &self,
        query: &Query,
    ) -> Result<(Vec<Stored<T>>, Option<Cursor>), StoreError> {
        let page = self.list(query).await?;
        let records = page.items.into_iter().map(Stored::from_item).collect::<Result<_, _>>()?;
        Ok((records, page.next))
    }

    /// Of a listing in the order of the keys at most `limit` records that `is_wanted`, out of at most about `most_reads`, and the
    /// cursor of the rest. A page may be short, even empty; only a missing cursor ends the listing.
    async fn load_wanted<T: Entity>(
        &self,
        mut query: Query,
        limit: usize,
        most_reads: usize,
        is_wanted: impl for<'a> Fn(&'a T) -> bool + Send,
    ) -> Result<(Vec<T>, Option<Cursor>), StoreError> {
        let (mut wanted, mut reads) = (Vec::new(), 0);
        query.limit = AT_ONCE;
        loop {
            let (page, next) = self.load_page::<T>(&query).await?;
            reads += page.len();
            let mut page = page.into_iter().map(|stored| stored.value).peekable();
            while let Some(record) = page.next() {
                let key = record.key();
                if is_wanted(&record) {
                    wanted.push(record);
                }
                if wanted.len() >= limit && page.peek().is_some() {
                    let rest = Cursor::after(&query, &key.sort, &key);
                    return Ok((wanted, Some(rest)));
                }
            }
            if next.is_none() || wanted.len() >= limit || reads >= most_reads {
                return Ok((wanted, next));
            }
            query.cursor = next;
        }
    }

    /// Puts one record and returns it with its new version.
    async fn save<T: Entity>(&self, value: T, expect: Expect) -> Result<Stored<T>, StoreError> {
        let versions = self.commit(&[value.put(expect)?]).await?;
        match versions.into_iter().next().flatten() {
            Some(version) => Ok(Stored { value, version }),
            None => Err(StoreError::Invalid {
                reason: "the store returned no version for a put".into(),
            }),
        }
    }

    /// Whether the writes were made; not, where somebody else was faster.
    async fn committed(&self, writes: &[Write]) -> Result<bool, StoreError> {
        match self.commit(writes).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes one record.
    async fn remove(&self, key: Key, expect: Expect) -> Result<(), StoreError> {
        self.commit(&[Write::Delete { key, expect }]).await.map(|_| ())
    }
}

impl<S: StateStore + ?Sized> StoreExt for S {}
