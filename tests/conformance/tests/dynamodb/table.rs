//! The table itself: right, wrong and missing ones, and what stands in it.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_core::ports::{Bound, Expect, Key, Query, StateStore, StoreError, Table, Write};
use serde_json::json;

use super::{client, clock, table_name};

fn put(key: &Key) -> Write {
    Write::Put {
        key: key.clone(),
        document: json!("item"),
        index: None,
        expires_at: None,
        expect: Expect::Any,
    }
}

/// A table with one key of another name.
async fn foreign_table() -> super::Table {
    let table = super::Table(table_name());
    let name = "id";
    let key = KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash);
    let attribute =
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    client()
        .create_table()
        .table_name(&table.0)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key.build().unwrap())
        .attribute_definitions(attribute.build().unwrap())
        .send()
        .await
        .unwrap();
    table
}

#[tokio::test]
async fn created_table_is_as_it_must_be() {
    let table = super::Table(table_name());
    create_table(&client(), &table.0).await.unwrap();
    let store = DynamoStore::new(client(), &*table.0, clock());
    assert_eq!(store.check_table().await.unwrap(), [""; 0]);
    // A table of this name is left as it is.
    let key = Key::new("p", "a");
    store.commit(&[put(&key)]).await.unwrap();
    create_table(&client(), &table.0).await.unwrap();
    assert!(store.get(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn missing_table_is_named() {
    let store = DynamoStore::new(client(), "no-such-table", clock());
    let key = Key::new("p", "a");
    let findings = store.check_table().await.unwrap();
    assert_eq!(findings.len(), 1);
    let errors = [
        store.get(&key).await.unwrap_err(),
        store.list(&Query::new(Table::Main, "p", "")).await.unwrap_err(),
        store.commit(&[put(&key)]).await.unwrap_err(),
        store.commit(&[put(&key), put(&Key::new("p", "b"))]).await.unwrap_err(),
        store.add(&key, 1, Bound::None, None).await.unwrap_err(),
    ];
    for text in errors.iter().map(ToString::to_string).chain(findings) {
        assert!(text.contains("table `no-such-table` does not exist"), "{text}");
    }
}

#[tokio::test]
async fn table_of_another_shape_is_told_by_every_call() {
    let table = foreign_table().await;
    let store = DynamoStore::new(client(), &*table.0, clock());
    let findings = store.check_table().await.unwrap().join("\n");
    for missing in ["`pk` and `sk`", "no index named `index`", "TTL on the attribute `ttl`"] {
        assert!(findings.contains(missing), "{findings}");
    }
    let key = Key::new("p", "a");
    for error in [
        store.get(&key).await.unwrap_err(),
        store.list(&Query::new(Table::Main, "p", "")).await.unwrap_err(),
        store.list(&Query::new(Table::Index, "p", "")).await.unwrap_err(),
        store.commit(&[put(&key)]).await.unwrap_err(),
        store.commit(&[put(&key), put(&Key::new("p", "b"))]).await.unwrap_err(),
        store.add(&key, 1, Bound::None, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains("`pk` and `sk`"), "{error}");
    }
}

/// Policies allow by the partition of the table, so where an item stands is part of the contract.
#[tokio::test]
async fn items_and_counters_stand_where_policies_expect_them() {
    let table = super::Table(table_name());
    create_table(&client(), &table.0).await.unwrap();
    let store = DynamoStore::new(client(), &*table.0, clock());
    for partition in ["KEY#1", "COUNTER#KEY#1", "ITEM#x"] {
        let key = Key::new(partition, "a");
        store.commit(&[put(&key)]).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().unwrap().key, key);
        store.add(&key, 1, Bound::None, None).await.unwrap();
    }
    let scan = client().scan().table_name(&table.0).send().await.unwrap();
    let mut partitions: Vec<_> =
        scan.items().iter().map(|item| item["pk"].as_s().unwrap().as_str()).collect();
    partitions.sort_unstable();
    assert_eq!(
        partitions,
        [
            "COUNTER#COUNTER#KEY#1",
            "COUNTER#ITEM#x",
            "COUNTER#KEY#1",
            "ITEM#COUNTER#KEY#1",
            "ITEM#ITEM#x",
            "KEY#1",
        ]
    );
}

/// TTL counts whole seconds and must not delete what still lives.
#[tokio::test]
async fn ttl_is_rounded_up() {
    let table = super::Table(table_name());
    create_table(&client(), &table.0).await.unwrap();
    let store = DynamoStore::new(client(), &*table.0, clock());
    let key = Key::new("p", "a");
    for (end, ttl) in
        [("2100-01-01T00:00:00Z", "4102444800"), ("2100-01-01T00:00:00.000000001Z", "4102444801")]
    {
        let Write::Put { key, document, index, expect, .. } = put(&key) else { unreachable!() };
        let expires_at = Some(end.parse().unwrap());
        store.commit(&[Write::Put { key, document, index, expires_at, expect }]).await.unwrap();
        let scan = client().scan().table_name(&table.0).send().await.unwrap();
        assert_eq!(scan.items()[0]["ttl"], AttributeValue::N(ttl.into()));
    }
}
