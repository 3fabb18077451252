//! Repeats after lost answers, conflicts of transactions and throttling.

use aws_sdk_dynamodb::operation::delete_item::{DeleteItemError, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_smithy_mocks::mock;
use diogenes_core::ports::{Bound, StateStore as _, StoreError};

use super::*;

fn two_writes() -> [Write; 2] {
    [put(Key::new("p", "a"), Expect::Any), put(key(), Expect::Absent)]
}

/// The first attempt was applied, its answer got lost, and the second meets its own item.
#[tokio::test(start_paused = true)]
async fn put_that_finds_its_own_version_has_succeeded() {
    let call = counter();
    let rule = mock!(Client::put_item).then_compute_response(move |request| match call() {
        0 => lost(),
        _ => condition_failed(request.item().cloned()),
    });
    let versions = store(&[&rule]).commit(&[put(key(), Expect::Absent)]).await.unwrap();
    assert!(matches!(versions.as_slice(), [Some(_)]), "{versions:?}");
    assert_eq!(rule.num_calls(), 2);
}

/// Every attempt carries the same version, or the one before could not be recognised.
#[tokio::test(start_paused = true)]
async fn attempts_are_the_same_request() {
    let call = counter();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    let rule = mock!(Client::put_item).then_compute_response(move |request| {
        requests.lock().unwrap().push(request.clone());
        match call() {
            0 | 1 => lost(),
            _ => MockResponse::Output(PutItemOutput::builder().build()),
        }
    });
    store(&[&rule]).commit(&[put(key(), version())]).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| *request == seen[0]), "{seen:?}");
}

/// Without a lost answer, another's version is a conflict.
#[tokio::test(start_paused = true)]
async fn another_version_is_a_conflict() {
    let rule = mock!(Client::put_item).then_compute_response(|_| condition_failed(Some(item("x"))));
    let error = store(&[&rule]).commit(&[put(key(), version())]).await.unwrap_err();
    let StoreError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!(conflict.standing.unwrap().version, Version::new("x"));
}

/// After a lost answer, another's version may stand where the own one stood for a moment.
#[tokio::test(start_paused = true)]
async fn put_that_finds_another_version_after_a_lost_answer_is_unknown() {
    let call = counter();
    let rule = mock!(Client::put_item).then_compute_response(move |_| match call() {
        0 => lost(),
        _ => condition_failed(Some(item("x"))),
    });
    let error = store(&[&rule]).commit(&[put(key(), version())]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
}

/// A throttled attempt did nothing, so what the next one finds is a conflict.
#[tokio::test(start_paused = true)]
async fn throttled_attempt_leaves_no_doubt() {
    let call = counter();
    let rule = mock!(Client::put_item).then_compute_response(move |_| match call() {
        0 => error(400, "ProvisionedThroughputExceededException", "slow down"),
        1 => error(400, "TransactionConflictException", "another transaction"),
        _ => condition_failed(Some(item("x"))),
    });
    let error = store(&[&rule]).commit(&[put(key(), version())]).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    assert_eq!(rule.num_calls(), 3);
}

fn nothing_to_delete() -> MockResponse<DeleteItemOutput, DeleteItemError> {
    let failed = ConditionalCheckFailedException::builder().build();
    MockResponse::Error(DeleteItemError::ConditionalCheckFailedException(failed))
}

/// It may have been this store's own delete, or somebody else's.
#[tokio::test(start_paused = true)]
async fn delete_that_finds_nothing_after_a_lost_answer_is_unknown() {
    for (expect, unknown) in [(version(), true), (Expect::Absent, false)] {
        let call = counter();
        let rule = mock!(Client::delete_item).then_compute_response(move |_| match call() {
            0 => lost(),
            _ => nothing_to_delete(),
        });
        let error =
            store(&[&rule]).commit(&[Write::Delete { key: key(), expect }]).await.unwrap_err();
        match error {
            StoreError::Unknown { .. } => assert!(unknown),
            StoreError::Conflict(_) => assert!(!unknown),
            error => panic!("{error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn delete_of_anything_is_repeated() {
    let call = counter();
    let rule = mock!(Client::delete_item).then_compute_response(move |_| match call() {
        0 => lost(),
        _ => MockResponse::Output(DeleteItemOutput::builder().build()),
    });
    let write = Write::Delete { key: key(), expect: Expect::Any };
    store(&[&rule]).commit(&[write]).await.unwrap();
    assert_eq!(rule.num_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn write_whose_answers_stay_lost_is_unknown() {
    let rule = mock!(Client::put_item).then_compute_response(|_| lost());
    let error = store(&[&rule]).commit(&[put(key(), Expect::Any)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
    assert!(rule.num_calls() > 3, "{}", rule.num_calls());
}

/// What is refused after a lost answer says nothing about what the first attempt did.
#[tokio::test(start_paused = true)]
async fn refusal_after_a_lost_answer_is_unknown() {
    let call = counter();
    let rule = mock!(Client::put_item).then_compute_response(move |_| match call() {
        0 => lost(),
        _ => error(400, "ExpiredTokenException", "too late"),
    });
    let error = store(&[&rule]).commit(&[put(key(), Expect::Any)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn transaction_conflict_is_repeated() {
    let call = counter();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    let rule = mock!(Client::transact_write_items).then_compute_response(move |request| {
        requests.lock().unwrap().push(request.clone());
        match call() {
            0 => cancelled([("TransactionConflict", None), ("None", None)]),
            1 => cancelled([("None", None), ("ThrottlingError", None)]),
            2 => error(400, "TransactionInProgressException", "wait"),
            _ => MockResponse::Output(TransactWriteItemsOutput::builder().build()),
        }
    });
    store(&[&rule]).commit(&two_writes()).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|request| *request == seen[0]), "the token or a version changed");
}

/// Only a repeat tells whether the write before it would have failed as well.
#[tokio::test(start_paused = true)]
async fn condition_behind_a_transaction_conflict_is_checked_again() {
    let call = counter();
    let failed = || ("ConditionalCheckFailed", Some(item("x")));
    let rule = mock!(Client::transact_write_items).then_compute_response(move |_| match call() {
        0 => cancelled([("TransactionConflict", None), failed()]),
        _ => cancelled([("None", None), failed()]),
    });
    let error = store(&[&rule]).commit(&two_writes()).await.unwrap_err();
    let StoreError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!((conflict.write, conflict.key), (1, key()));
    assert_eq!(conflict.standing.unwrap().version, Version::new("x"));
    assert_eq!(rule.num_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn endless_transaction_conflict_is_unavailable() {
    let rule = mock!(Client::transact_write_items)
        .then_compute_response(|_| cancelled([("TransactionConflict", None), ("None", None)]));
    let error = store(&[&rule]).commit(&two_writes()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

/// An endpoint that knows no tokens runs the repeat as a transaction of its own.
#[tokio::test(start_paused = true)]
async fn transaction_that_finds_its_own_version_has_succeeded() {
    let call = counter();
    let rule = mock!(Client::transact_write_items).then_compute_response(move |request| {
        let last = request.transact_items().last().unwrap().put().unwrap().item().clone();
        match call() {
            0 => lost(),
            _ => cancelled([
                ("ConditionalCheckFailed", Some(item("x"))),
                ("ConditionalCheckFailed", Some(last)),
            ]),
        }
    });
    let versions = store(&[&rule]).commit(&two_writes()).await.unwrap();
    assert!(matches!(versions.as_slice(), [Some(_), Some(_)]), "{versions:?}");
}

/// Its token tells the repeat of a transaction from another, so a refused repeat was refused.
#[tokio::test(start_paused = true)]
async fn refused_repeat_of_a_transaction_is_a_conflict() {
    let call = counter();
    let rule = mock!(Client::transact_write_items).then_compute_response(move |_| match call() {
        0 => lost(),
        _ => cancelled([("None", None), ("ConditionalCheckFailed", Some(item("x")))]),
    });
    let error = store(&[&rule]).commit(&two_writes()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn throttled_read_is_repeated_and_then_unavailable() {
    let call = counter();
    let rule = mock!(Client::get_item).then_compute_response(move |_| match call() {
        0 => error(400, "ThrottlingException", "slow down"),
        1 => lost(),
        _ => MockResponse::Output(GetItemOutput::builder().build()),
    });
    assert_eq!(store(&[&rule]).get(&key()).await.unwrap(), None);
    assert_eq!(rule.num_calls(), 3);

    let start = tokio::time::Instant::now();
    let rule = mock!(Client::get_item)
        .then_compute_response(|_| error(400, "ThrottlingException", "slow down"));
    let error = store(&[&rule]).get(&key()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("throttled"), "{error}");
    assert!(rule.num_calls() > 3, "{}", rule.num_calls());
    assert!(start.elapsed().as_secs() <= 10, "{:?}", start.elapsed());
}

/// An attempt that gets no answer at all ends after five seconds and is repeated.
#[tokio::test(start_paused = true)]
async fn silent_endpoint_counts_as_lost() {
    let client = aws_sdk_dynamodb::Config::builder()
        .with_test_defaults_v2()
        .http_client(aws_smithy_runtime_api::client::http::http_client_fn(|_, _| {
            aws_smithy_runtime_api::client::http::SharedHttpConnector::new(Silent)
        }))
        .build();
    let client = Client::from_conf(client);
    let store = DynamoStore::new(client, "state", Arc::new(ManualClock::default()));
    let start = tokio::time::Instant::now();
    let error = store.get(&key()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(start.elapsed().as_secs() <= 15, "{:?}", start.elapsed());
}

#[derive(Debug)]
struct Silent;

impl aws_smithy_runtime_api::client::http::HttpConnector for Silent {
    fn call(
        &self,
        _: aws_smithy_runtime_api::client::orchestrator::HttpRequest,
    ) -> aws_smithy_runtime_api::client::http::HttpConnectorFuture {
        aws_smithy_runtime_api::client::http::HttpConnectorFuture::new(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn an_addition_is_repeated_only_while_nothing_happened() {
    let throttled = || error(400, "ThrottlingException", "slow down");
    let rule =
        mock!(Client::update_item).then_compute_response(|_| error(500, "InternalServerError", ""));
    let sum = store(&[&rule]).add(&key(), 1, Bound::None, None).await;
    assert!(matches!(sum, Err(StoreError::Unknown { .. })), "{sum:?}");
    assert_eq!(rule.num_calls(), 1);

    let call = counter();
    let rule = mock!(Client::update_item).then_compute_response(move |_| {
        if call() == 0 {
            return throttled();
        }
        let value = AttributeValue::N("1".into());
        MockResponse::Output(UpdateItemOutput::builder().attributes("value", value).build())
    });
    assert_eq!(store(&[&rule]).add(&key(), 1, Bound::None, None).await.unwrap(), 1);
    assert_eq!(rule.num_calls(), 2);

    let rule = mock!(Client::update_item).then_compute_response(move |_| throttled());
    let sum = store(&[&rule]).add(&key(), 1, Bound::None, None).await;
    assert!(matches!(sum, Err(StoreError::Unavailable { .. })), "{sum:?}");
    assert!(rule.num_calls() > 3, "{}", rule.num_calls());
}
