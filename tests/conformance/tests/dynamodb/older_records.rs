//! The table of version 0.1.0, item by item as its store wrote it.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use diogenes_backends::aws::dynamodb::DynamoStore;
use diogenes_conformance::older_records::{Fixture, items};
use diogenes_core::Timestamp;
use serde_json::Value;

use super::{Table, client, clock, create_table, table_name};

async fn dynamodb() -> Fixture {
    let table = Table(table_name());
    let (client, clock) = (client(), clock());
    create_table(&client, &table.0).await.unwrap();
    for item in items(&clock) {
        let attributes = Some(attributes(&item));
        client.put_item().table_name(&table.0).set_item(attributes).send().await.unwrap();
    }
    let store = Arc::new(DynamoStore::new(client, &*table.0, clock.clone()));
    Fixture::new(store, clock).keeping(table)
}

/// Documents are JSON text; an expiry counts exactly in nanoseconds, and in seconds, rounded up,
/// for DynamoDB.
fn attributes(item: &Value) -> HashMap<String, AttributeValue> {
    let mut attributes = HashMap::new();
    for (name, value) in item.as_object().unwrap() {
        let text = || value.as_str().unwrap().to_owned();
        let attribute = match name.as_str() {
            "document" => AttributeValue::S(value.to_string()),
            "value" => AttributeValue::N(value.to_string()),
            "expires" => {
                let end: Timestamp = text().parse().unwrap();
                let second = end.as_second() + i64::from(end.subsec_nanosecond() > 0);
                attributes.insert("ttl".to_owned(), AttributeValue::N(second.to_string()));
                AttributeValue::N(end.as_nanosecond().to_string())
            }
            _ => AttributeValue::S(text()),
        };
        attributes.insert(name.clone(), attribute);
    }
    attributes
}

diogenes_conformance::older_records_suite!(dynamodb);
