use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue::UpdatedNew;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use diogenes_core::Timestamp;
use diogenes_core::ports::{Bound, Key, StoreError};

use super::call::Call;
use super::condition::names;
use super::fault::{Fault, Kind};
use super::item::{
    Attributes, EXPIRES, PARTITION, TTL, VALUE, counter_partition, foreign, nanoseconds, number,
    table_key, ttl,
};
use super::patience::answer_once;
use super::store::DynamoStore;

/// The expiry of a counter that never expires. Every counter has one, so that an addition can
/// leave it as it is or set it without knowing which of the two it does; it is later than any
/// [`Timestamp`].
const NEVER: i128 = 1_000_000_000_000_000_000_000_000_000_000;

/// How often an addition is tried while others restart the counter or let it expire. Each time
/// means that somebody else got through.
const ROUNDS: usize = 10;

struct Addition<'a> {
    key: &'a Key,
    delta: i64,
    bound: Bound,
    expires_at: Option<Timestamp>,
    now: Timestamp,
}

impl Addition<'_> {
    /// The standing values to which the delta may be added.
    fn range(&self) -> (i128, i128) {
        let (low, high) = match self.bound {
            Bound::None => (i64::MIN, i64::MAX),
            Bound::AtMost(most) => (i64::MIN, most),
            Bound::AtLeast(least) => (least, i64::MAX),
        };
        let delta = i128::from(self.delta);
        (i128::from(low) - delta, i128::from(high) - delta)
    }

    fn may_start(&self) -> bool {
        self.bound.allows(self.delta)
    }
}

impl DynamoStore {
    pub(super) async fn add_to(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        let now = self.clock.now();
        let addition = Addition { key, delta, bound, expires_at, now };
        for _ in 0..ROUNDS {
            let standing = match self.add_to_standing(&addition).await {
                Ok(value) => return Ok(value),
                Err(fault) => self.standing(fault, &addition)?,
            };
            let expired = match standing {
                None => false,
                Some(attributes) => self.check_counter(&attributes, now)?,
            };
            if !expired || !addition.may_start() {
                return Err(StoreError::Bound);
            }
            match self.restart(&addition).await {
                Ok(value) => return Ok(value),
                Err(fault) => self.standing(fault, &addition)?,
            };
        }
        Err(StoreError::Unavailable {
            reason: format!(
                "the counter `{key}` in table `{}` restarts too often; check the clocks of the \
                 machines",
                self.table
            ),
            source: None,
        })
    }

    /// Adds to a counter that is alive, or absent if its first value is within the bound.
    async fn add_to_standing(&self, addition: &Addition<'_>) -> Result<i64, Fault> {
        let alive = "#expires > :now AND #value BETWEEN :low AND :high";
        let condition = if addition.may_start() {
            format!("attribute_not_exists(#pk) OR ({alive})")
        } else {
            format!("attribute_exists(#pk) AND {alive}")
        };
        let (low, high) = addition.range();
        let request = self
            .update(addition)
            .condition_expression(condition)
            .update_expression(
                "SET #value = if_not_exists(#value, :zero) + :delta, \
                     #expires = if_not_exists(#expires, :expires), \
                     #ttl = if_not_exists(#ttl, :ttl)",
            )
            .expression_attribute_names("#pk", PARTITION)
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":low", number(low))
            .expression_attribute_values(":high", number(high));
        self.value(request).await
    }

    /// Begins anew with a counter that has expired.
    async fn restart(&self, addition: &Addition<'_>) -> Result<i64, Fault> {
        let request = self
            .update(addition)
            .condition_expression("#expires <= :now")
            .update_expression("SET #value = :delta, #expires = :expires, #ttl = :ttl");
        self.value(request).await
    }

    fn update(&self, addition: &Addition<'_>) -> UpdateItemFluentBuilder {
        let end = addition.expires_at;
        let last = end.unwrap_or(Timestamp::MAX);
        let key = table_key(counter_partition(&addition.key.partition), &addition.key.sort);
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .set_expression_attribute_names(Some(names(&[
                ("#value", VALUE),
                ("#expires", EXPIRES),
                ("#ttl", TTL),
            ])))
            .expression_attribute_values(":delta", number(addition.delta))
            .expression_attribute_values(":expires", end.map_or(number(NEVER), nanoseconds))
            .expression_attribute_values(":ttl", ttl(last, addition.now))
            .expression_attribute_values(":now", nanoseconds(addition.now))
            .return_values(UpdatedNew)
            .return_values_on_condition_check_failure(AllOld)
    }

    /// Repeated only while nothing has happened: who repeats an addition whose answer was lost
    /// adds twice.
    async fn value(&self, request: UpdateItemFluentBuilder) -> Result<i64, Fault> {
        let answer = answer_once(|| request.clone().send()).await;
        let answer = answer.map_err(|failure| failure.fault)?;
        value_of(&answer).ok_or_else(|| Fault::lost("the answer has no value"))
    }

    /// What stands where the condition of an addition did not hold.
    fn standing(
        &self,
        mut fault: Fault,
        addition: &Addition<'_>,
    ) -> Result<Option<Attributes>, StoreError> {
        if let Kind::Condition(standing) = &mut fault.kind {
            return Ok(standing.take());
        }
        let call = Call {
            table: self.table.clone(),
            actions: vec!["dynamodb:UpdateItem"],
            partitions: vec![counter_partition(&addition.key.partition)],
            writes: true,
        };
        Err(fault.into_store_error(&call, false))
    }

    /// Whether the counter that stands there has expired; an error if it is none.
    fn check_counter(&self, attributes: &Attributes, now: Timestamp) -> Result<bool, StoreError> {
        let integer = |name: &str| {
            let value = attributes.get(name).and_then(|value| value.as_n().ok());
            value.and_then(|value| value.parse::<i128>().ok()).ok_or_else(|| {
                let what = format!("its attribute `{name}` is not a whole number");
                foreign(attributes, &self.table, &what)
            })
        };
        integer(VALUE)?;
        Ok(integer(EXPIRES)? <= now.as_nanosecond())
    }
}

fn value_of(answer: &UpdateItemOutput) -> Option<i64> {
    answer.attributes()?.get(VALUE)?.as_n().ok()?.parse().ok()
}
