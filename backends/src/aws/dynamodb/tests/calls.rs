//! How many calls, and which.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_smithy_mocks::mock;
use diogenes_core::ports::{Bound, Query, StateStore as _, Table};

use super::*;

#[tokio::test]
async fn get_is_one_consistent_get_item() {
    let get = mock!(Client::get_item)
        .match_requests(|request| request.consistent_read() == Some(true))
        .then_output(|| GetItemOutput::builder().set_item(Some(item("v"))).build());
    let found = store(&[&get]).get(&key()).await.unwrap().unwrap();
    assert_eq!(found.version, Version::new("v"));
    assert_eq!(get.num_calls(), 1);
}

#[tokio::test]
async fn page_of_the_table_is_one_consistent_query() {
    let query = mock!(Client::query)
        .match_requests(|request| {
            request.consistent_read() == Some(true) && request.index_name().is_none()
        })
        .then_output(|| QueryOutput::builder().items(item("v")).build());
    let page = store(&[&query]).list(&Query::new(Table::Main, "KEY#1", "")).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.next, None);
    assert_eq!(query.num_calls(), 1);
}

#[tokio::test]
async fn page_of_the_index_is_one_query() {
    let query = mock!(Client::query)
        .match_requests(|request| {
            request.consistent_read() != Some(true) && request.index_name() == Some("index")
        })
        .then_output(|| QueryOutput::builder().items(item("v")).build());
    let page = store(&[&query]).list(&Query::new(Table::Index, "KEYS", "")).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(query.num_calls(), 1);
}

#[tokio::test]
async fn one_write_is_one_conditional_call() {
    let put_item = mock!(Client::put_item)
        .match_requests(|request| request.condition_expression().is_some())
        .then_output(|| PutItemOutput::builder().build());
    let delete_item = mock!(Client::delete_item)
        .match_requests(|request| request.condition_expression().is_some())
        .then_output(|| DeleteItemOutput::builder().build());
    let store = store(&[&put_item, &delete_item]);
    store.commit(&[put(key(), Expect::Absent)]).await.unwrap();
    assert_eq!((put_item.num_calls(), delete_item.num_calls()), (1, 0));
    store.commit(&[Write::Delete { key: key(), expect: version() }]).await.unwrap();
    assert_eq!((put_item.num_calls(), delete_item.num_calls()), (1, 1));
}

/// A check that holds always asks for nothing, also beside one write.
#[tokio::test]
async fn check_of_anything_is_no_call() {
    let put_item = mock!(Client::put_item).then_output(|| PutItemOutput::builder().build());
    let store = store(&[&put_item]);
    let check = Write::Check { key: Key::new("p", "a"), expect: Expect::Any };
    store.commit(std::slice::from_ref(&check)).await.unwrap();
    assert_eq!(put_item.num_calls(), 0);
    let versions = store.commit(&[check, put(key(), Expect::Any)]).await.unwrap();
    assert!(matches!(versions.as_slice(), [None, Some(_)]), "{versions:?}");
    assert_eq!(put_item.num_calls(), 1);
}

#[tokio::test]
async fn several_writes_are_one_transaction_with_a_token() {
    let transact = mock!(Client::transact_write_items)
        .match_requests(|request| {
            request.transact_items().len() == 2 && request.client_request_token().is_some()
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    let store = store(&[&transact]);
    let writes = [put(key(), Expect::Any), put(Key::new("p", "a"), Expect::Absent)];
    store.commit(&writes).await.unwrap();
    assert_eq!(transact.num_calls(), 1);
}

#[tokio::test]
async fn addition_is_one_update_also_for_a_new_counter() {
    let update = mock!(Client::update_item)
        .match_requests(|request| {
            request.key().unwrap().get("pk") == Some(&AttributeValue::S("COUNTER#HELD#m".into()))
        })
        .then_output(|| {
            let value = AttributeValue::N("7".into());
            UpdateItemOutput::builder().attributes("value", value).build()
        });
    let key = Key::new("HELD#m", "HELD");
    let value = store(&[&update]).add(&key, 1, Bound::AtMost(9), None).await.unwrap();
    assert_eq!(value, 7);
    assert_eq!(update.num_calls(), 1);
}
