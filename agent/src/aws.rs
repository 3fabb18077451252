//! The agent's end of AWS.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use diogenes_backends::aws::dynamodb::DynamoStore;
use diogenes_backends::aws::user_data::UserData;
use diogenes_backends::system::SystemClock;
use diogenes_core::ports::StateStore;

use crate::agent::Connect;

/// The deployment's table, with the credentials of the instance's role.
#[derive(Clone, Copy, Debug)]
pub struct Dynamo;

#[async_trait]
impl Connect for Dynamo {
    async fn store(&self, user_data: &UserData) -> Arc<dyn StateStore> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(3))
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(user_data.region.clone()))
            .timeout_config(timeouts)
            .load()
            .await;
        let client = aws_sdk_dynamodb::Client::new(&config);
        Arc::new(DynamoStore::new(client, user_data.table.clone(), Arc::new(SystemClock)))
    }
}
