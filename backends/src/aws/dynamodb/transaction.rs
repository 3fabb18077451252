use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use aws_sdk_dynamodb::types::{CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem};
use diogenes_core::ports::{StoreError, Write};

use super::call::Call;
use super::fault::{CONDITION_FAILED, Kind};
use super::item::{StoredItem, item_partition};
use super::patience::{self, Failure};
use super::store::DynamoStore;
use super::write::{Prepared, fresh_id};

impl DynamoStore {
    /// Applies several writes in one transaction.
    ///
    /// Its token makes a repeat within ten minutes the same transaction, so that after a lost
    /// answer a condition that does not hold is somebody else's doing.
    pub(super) async fn commit_all(&self, writes: &[Prepared<'_>]) -> Result<(), StoreError> {
        let items = writes
            .iter()
            .map(|write| self.transact_item(write))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| StoreError::Invalid { reason: error.to_string() })?;
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .client_request_token(fresh_id()?);
        let Err(Failure { mut fault, in_doubt }) =
            patience::answer(|| request.clone().send()).await
        else {
            return Ok(());
        };
        if let Kind::Cancelled(reasons) = &mut fault.kind {
            return self.refused(writes, std::mem::take(reasons));
        }
        let mut call = Call {
            table: self.table.clone(),
            actions: writes.iter().map(Prepared::action).collect(),
            partitions: writes
                .iter()
                .map(|write| item_partition(&write.write.key().partition))
                .collect(),
            writes: true,
        };
        call.actions.sort_unstable();
        call.actions.dedup();
        call.partitions.sort_unstable();
        call.partitions.dedup();
        Err(fault.into_store_error(&call, in_doubt))
    }

    /// What a cancelled transaction means: a conflict at the first write whose condition failed,
    /// unless one of the writes stands there already.
    fn refused(
        &self,
        writes: &[Prepared<'_>],
        reasons: Vec<CancellationReason>,
    ) -> Result<(), StoreError> {
        let mut conflict = None;
        for (write, reason) in writes.iter().zip(reasons) {
            if reason.code() != Some(CONDITION_FAILED) {
                continue;
            }
            let standing = reason
                .item
                .filter(|attributes| !attributes.is_empty())
                .map(|attributes| StoredItem::read(attributes, &self.table))
                .transpose()?;
            if write.is_done(standing.as_ref()) {
                return Ok(());
            }
            conflict.get_or_insert((write, standing));
        }
        match conflict {
            Some((write, standing)) => Err(write.conflict(standing, &self.table)),
            // The classification found a reason among them, so this is an answer of another kind.
            None => Err(StoreError::Unavailable {
                reason: format!("table `{}` refused a transaction without a reason", self.table),
                source: None,
            }),
        }
    }

    fn transact_item(&self, write: &Prepared<'_>) -> Result<TransactWriteItem, BuildError> {
        let item = TransactWriteItem::builder();
        let condition = write.condition.clone();
        Ok(match write.write {
            Write::Put { .. } => item.put(
                Put::builder()
                    .table_name(&self.table)
                    .set_item(Some(write.attributes()))
                    .set_condition_expression(condition.expression)
                    .set_expression_attribute_names(condition.names)
                    .set_expression_attribute_values(condition.values)
                    .return_values_on_condition_check_failure(AllOld)
                    .build()?,
            ),
            Write::Delete { .. } => item.delete(
                Delete::builder()
                    .table_name(&self.table)
                    .set_key(Some(write.key()))
                    .set_condition_expression(condition.expression)
                    .set_expression_attribute_names(condition.names)
                    .set_expression_attribute_values(condition.values)
                    .return_values_on_condition_check_failure(AllOld)
                    .build()?,
            ),
            Write::Check { .. } => item.condition_check(
                ConditionCheck::builder()
                    .table_name(&self.table)
                    .set_key(Some(write.key()))
                    .set_condition_expression(condition.expression)
                    .set_expression_attribute_names(condition.names)
                    .set_expression_attribute_values(condition.values)
                    .return_values_on_condition_check_failure(AllOld)
                    .build()?,
            ),
        }
        .build())
    }
}
