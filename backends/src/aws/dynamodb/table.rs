use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, GlobalSecondaryIndexDescription,
    KeySchemaElement, KeyType, Projection, ProjectionType, ScalarAttributeType, TableDescription,
    TableStatus, TimeToLiveDescription, TimeToLiveSpecification, TimeToLiveStatus,
};
use diogenes_core::ports::StoreError;
use tokio::time::Instant;

use super::call::{Call, missing_table};
use super::fault::{Fault, Kind};
use super::item::{INDEX, INDEX_PARTITION, INDEX_SORT, PARTITION, SORT, TTL};
use super::patience;
use super::store::DynamoStore;

/// How long a new table may take to become active.
const CREATION: Duration = Duration::from_mins(1);

impl DynamoStore {
    /// What is wrong with the table, one sentence each; nothing if it is as it must be.
    ///
    /// Needs the permissions `dynamodb:DescribeTable` and `dynamodb:DescribeTimeToLive`.
    pub async fn check_table(&self) -> Result<Vec<String>, StoreError> {
        let request = self.client.describe_table().table_name(&self.table);
        let table = match patience::answer(|| request.clone().send()).await {
            Ok(answer) => answer.table,
            Err(failure) if failure.fault.kind == Kind::NoTable => {
                return Ok(vec![missing_table(&self.table)]);
            }
            Err(failure) => {
                return Err(self.failed("dynamodb:DescribeTable", failure.fault));
            }
        };
        let mut findings = table.as_ref().map_or_else(Vec::new, shape);
        let request = self.client.describe_time_to_live().table_name(&self.table);
        let answer = patience::answer(|| request.clone().send())
            .await
            .map_err(|failure| self.failed("dynamodb:DescribeTimeToLive", failure.fault))?;
        findings.extend(time_to_live(answer.time_to_live_description()));
        Ok(findings.into_iter().map(|what| format!("table `{}` {what}", self.table)).collect())
    }

    fn failed(&self, action: &'static str, fault: Fault) -> StoreError {
        fault.into_store_error(&about(&self.table, action, false), false)
    }
}

fn about(table: &str, action: &'static str, writes: bool) -> Call {
    Call { table: table.to_owned(), actions: vec![action], partitions: Vec::new(), writes }
}

/// What differs from the keys and the index that the store needs.
fn shape(table: &TableDescription) -> Vec<String> {
    let mut findings = Vec::new();
    if !matches!(table.table_status(), Some(TableStatus::Active | TableStatus::Updating)) {
        let status = table.table_status().map_or("unknown", TableStatus::as_str);
        findings.push(format!("is not active but `{status}`; wait until it is"));
    }
    let is_string = |name: &str| {
        table.attribute_definitions().iter().any(|attribute| {
            attribute.attribute_name() == name
                && *attribute.attribute_type() == ScalarAttributeType::S
        })
    };
    let has_keys = |schema: &[KeySchemaElement], partition: &str, sort: &str| {
        let key = |name: &str, of: KeyType| {
            schema.iter().any(|part| part.attribute_name() == name && *part.key_type() == of)
        };
        key(partition, KeyType::Hash)
            && key(sort, KeyType::Range)
            && is_string(partition)
            && is_string(sort)
    };
    if !has_keys(table.key_schema(), PARTITION, SORT) {
        findings.push(format!(
            "does not have the string keys `{PARTITION}` and `{SORT}`; it belongs to something \
             else, so use another table"
        ));
    }
    let index =
        table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX));
    match index {
        None => findings.push(format!("has no index named `{INDEX}`; deploy with `make deploy`")),
        Some(index) => {
            if !has_keys(index.key_schema(), INDEX_PARTITION, INDEX_SORT) {
                findings.push(format!(
                    "has an index `{INDEX}` without the string keys `{INDEX_PARTITION}` and \
                     `{INDEX_SORT}`; delete the index and deploy with `make deploy`"
                ));
            }
            if !projects_all(index) {
                findings.push(format!(
                    "has an index `{INDEX}` that does not project all attributes; delete the index \
                     and deploy with `make deploy`"
                ));
            }
        }
    }
    findings
}

fn projects_all(index: &GlobalSecondaryIndexDescription) -> bool {
    index.projection().and_then(Projection::projection_type) == Some(&ProjectionType::All)
}

/// What is wrong with the deletion of expired items.
fn time_to_live(description: Option<&TimeToLiveDescription>) -> Option<String> {
    let status = description.and_then(TimeToLiveDescription::time_to_live_status);
    let attribute = description.and_then(TimeToLiveDescription::attribute_name);
    let on = matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    match attribute {
        Some(TTL) if on => None,
        Some(other) if on => Some(format!(
            "deletes items by the attribute `{other}` instead of `{TTL}`; deploy with `make deploy`"
        )),
        _ => Some(format!(
            "does not delete expired items, so it grows forever; enable TTL on the attribute \
             `{TTL}`"
        )),
    }
}

/// Creates a table of the right shape and waits until it takes writes: for tests and emulators.
/// A deployment creates its own by `make deploy`, with backups. A table of this name is left as it
/// is.
pub async fn create_table(client: &Client, name: &str) -> Result<(), StoreError> {
    let failed = |action, fault: Fault| fault.into_store_error(&about(name, action, true), false);
    let impossible = |error: BuildError| StoreError::Invalid { reason: error.to_string() };
    let index = GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .set_key_schema(Some(keys(INDEX_PARTITION, INDEX_SORT).map_err(impossible)?))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .map_err(impossible)?;
    let attributes = [PARTITION, SORT, INDEX_PARTITION, INDEX_SORT]
        .map(|name| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
        })
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(impossible)?;
    let created = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys(PARTITION, SORT).map_err(impossible)?))
        .set_attribute_definitions(Some(attributes))
        .global_secondary_indexes(index)
        .send()
        .await;
    match created {
        Ok(_) => {}
        Err(error)
            if error
                .as_service_error()
                .is_some_and(CreateTableError::is_resource_in_use_exception) =>
        {
            return Ok(());
        }
        Err(error) => return Err(failed("dynamodb:CreateTable", Fault::of(error))),
    }
    wait_until_active(client, name).await?;
    let time_to_live = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(TTL)
        .build()
        .map_err(impossible)?;
    let request =
        client.update_time_to_live().table_name(name).time_to_live_specification(time_to_live);
    request.send().await.map_err(|error| failed("dynamodb:UpdateTimeToLive", Fault::of(error)))?;
    Ok(())
}

fn keys(partition: &str, sort: &str) -> Result<Vec<KeySchemaElement>, BuildError> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .map(|(name, of)| KeySchemaElement::builder().attribute_name(name).key_type(of).build())
        .into_iter()
        .collect()
}

async fn wait_until_active(client: &Client, name: &str) -> Result<(), StoreError> {
    let end = Instant::now() + CREATION;
    loop {
        let answer = client.describe_table().table_name(name).send().await.map_err(|error| {
            Fault::of(error).into_store_error(&about(name, "dynamodb:DescribeTable", false), false)
        })?;
        let status = answer.table().and_then(TableDescription::table_status).cloned();
        if status == Some(TableStatus::Active) {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(StoreError::Unavailable {
                reason: format!(
                    "table `{name}` is still {status:?} {} s after it was created",
                    CREATION.as_secs()
                ),
                source: None,
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
