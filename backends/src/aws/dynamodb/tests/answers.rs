//! What becomes of the refusals of AWS and of the items of others.

use std::error::Error as _;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_smithy_mocks::mock;
use diogenes_core::ports::{Bound, Query, StateStore as _, StoreError, Table};

use super::super::fault::{Fault, Kind};
use super::*;

const DENIED: &str = "User: arn:aws:sts::1:assumed-role/r is not authorized to perform it";

fn assert_says(error: &StoreError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn denied_read_names_action_partition_and_table() {
    let rule = mock!(Client::get_item)
        .then_compute_response(|_| error(400, "AccessDeniedException", DENIED));
    let error = store(&[&rule]).get(&key()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_says(&error, &["`dynamodb:GetItem`", "`KEY#1`", "`state`", "assumed-role/r"]);
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn denied_writes_name_what_they_need() {
    let rule = mock!(Client::put_item)
        .then_compute_response(|_| error(400, "AccessDeniedException", DENIED));
    let failed = store(&[&rule]).commit(&[put(key(), Expect::Any)]).await.unwrap_err();
    assert_says(&failed, &["`dynamodb:PutItem`", "`KEY#1`", "`state`"]);

    let rule = mock!(Client::update_item)
        .then_compute_response(|_| error(400, "AccessDeniedException", DENIED));
    let failed = store(&[&rule]).add(&key(), 1, Bound::None, None).await.unwrap_err();
    assert!(matches!(failed, StoreError::Unavailable { .. }), "{failed:?}");
    assert_says(&failed, &["`dynamodb:UpdateItem`", "`COUNTER#KEY#1`", "`state`"]);

    let rule = mock!(Client::transact_write_items)
        .then_compute_response(|_| error(400, "AccessDeniedException", DENIED));
    let check = Write::Check { key: Key::new("COUNTER#x", "a"), expect: Expect::Absent };
    let failed = store(&[&rule]).commit(&[put(key(), Expect::Any), check]).await.unwrap_err();
    let needed = ["`dynamodb:PutItem`", "`dynamodb:ConditionCheckItem`"];
    assert_says(&failed, &[needed[0], needed[1], "`KEY#1`", "`ITEM#COUNTER#x`"]);
}

#[tokio::test(start_paused = true)]
async fn missing_table_says_how_to_create_it() {
    let rule = mock!(Client::query).then_compute_response(|_| {
        error(400, "ResourceNotFoundException", "Requested resource not found")
    });
    let error = store(&[&rule]).list(&Query::new(Table::Main, "MODELS", "")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_says(&error, &["`state` does not exist", "`make deploy`", "`DIOGENES_TABLE`"]);
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn table_of_another_shape_is_corrupt() {
    for message in [
        "The provided key element does not match the schema",
        "The table does not have the specified index: index",
        "One or more parameter values were invalid: Missing the key id in the item",
    ] {
        let rule = mock!(Client::get_item)
            .then_compute_response(move |_| error(400, "ValidationException", message));
        let error = store(&[&rule]).get(&key()).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert_says(&error, &["`state`", "`pk`", "`sk`", "`index`", message]);
    }
}

#[tokio::test(start_paused = true)]
async fn other_wrong_calls_are_invalid() {
    let rule = mock!(Client::transact_write_items).then_compute_response(|_| {
        error(400, "ValidationException", "Transaction request cannot be larger than 4 MB")
    });
    let writes = [put(key(), Expect::Any), put(Key::new("p", "a"), Expect::Any)];
    let error = store(&[&rule]).commit(&writes).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }), "{error:?}");
    assert_says(&error, &["larger than 4 MB"]);
}

#[tokio::test(start_paused = true)]
async fn item_of_another_program_is_corrupt() {
    for missing in ["version", "document"] {
        let foreign = move || {
            let mut item = item("v");
            item.remove(missing);
            item
        };
        let get = mock!(Client::get_item)
            .then_output(move || GetItemOutput::builder().set_item(Some(foreign())).build());
        let query = mock!(Client::query)
            .then_output(move || QueryOutput::builder().items(foreign()).build());
        let put_item = mock!(Client::put_item)
            .then_compute_response(move |_| condition_failed(Some(foreign())));
        let store = store(&[&get, &query, &put_item]);
        for error in [
            store.get(&key()).await.unwrap_err(),
            store.list(&Query::new(Table::Main, "KEY#1", "")).await.unwrap_err(),
            store.commit(&[put(key(), Expect::Absent)]).await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
            assert_says(&error, &["`KEY#1/KEY`", "`state`", missing]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn damaged_document_is_corrupt() {
    let get = mock!(Client::get_item).then_output(|| {
        let mut item = item("v");
        item.insert("document".into(), AttributeValue::S("{".into()));
        GetItemOutput::builder().set_item(Some(item)).build()
    });
    let error = store(&[&get]).get(&key()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.source().is_some());
}

#[tokio::test(start_paused = true)]
async fn item_in_the_place_of_a_counter_is_corrupt() {
    let rule = mock!(Client::update_item).then_compute_response(|_| {
        let failed = ConditionalCheckFailedException::builder().set_item(Some(item("v"))).build();
        MockResponse::Error(UpdateItemError::ConditionalCheckFailedException(failed))
    });
    let error = store(&[&rule]).add(&key(), 1, Bound::None, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

/// A client of a real endpoint, without retries.
fn real_client(credentials: impl ProvideCredentials + 'static) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        // Nothing listens there.
        .endpoint_url("http://127.0.0.1:1")
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

#[tokio::test]
async fn refused_connection_is_known_not_to_have_written() {
    let client = real_client(Credentials::new("a", "b", None, None, "test"));
    let error = client.describe_table().table_name("state").send().await.unwrap_err();
    assert_eq!(Fault::of(error).kind, Kind::NotSent);
}

#[tokio::test]
async fn missing_credentials_are_named_at_once() {
    #[derive(Debug)]
    struct Nobody;

    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("nobody")))
        }
    }

    let store = DynamoStore::new(real_client(Nobody), "state", Arc::new(ManualClock::default()));
    let error = store.commit(&[put(key(), Expect::Any)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_says(&error, &["credentials"]);
}
