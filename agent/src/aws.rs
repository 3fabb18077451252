//! The agent's end of AWS.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use diogenes_backends::aws::dynamodb::DynamoStore;
use diogenes_backends::aws::ssm::ParameterSecrets;
use diogenes_backends::aws::user_data::UserData;
use diogenes_backends::system::SystemClock;
use diogenes_core::ports::StateStore;
use diogenes_core::secret::Secret;

use crate::agent::Connect;

/// The deployment's table and the account's SSM parameters, with the credentials of the
/// instance's role.
#[derive(Clone, Copy, Debug)]
pub struct Aws;

#[async_trait]
impl Connect for Aws {
    async fn store(&self, user_data: &UserData) -> Arc<dyn StateStore> {
        let client = aws_sdk_dynamodb::Client::new(&config(user_data).await);
        Arc::new(DynamoStore::new(client, user_data.table.clone(), Arc::new(SystemClock)))
    }

    async fn parameter(&self, user_data: &UserData, name: &str) -> Result<Secret, String> {
        let config = config(user_data).await;
        let emulated =
            config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_SSM").is_some();
        // An instance without a public IPv4 address reaches the world by IPv6 alone.
        let config = aws_sdk_ssm::config::Builder::from(&config).use_dual_stack(!emulated).build();
        let client = aws_sdk_ssm::Client::from_conf(config);
        let readable = format!("/diogenes/{}/*", user_data.deployment);
        ParameterSecrets::new(client, readable).parameter(name).await
    }
}

async fn config(user_data: &UserData) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(user_data.region.clone()))
        .timeout_config(ParameterSecrets::timeouts())
        .load()
        .await
}
