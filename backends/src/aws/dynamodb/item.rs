use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use diogenes_core::Timestamp;
use diogenes_core::ports::{IndexKey, Item, Key, StoreError, Version};

/// An item or a key as the SDK has it.
pub(super) type Attributes = HashMap<String, AttributeValue>;

pub(super) const PARTITION: &str = "pk";
pub(super) const SORT: &str = "sk";
pub(super) const INDEX: &str = "index";
pub(super) const INDEX_PARTITION: &str = "ipk";
pub(super) const INDEX_SORT: &str = "isk";
/// The id of the write.
pub(super) const VERSION: &str = "version";
/// The document as JSON text: a number of DynamoDB has 38 digits, and a map 32 levels.
pub(super) const DOCUMENT: &str = "document";
/// From when on the item is absent, in nanoseconds since 1970.
pub(super) const EXPIRES: &str = "expires";
/// When DynamoDB may delete it, in seconds since 1970.
pub(super) const TTL: &str = "ttl";
/// The value of a counter.
pub(super) const VALUE: &str = "value";

const COUNTERS: &str = "COUNTER#";
const ITEMS: &str = "ITEM#";

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn number(number: impl fmt::Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The partition of the table in which the items of `partition` stand.
pub(super) fn item_partition(partition: &str) -> String {
    if [COUNTERS, ITEMS].iter().any(|space| partition.starts_with(space)) {
        format!("{ITEMS}{partition}")
    } else {
        partition.to_owned()
    }
}

/// The partition of the table in which the counters of `partition` stand.
pub(super) fn counter_partition(partition: &str) -> String {
    format!("{COUNTERS}{partition}")
}

/// The key of an item in the table.
pub(super) fn item_key(key: &Key) -> Attributes {
    table_key(item_partition(&key.partition), &key.sort)
}

pub(super) fn table_key(partition: String, sort: &str) -> Attributes {
    HashMap::from([(PARTITION.to_owned(), text(partition)), (SORT.to_owned(), text(sort))])
}

/// The exact expiry, as conditions compare it.
pub(super) fn nanoseconds(time: Timestamp) -> AttributeValue {
    number(time.as_nanosecond())
}

/// When DynamoDB may delete what expires at `time`: never before it. What expired years ago it
/// would never delete, so that counts as expired `now`.
pub(super) fn ttl(time: Timestamp, now: Timestamp) -> AttributeValue {
    let time = time.max(now);
    number(time.as_second().saturating_add(i64::from(time.subsec_nanosecond() > 0)))
}

/// What is read of an item before it is known to be alive.
#[derive(Debug)]
pub(super) struct StoredItem {
    pub(super) key: Key,
    pub(super) version: Version,
    document: String,
    index: Option<IndexKey>,
    expires_at: Option<Timestamp>,
}

impl StoredItem {
    /// Reads what stands in `table`; what was not written by a store of ours is
    /// [`StoreError::Corrupt`].
    pub(super) fn read(attributes: Attributes, table: &str) -> Result<Self, StoreError> {
        let mut reader = Reader { attributes, table };
        let index = match (reader.optional(INDEX_PARTITION)?, reader.optional(INDEX_SORT)?) {
            (Some(partition), Some(sort)) => Some(IndexKey { partition, sort }),
            _ => None,
        };
        let expires_at = expiry(&reader.attributes).map_err(|what| reader.corrupt(&what))?;
        let version = Version::new(reader.needed(VERSION)?);
        let document = reader.needed(DOCUMENT)?;
        Ok(Self { key: reader.key()?, version, document, index, expires_at })
    }

    /// The size of the document.
    pub(super) fn bytes(&self) -> usize {
        self.document.len()
    }

    pub(super) fn lives(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }

    pub(super) fn into_item(self, table: &str) -> Result<Item, StoreError> {
        let document =
            serde_json::from_str(&self.document).map_err(|source| StoreError::Corrupt {
                reason: format!("the document at `{}` in table `{table}` is not JSON", self.key),
                source: Some(source.into()),
            })?;
        Ok(Item {
            key: self.key,
            version: self.version,
            document,
            index: self.index,
            expires_at: self.expires_at,
        })
    }
}

/// The key among `attributes`.
pub(super) fn read_key(attributes: Attributes, table: &str) -> Result<Key, StoreError> {
    Reader { attributes, table }.key()
}

/// The exact expiry among `attributes`, or what is wrong with it.
pub(super) fn expiry(attributes: &Attributes) -> Result<Option<Timestamp>, String> {
    let Some(value) = attributes.get(EXPIRES) else {
        return Ok(None);
    };
    value
        .as_n()
        .ok()
        .and_then(|number| number.parse().ok())
        .and_then(|nanoseconds| Timestamp::from_nanosecond(nanoseconds).ok())
        .map(Some)
        .ok_or_else(|| format!("its attribute `{EXPIRES}` is not a time"))
}

struct Reader<'a> {
    attributes: Attributes,
    table: &'a str,
}

impl Reader<'_> {
    fn optional(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        match self.attributes.remove(name) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(_) => Err(self.corrupt(&format!("its attribute `{name}` is not a string"))),
        }
    }

    fn needed(&mut self, name: &str) -> Result<String, StoreError> {
        self.optional(name)?.ok_or_else(|| self.corrupt(&format!("it has no attribute `{name}`")))
    }

    fn key(&mut self) -> Result<Key, StoreError> {
        let partition = self.needed(PARTITION)?;
        let partition = partition.strip_prefix(ITEMS).unwrap_or(&partition);
        Ok(Key::new(partition, self.needed(SORT)?))
    }

    fn corrupt(&self, what: &str) -> StoreError {
        foreign(&self.attributes, self.table, what)
    }
}

/// The error for an item that no store of ours wrote.
pub(super) fn foreign(attributes: &Attributes, table: &str, what: &str) -> StoreError {
    let part =
        |name| attributes.get(name).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
    StoreError::Corrupt {
        reason: format!(
            "what stands at `{}/{}` in table `{table}` was not written by Diogenes: {what}; \
             delete it, or use another table",
            part(PARTITION),
            part(SORT)
        ),
        source: None,
    }
}
