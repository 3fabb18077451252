use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::ReturnValue::UpdatedNew;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use diogenes_core::Timestamp;
use diogenes_core::ports::{Bound, BoundReached, Key, StoreError};

use super::call::Call;
use super::condition::names;
use super::fault::{Fault, Kind};
use super::item::{
    Attributes, EXPIRES, PARTITION, TTL, VALUE, counter_partition, foreign, nanoseconds, number,
    table_key, ttl,
};
use super::patience::{self, answer_once};
use super::store::DynamoStore;

/// The expiry of a counter that never expires. Every counter has one, so that an addition can
/// leave it as it is or set it without knowing which of the two it does; it is later than any
/// [`Timestamp`].
const NEVER: i128 = 1_000_000_000_000_000_000_000_000_000_000;

/// How often an addition is tried while others restart the counter or let it expire. Each time
/// means that somebody else got through.
pub(super) const ROUNDS: usize = 10;

/// An addition, alone or within a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addition<'a> {
    /// Its place in the commit.
    pub(super) place: usize,
    pub(super) key: &'a Key,
    pub(super) delta: i64,
    pub(super) bound: Bound,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// What an addition expects to find. One expression cannot do both: it adds to a value or
/// replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A counter that is alive, or none.
    Alive,
    /// A counter that has expired, which starts anew.
    Expired,
}

/// An addition as DynamoDB takes it.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) key: Attributes,
    pub(super) expression: &'static str,
    pub(super) condition: String,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// What a failed condition means.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The addition is beyond its bound.
    Final(BoundReached),
    /// Something else stands there than was expected.
    Again(Found),
}

impl Addition<'_> {
    pub(super) fn partition(&self) -> String {
        counter_partition(&self.key.partition)
    }

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

    pub(super) fn update(&self, found: Found) -> Update {
        let end = self.expires_at;
        let last = end.unwrap_or(Timestamp::MAX);
        let mut placeholders = names(&[("#value", VALUE), ("#expires", EXPIRES), ("#ttl", TTL)]);
        let mut values = HashMap::from([
            (":delta".to_owned(), number(self.delta)),
            (":expires".to_owned(), end.map_or(number(NEVER), nanoseconds)),
            (":ttl".to_owned(), ttl(last, self.now)),
            (":now".to_owned(), nanoseconds(self.now)),
        ]);
        let (expression, condition) = match found {
            Found::Expired => (
                "SET #value = :delta, #expires = :expires, #ttl = :ttl",
                "#expires <= :now".to_owned(),
            ),
            Found::Alive => {
                let (low, high) = self.range();
                placeholders.insert("#pk".to_owned(), PARTITION.to_owned());
                values.extend([
                    (":zero".to_owned(), number(0)),
                    (":low".to_owned(), number(low)),
                    (":high".to_owned(), number(high)),
                ]);
                let alive = "#expires > :now AND #value BETWEEN :low AND :high";
                let condition = if self.may_start() {
                    format!("attribute_not_exists(#pk) OR ({alive})")
                } else {
                    format!("attribute_exists(#pk) AND {alive}")
                };
                (
                    "SET #value = if_not_exists(#value, :zero) + :delta, \
                         #expires = if_not_exists(#expires, :expires), \
                         #ttl = if_not_exists(#ttl, :ttl)",
                    condition,
                )
            }
        };
        let key = table_key(self.partition(), &self.key.sort);
        Update { key, expression, condition, names: placeholders, values }
    }

    /// What it means that `standing` did not meet the condition of [`update`](Self::update).
    pub(super) fn refusal(
        &self,
        standing: Option<&Attributes>,
        found: Found,
        table: &str,
    ) -> Result<Refusal, StoreError> {
        let counter = standing.map(|attributes| counter(attributes, table)).transpose()?;
        let alive = counter.filter(|counter| counter.expires > self.now.as_nanosecond());
        let value = alive.map_or(0, |counter| counter.value);
        let expects =
            if alive.is_some() || counter.is_none() { Found::Alive } else { Found::Expired };
        // The same update again would be refused again, unless its condition was another one.
        let fits = self.bound.add(value, self.delta).is_some();
        if fits && (expects != found || found == Found::Expired) {
            return Ok(Refusal::Again(expects));
        }
        Ok(Refusal::Final(BoundReached {
            write: self.place,
            key: self.key.clone(),
            standing: value,
        }))
    }

    pub(super) fn restarts_too_often(&self, table: &str) -> StoreError {
        StoreError::Unavailable {
            reason: format!(
                "the counter `{}` in table `{table}` restarts too often; check the clocks of the \
                 machines",
                self.key
            ),
            source: None,
        }
    }
}

impl DynamoStore {
    pub(super) async fn add_to(&self, addition: &Addition<'_>) -> Result<i64, StoreError> {
        let mut found = Found::Alive;
        for _ in 0..ROUNDS {
            let mut fault = match self.update_counter(addition.update(found)).await {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            let Kind::Condition(standing) = &mut fault.kind else {
                let call = Call {
                    table: self.table.clone(),
                    actions: vec!["dynamodb:UpdateItem"],
                    partitions: vec![addition.partition()],
                    writes: true,
                };
                return Err(fault.into_store_error(&call, false));
            };
            match addition.refusal(standing.take().as_ref(), found, &self.table)? {
                Refusal::Final(reached) => return Err(StoreError::Bound(Box::new(reached))),
                Refusal::Again(expects) => found = expects,
            }
        }
        Err(addition.restarts_too_often(&self.table))
    }

    /// Repeated only while nothing has happened: who repeats an addition whose answer was lost
    /// adds twice.
    async fn update_counter(&self, update: Update) -> Result<i64, Fault> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(update.key))
            .update_expression(update.expression)
            .condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(UpdatedNew)
            .return_values_on_condition_check_failure(AllOld);
        let answer = answer_once(|| request.clone().send()).await;
        let answer = answer.map_err(|failure| failure.fault)?;
        value_of(&answer).ok_or_else(|| Fault::lost("the answer has no value"))
    }

    pub(super) async fn value_of_counter(&self, key: &Key) -> Result<i64, StoreError> {
        let partition = counter_partition(&key.partition);
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(table_key(partition.clone(), &key.sort)))
            .consistent_read(true);
        let answer = patience::answer(|| request.clone().send()).await.map_err(|failure| {
            let call = Call {
                table: self.table.clone(),
                actions: vec!["dynamodb:GetItem"],
                partitions: vec![partition.clone()],
                writes: false,
            };
            failure.fault.into_store_error(&call, failure.in_doubt)
        })?;
        let Some(attributes) = answer.item.filter(|item| !item.is_empty()) else {
            return Ok(0);
        };
        let counter = counter(&attributes, &self.table)?;
        let alive = counter.expires > self.clock.now().as_nanosecond();
        Ok(if alive { counter.value } else { 0 })
    }
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    value: i64,
    expires: i128,
}

/// The counter that stands there; an error if it is something else.
fn counter(attributes: &Attributes, table: &str) -> Result<Counter, StoreError> {
    fn integer<T: std::str::FromStr>(
        attributes: &Attributes,
        name: &str,
        table: &str,
    ) -> Result<T, StoreError> {
        let value = attributes.get(name).and_then(|value| value.as_n().ok());
        value.and_then(|value| value.parse().ok()).ok_or_else(|| {
            foreign(attributes, table, &format!("its attribute `{name}` is not a whole number"))
        })
    }
    Ok(Counter {
        value: integer(attributes, VALUE, table)?,
        expires: integer(attributes, EXPIRES, table)?,
    })
}

fn value_of(answer: &UpdateItemOutput) -> Option<i64> {
    answer.attributes()?.get(VALUE)?.as_n().ok()?.parse().ok()
}
