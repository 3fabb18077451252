//! Additions within a transaction.

use std::sync::Mutex;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::Update;
use aws_smithy_mocks::mock;
use diogenes_core::Timestamp;
use diogenes_core::ports::{Bound, BoundReached, StateStore as _, StoreError};

use super::*;

fn counter_key() -> Key {
    Key::new("c", "a")
}

fn add(delta: i64, bound: Bound) -> Write {
    Write::Add { key: counter_key(), delta, bound, expires_at: None }
}

/// What stands at [`counter_key`].
#[expect(clippy::unnecessary_wraps, reason = "what an answer has is optional")]
fn standing(value: i64, expires: i128) -> Option<Attributes> {
    Some(HashMap::from([
        ("pk".into(), AttributeValue::S("COUNTER#c".into())),
        ("sk".into(), AttributeValue::S("a".into())),
        ("value".into(), AttributeValue::N(value.to_string())),
        ("expires".into(), AttributeValue::N(expires.to_string())),
    ]))
}

const ALIVE: i128 = 1 << 100;

fn expired() -> i128 {
    Timestamp::UNIX_EPOCH.as_nanosecond() - 1
}

type Seen = Arc<Mutex<Vec<TransactWriteItemsInput>>>;

/// A rule that answers each attempt with the next answer, and success in the end.
fn answers(answers: impl Fn(usize) -> Option<Transacted> + Send + Sync + 'static) -> (Rule, Seen) {
    let call = counter();
    let seen = Seen::default();
    let requests = Arc::clone(&seen);
    let rule = mock!(Client::transact_write_items).then_compute_response(move |request| {
        requests.lock().unwrap().push(request.clone());
        answers(call())
            .unwrap_or_else(|| MockResponse::Output(TransactWriteItemsOutput::builder().build()))
    });
    (rule, seen)
}

fn update(request: &TransactWriteItemsInput, place: usize) -> &Update {
    request.transact_items()[place].update().unwrap()
}

async fn commit(rule: &Rule, writes: &[Write]) -> Result<(), StoreError> {
    store(&[rule]).commit(writes).await.map(drop)
}

#[tokio::test]
async fn addition_beside_a_put_is_one_transaction() {
    let (rule, seen) = answers(|_| None);
    let writes = [put(key(), Expect::Absent), add(2, Bound::AtMost(9))];
    let versions = store(&[&rule]).commit(&writes).await.unwrap();
    assert!(matches!(versions.as_slice(), [Some(_), None]), "{versions:?}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let update = update(&seen[0], 1);
    assert_eq!(update.key()["pk"], AttributeValue::S("COUNTER#c".into()));
    let values = update.expression_attribute_values().unwrap();
    assert_eq!(values[":high"], AttributeValue::N("7".into()));
}

/// An emulator serialises transactions and hides this.
#[tokio::test(start_paused = true)]
async fn transaction_conflict_on_a_counter_is_repeated_with_the_same_token() {
    let (rule, seen) = answers(|attempt| match attempt {
        0 => Some(cancelled([("None", None), ("TransactionConflict", None)])),
        1 => Some(error(400, "TransactionInProgressException", "wait")),
        // The answer is lost, and the token keeps the repeat from adding again.
        2 => Some(lost()),
        3 => Some(cancelled([("TransactionConflict", None), ("ConditionalCheckFailed", None)])),
        _ => None,
    });
    commit(&rule, &[put(key(), Expect::Absent), add(1, Bound::AtMost(1))]).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 5);
    assert!(seen[0].client_request_token().is_some());
    assert!(seen.iter().all(|request| *request == seen[0]), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn endless_conflict_on_a_counter_is_unavailable() {
    let (rule, _) = answers(|_| Some(cancelled([("None", None), ("TransactionConflict", None)])));
    let error = commit(&rule, &[put(key(), Expect::Any), add(1, Bound::None)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn bound_is_told_with_the_value_that_stands() {
    for (attributes, value) in [(standing(8, ALIVE), 8), (standing(8, expired()), 0), (None, 0)] {
        let (rule, _) = answers(move |_| {
            Some(cancelled([("None", None), ("ConditionalCheckFailed", attributes.clone())]))
        });
        let writes = [put(key(), Expect::Any), add(11, Bound::AtMost(10))];
        let error = commit(&rule, &writes).await.unwrap_err();
        let StoreError::Bound(reached) = error else { panic!("{error:?}") };
        assert_eq!(*reached, BoundReached { write: 1, key: counter_key(), standing: value });
        assert_eq!(rule.num_calls(), 1);
    }
}

/// The counter expires, then somebody else restarts it, then it goes through.
#[tokio::test]
async fn expired_counter_is_restarted_by_another_transaction() {
    let (rule, seen) = answers(|attempt| {
        let attributes = match attempt {
            0 => standing(10, expired()),
            1 => standing(3, ALIVE),
            _ => return None,
        };
        Some(cancelled([("None", None), ("ConditionalCheckFailed", attributes)]))
    });
    commit(&rule, &[put(key(), Expect::Any), add(2, Bound::AtMost(10))]).await.unwrap();
    let seen = seen.lock().unwrap();
    let conditions: Vec<_> =
        seen.iter().map(|request| update(request, 1).condition_expression().unwrap()).collect();
    assert_eq!(conditions.len(), 3);
    assert_eq!(conditions[1], "#expires <= :now");
    assert_eq!(conditions[0], conditions[2]);
    // They are different transactions.
    assert_ne!(seen[0].client_request_token(), seen[1].client_request_token());
}

/// An expired counter would have held, so the conflict behind it is what counts.
#[tokio::test]
async fn conflict_behind_an_expired_counter_is_told() {
    let (rule, _) = answers(|_| {
        let failed = "ConditionalCheckFailed";
        Some(cancelled([(failed, standing(10, expired())), (failed, Some(item("x")))]))
    });
    let writes = [add(2, Bound::AtMost(10)), put(key(), Expect::Absent)];
    let error = commit(&rule, &writes).await.unwrap_err();
    let StoreError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!(conflict.write, 1);
    assert_eq!(rule.num_calls(), 1);
}

/// A single addition is one UpdateItem and not a transaction.
#[tokio::test]
async fn lone_addition_is_one_update() {
    let update = mock!(Client::update_item).then_output(|| {
        UpdateItemOutput::builder().attributes("value", AttributeValue::N("1".into())).build()
    });
    let check = Write::Check { key: key(), expect: Expect::Any };
    store(&[&update]).commit(&[check, add(1, Bound::None)]).await.unwrap();
    assert_eq!(update.num_calls(), 1);
}
