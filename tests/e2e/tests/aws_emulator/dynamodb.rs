//! DynamoDB through the front, and what is recorded of it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put,
    ScalarAttributeType, TransactWriteItem,
};
use diogenes_e2e::aws::front::{Front, Outcome};
use diogenes_e2e::eventually;

use crate::{code, front, name};

/// A client of this name, and a table with `pk` and `sk`.
pub(crate) async fn table(front: &Front, caller: &str) -> (Client, String) {
    let (client, table) = (front.dynamodb(caller), name("state"));
    let attribute = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    client
        .create_table()
        .table_name(&table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk"))
        .attribute_definitions(attribute("sk"))
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .send()
        .await
        .unwrap();
    eventually("an active table", async || {
        let described = client.describe_table().table_name(&table).send().await.unwrap();
        let status = described.table().and_then(|table| table.table_status().cloned());
        if status.as_ref().is_some_and(|status| status.as_str() == "ACTIVE") {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    (client, table)
}

/// A string attribute.
pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Puts an item that must not be there yet.
pub(crate) async fn put_new(client: &Client, table: &str, pk: &str) -> Result<(), String> {
    let put = client
        .put_item()
        .table_name(table)
        .item("pk", text(pk))
        .item("sk", text("x"))
        .condition_expression("attribute_not_exists(pk)")
        .send()
        .await;
    if put.is_ok() { Ok(()) } else { Err(code(put)) }
}

#[tokio::test]
async fn conditions_hold_and_calls_are_recorded() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "router").await;
    front.reset();

    put_new(&client, &table, "KEY#1").await.unwrap();
    let second = put_new(&client, &table, "KEY#1").await.unwrap_err();
    assert_eq!(second, "ConditionalCheckFailedException");

    let puts = front.calls().by("router").to("dynamodb").action("PutItem").on_key("KEY#");
    let outcomes: Vec<_> = puts.iter().map(|call| call.outcome.clone()).collect();
    let failed = Some("ConditionalCheckFailedException".to_owned());
    assert_eq!(
        outcomes,
        [
            Outcome::Answered { status: 200, code: None },
            Outcome::Answered { status: 400, code: failed },
        ]
    );
    assert!(puts.iter().all(|put| put.resource.tables == [table.clone()]));
    assert_eq!(front.calls().by("orchestrator").count(), 0);
    assert_eq!(front.calls().on_key("MODEL#").count(), 0);
}

#[tokio::test]
async fn transactions_are_all_or_nothing_and_name_every_key() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "orchestrator").await;
    put_new(&client, &table, "B").await.unwrap();

    let put = |pk: &str| {
        let put = Put::builder()
            .table_name(&table)
            .item("pk", text(pk))
            .item("sk", text("x"))
            .condition_expression("attribute_not_exists(pk)");
        TransactWriteItem::builder().put(put.build().unwrap()).build()
    };
    let both = client.transact_write_items().transact_items(put("A")).transact_items(put("B"));
    assert_eq!(code(both.send().await), "TransactionCanceledException");

    let first = client.get_item().table_name(&table).key("pk", text("A")).key("sk", text("x"));
    assert!(first.consistent_read(true).send().await.unwrap().item().is_none());
    let transaction = front.calls().action("TransactWriteItems");
    assert_eq!(transaction.iter().next().unwrap().resource.leading_keys, ["A", "B"]);
}

#[tokio::test]
async fn one_of_sixty_four_conditional_puts_wins() {
    let Some(front) = front().await else { return };
    let (client, table) = table(&front, "router").await;
    let puts = (0..64).map(|_| put_new(&client, &table, "SLOT#0"));
    let results = futures_util::future::join_all(puts).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}
