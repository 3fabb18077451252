//! The table, made of the template's words as CloudFormation makes it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, Projection,
    TimeToLiveSpecification,
};
use diogenes_backends::aws::dynamodb::DynamoStore;
use diogenes_backends::system::SystemClock;
use serde_json::Value;

use crate::wait::eventually;

/// Creates the resource `Table` of this template under a name.
pub(super) async fn create(client: &Client, name: &str, template: &Value) {
    let table = &template["Resources"]["Table"]["Properties"];
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::from(text(table, "BillingMode")))
        .set_key_schema(Some(keys(table)));
    for attribute in list(table, "AttributeDefinitions") {
        let definition = AttributeDefinition::builder()
            .attribute_name(text(attribute, "AttributeName"))
            .attribute_type(text(attribute, "AttributeType").into());
        request = request.attribute_definitions(definition.build().expect("a definition"));
    }
    for index in list(table, "GlobalSecondaryIndexes") {
        let projection = text(&index["Projection"], "ProjectionType").into();
        let index = GlobalSecondaryIndex::builder()
            .index_name(text(index, "IndexName"))
            .set_key_schema(Some(keys(index)))
            .projection(Projection::builder().projection_type(projection).build());
        request = request.global_secondary_indexes(index.build().expect("an index"));
    }
    request.send().await.expect("a table");
    let expiry = &table["TimeToLiveSpecification"];
    let expiry = TimeToLiveSpecification::builder()
        .attribute_name(text(expiry, "AttributeName"))
        .enabled(expiry["Enabled"] == true)
        .build()
        .expect("an expiry");
    let expires = client.update_time_to_live().table_name(name).time_to_live_specification(expiry);
    expires.send().await.expect("a table whose items expire");
    let store = DynamoStore::new(client.clone(), name, std::sync::Arc::new(SystemClock));
    eventually("a table as the store needs it", async || match store.check_table().await {
        Ok(findings) if findings.is_empty() => Ok(()),
        other => Err(other),
    })
    .await;
}

fn keys(of: &Value) -> Vec<KeySchemaElement> {
    let element = |key: &Value| {
        KeySchemaElement::builder()
            .attribute_name(text(key, "AttributeName"))
            .key_type(text(key, "KeyType").into())
            .build()
            .expect("a key")
    };
    list(of, "KeySchema").iter().map(element).collect()
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().unwrap_or_else(|| panic!("`{name}` is not a list in {of}"))
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("`{name}` is not text in {of}"))
}
