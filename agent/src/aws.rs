//! The agent's end of AWS.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use diogenes_backends::aws::dynamodb::DynamoStore;
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
        let call = client.get_parameter().name(name).with_decryption(true);
        match call.send().await {
            Ok(output) => output
                .parameter
                .and_then(|parameter| parameter.value)
                .map(Secret::new)
                .ok_or_else(|| "has no value".into()),
            Err(error) => Err(match error.code() {
                Some("ParameterNotFound") => format!("does not exist in {}", user_data.region),
                Some("AccessDeniedException") => format!(
                    "the instance's role may not read; the stack lets it read \
                     `/diogenes/{}/*`",
                    user_data.deployment
                ),
                _ => format!("cannot be read: {}", DisplayErrorContext(&error)),
            }),
        }
    }
}

async fn config(user_data: &UserData) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(3))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(user_data.region.clone()))
        .timeout_config(timeouts)
        .load()
        .await
}
