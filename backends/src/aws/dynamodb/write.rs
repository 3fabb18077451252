use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use diogenes_core::Timestamp;
use diogenes_core::ports::{Conflict, Expect, Key, StateStore as _, StoreError, Version, Write};

use super::call::Call;
use super::condition::Condition;
use super::counter::Addition;
use super::fault::Kind;
use super::item::{
    Attributes, DOCUMENT, EXPIRES, INDEX_PARTITION, INDEX_SORT, StoredItem, TTL, VERSION,
    counter_partition, item_key, item_partition, nanoseconds, text, ttl,
};
use super::patience::{self, Failure};
use super::store::DynamoStore;

/// A write with all that its attempts share: a repeat of it is the same request.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    /// The place of the write in its commit.
    pub(super) place: usize,
    pub(super) write: &'a Write,
    pub(super) condition: Condition,
    /// The id of a put.
    pub(super) version: Option<Version>,
    pub(super) now: Timestamp,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(place: usize, write: &'a Write, now: Timestamp) -> Result<Self, StoreError> {
        let version = match write {
            Write::Put { .. } => Some(Version::new(fresh_id()?)),
            Write::Delete { .. } | Write::Check { .. } | Write::Add { .. } => None,
        };
        let condition = Condition::new(write.expect(), now);
        Ok(Self { place, write, condition, version, now })
    }

    /// Whether there is anything for DynamoDB to do or to check.
    pub(super) fn asks_something(&self) -> bool {
        !matches!(self.write, Write::Check { expect: Expect::Any, .. })
    }

    /// The addition, if it is one.
    pub(super) fn addition(&self) -> Option<Addition<'a>> {
        match *self.write {
            Write::Add { ref key, delta, bound, expires_at } => {
                Some(Addition { place: self.place, key, delta, bound, expires_at, now: self.now })
            }
            Write::Put { .. } | Write::Delete { .. } | Write::Check { .. } => None,
        }
    }

    /// The partition of the table that it touches.
    pub(super) fn partition(&self) -> String {
        let partition = &self.write.key().partition;
        match self.write {
            Write::Add { .. } => counter_partition(partition),
            Write::Put { .. } | Write::Delete { .. } | Write::Check { .. } => {
                item_partition(partition)
            }
        }
    }

    /// The key of the item that it touches.
    pub(super) fn key(&self) -> Attributes {
        item_key(self.write.key())
    }

    /// The item that a put writes.
    pub(super) fn attributes(&self) -> Attributes {
        let mut attributes = self.key();
        let (Write::Put { document, index, expires_at, .. }, Some(version)) =
            (self.write, &self.version)
        else {
            return attributes;
        };
        let mut set = |name: &str, value| attributes.insert(name.to_owned(), value);
        set(VERSION, text(version.as_str()));
        set(DOCUMENT, text(document.to_string()));
        if let Some(index) = index {
            set(INDEX_PARTITION, text(&index.partition));
            set(INDEX_SORT, text(&index.sort));
        }
        if let Some(end) = expires_at {
            set(EXPIRES, nanoseconds(*end));
            set(TTL, ttl(*end, self.now));
        }
        attributes
    }

    /// The IAM action of the write.
    pub(super) fn action(&self) -> &'static str {
        match self.write {
            Write::Put { .. } => "dynamodb:PutItem",
            Write::Delete { .. } => "dynamodb:DeleteItem",
            Write::Check { .. } => "dynamodb:ConditionCheckItem",
            Write::Add { .. } => "dynamodb:UpdateItem",
        }
    }

    /// Whether `standing` is what this very write put there.
    pub(super) fn is_done(&self, standing: Option<&StoredItem>) -> bool {
        standing.is_some_and(|standing| Some(&standing.version) == self.version.as_ref())
    }

    pub(super) fn conflict(&self, standing: Option<StoredItem>, table: &str) -> StoreError {
        let standing = standing
            .filter(|standing| standing.lives(self.now))
            .map(|standing| standing.into_item(table))
            .transpose();
        match standing {
            Ok(standing) => StoreError::Conflict(Box::new(Conflict {
                write: self.place,
                key: self.write.key().clone(),
                standing,
            })),
            Err(error) => error,
        }
    }
}

/// 128 random bits in hex: a version, or the token of a transaction.
pub(super) fn fresh_id() -> Result<String, StoreError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|source| StoreError::Unavailable {
        reason: "the system gives no random bytes".into(),
        source: Some(source.into()),
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(id)))
}

impl DynamoStore {
    /// Applies one write with one call.
    pub(super) async fn commit_one(&self, write: &Prepared<'_>) -> Result<(), StoreError> {
        if let Some(addition) = write.addition() {
            return self.add_to(&addition).await.map(drop);
        }
        let result = match write.write {
            Write::Check { key, expect } => return self.check(key, expect, write).await,
            Write::Put { .. } => self.put(write).await,
            Write::Delete { .. } => self.delete(write).await,
            Write::Add { .. } => Ok(()),
        };
        let Err(Failure { mut fault, in_doubt }) = result else {
            return Ok(());
        };
        if let Kind::Condition(standing) = &mut fault.kind {
            let standing = standing
                .take()
                .map(|attributes| StoredItem::read(attributes, &self.table))
                .transpose()?;
            if write.is_done(standing.as_ref()) {
                return Ok(());
            }
            // An earlier attempt whose answer was lost may have done it, and somebody else may have
            // gone on from there: that does not conflict with anything the caller knows of. But a
            // delete of what is absent changes nothing, so it can only have failed.
            let changes_nothing =
                matches!(write.write, Write::Delete { expect: Expect::Absent, .. });
            if !in_doubt || changes_nothing {
                return Err(write.conflict(standing, &self.table));
            }
        }
        let call = Call {
            table: self.table.clone(),
            actions: vec![write.action()],
            partitions: vec![write.partition()],
            writes: true,
        };
        Err(fault.into_store_error(&call, in_doubt))
    }

    /// A check alone is a read: there is nothing that could happen together with it.
    async fn check(
        &self,
        key: &Key,
        expect: &Expect,
        write: &Prepared<'_>,
    ) -> Result<(), StoreError> {
        let standing = self.get(key).await?;
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => standing.is_none(),
            Expect::Version(version) => {
                standing.as_ref().is_some_and(|standing| standing.version == *version)
            }
        };
        if holds {
            return Ok(());
        }
        Err(StoreError::Conflict(Box::new(Conflict {
            write: write.place,
            key: key.clone(),
            standing,
        })))
    }

    async fn put(&self, write: &Prepared<'_>) -> Result<(), Failure> {
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(write.attributes()))
            .set_condition_expression(write.condition.expression.clone())
            .set_expression_attribute_names(write.condition.names.clone())
            .set_expression_attribute_values(write.condition.values.clone())
            .return_values_on_condition_check_failure(AllOld);
        patience::answer(|| request.clone().send()).await.map(drop)
    }

    async fn delete(&self, write: &Prepared<'_>) -> Result<(), Failure> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(write.key()))
            .set_condition_expression(write.condition.expression.clone())
            .set_expression_attribute_names(write.condition.names.clone())
            .set_expression_attribute_values(write.condition.values.clone())
            .return_values_on_condition_check_failure(AllOld);
        patience::answer(|| request.clone().send()).await.map(drop)
    }
}
