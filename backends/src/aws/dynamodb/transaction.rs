use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};
use diogenes_core::ports::{StoreError, Write};

use super::call::Call;
use super::counter::{Found, ROUNDS, Refusal};
use super::fault::{CONDITION_FAILED, Kind};
use super::item::StoredItem;
use super::patience::{self, Failure};
use super::store::DynamoStore;
use super::write::{Prepared, fresh_id};

/// A write of a transaction, and what it expects of its counter if it is an addition.
struct Attempt<'a> {
    write: &'a Prepared<'a>,
    found: Found,
}

/// What came of one attempt.
enum Outcome {
    Done,
    /// A counter had expired, or was restarted by somebody else.
    Again,
}

impl DynamoStore {
    /// Applies several writes in one transaction, and once more for a counter that has expired.
    ///
    /// Its token makes a repeat within ten minutes the same transaction, so that after a lost
    /// answer a condition that does not hold is somebody else's doing, and nothing is added
    /// twice.
    pub(super) async fn commit_all(&self, writes: &[Prepared<'_>]) -> Result<(), StoreError> {
        let mut attempts: Vec<_> =
            writes.iter().map(|write| Attempt { write, found: Found::Alive }).collect();
        for _ in 0..ROUNDS {
            match self.transact(&mut attempts).await? {
                Outcome::Done => return Ok(()),
                Outcome::Again => {}
            }
        }
        let addition = writes.iter().find_map(Prepared::addition);
        Err(addition.map_or_else(
            || self.refused_without_reason(),
            |addition| addition.restarts_too_often(&self.table),
        ))
    }

    async fn transact(&self, attempts: &mut [Attempt<'_>]) -> Result<Outcome, StoreError> {
        let items = attempts
            .iter()
            .map(|attempt| self.transact_item(attempt))
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
            return Ok(Outcome::Done);
        };
        if let Kind::Cancelled(reasons) = &mut fault.kind {
            return self.refused(attempts, std::mem::take(reasons));
        }
        let writes = || attempts.iter().map(|attempt| attempt.write);
        let mut call = Call {
            table: self.table.clone(),
            actions: writes().map(Prepared::action).collect(),
            partitions: writes().map(Prepared::partition).collect(),
            writes: true,
        };
        call.actions.sort_unstable();
        call.actions.dedup();
        call.partitions.sort_unstable();
        call.partitions.dedup();
        Err(fault.into_store_error(&call, in_doubt))
    }

    /// What a cancelled transaction means: the failure of the first write whose condition does
    /// not hold, unless one of the writes stands there already.
    fn refused(
        &self,
        attempts: &mut [Attempt<'_>],
        reasons: Vec<CancellationReason>,
    ) -> Result<Outcome, StoreError> {
        let mut failure = None;
        let mut again = false;
        for (attempt, reason) in attempts.iter_mut().zip(reasons) {
            if reason.code() != Some(CONDITION_FAILED) {
                continue;
            }
            let write = attempt.write;
            let standing = reason.item.filter(|attributes| !attributes.is_empty());
            if let Some(addition) = write.addition() {
                match addition.refusal(standing.as_ref(), attempt.found, &self.table)? {
                    Refusal::Final(reached) => {
                        failure.get_or_insert(StoreError::Bound(Box::new(reached)));
                    }
                    Refusal::Again(found) => {
                        attempt.found = found;
                        again = true;
                    }
                }
                continue;
            }
            let standing =
                standing.map(|attributes| StoredItem::read(attributes, &self.table)).transpose()?;
            if write.is_done(standing.as_ref()) {
                return Ok(Outcome::Done);
            }
            if failure.is_none() {
                failure = Some(write.conflict(standing, &self.table));
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None if again => Ok(Outcome::Again),
            // The classification found a reason among them, so this is an answer of another kind.
            None => Err(self.refused_without_reason()),
        }
    }

    fn refused_without_reason(&self) -> StoreError {
        StoreError::Unavailable {
            reason: format!("table `{}` refused a transaction without a reason", self.table),
            source: None,
        }
    }

    fn transact_item(&self, attempt: &Attempt<'_>) -> Result<TransactWriteItem, BuildError> {
        let item = TransactWriteItem::builder();
        let write = attempt.write;
        if let Some(addition) = write.addition() {
            let update = addition.update(attempt.found);
            let update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(update.key))
                .update_expression(update.expression)
                .condition_expression(update.condition)
                .set_expression_attribute_names(Some(update.names))
                .set_expression_attribute_values(Some(update.values))
                .return_values_on_condition_check_failure(AllOld)
                .build()?;
            return Ok(item.update(update).build());
        }
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
            Write::Check { .. } | Write::Add { .. } => item.condition_check(
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
