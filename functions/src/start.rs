//! The start of a function: logging, clients, the store.

use std::sync::Arc;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use diogenes_backends::aws::dynamodb::DynamoStore;
use diogenes_backends::system::SystemClock;
use diogenes_core::ports::{Clock, StateStore};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::environment::{BadVariable, required};

/// What every function has.
pub struct Base {
    /// Credentials and region, from the environment that Lambda sets.
    pub config: SdkConfig,
    /// The AWS region.
    pub region: String,
    /// The name of the table.
    pub table: String,
    /// The state.
    pub store: Arc<dyn StateStore>,
    pub clock: Arc<dyn Clock>,
}

/// Begins to log, as JSON lines, and makes what every function needs. No request is sent.
pub fn base() -> Result<Base, BadVariable> {
    let filter = std::env::var("DIOGENES_LOG").unwrap_or_else(|_| "info".into());
    // Not `EnvFilter`: it links an engine for regular expressions, which nobody needs here.
    let filter: Targets = filter.parse().map_err(|error: ParseError| {
        BadVariable::new("DIOGENES_LOG", format!("is not a log filter: {error}"))
    })?;
    // A second subscriber is refused; the first one is as good.
    let lines = tracing_subscriber::fmt::layer().json().with_ansi(false);
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    let region = required("AWS_REGION")?;
    let table = required("DIOGENES_TABLE")?;
    // Not `aws_config::load`: it looks for profiles, files and metadata, which Lambda has not,
    // and costs milliseconds of every cold start.
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(
            EnvironmentVariableCredentialsProvider::new(),
        ))
        .build();
    let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&config);
    if let Some(endpoint) = endpoint("AWS_ENDPOINT_URL_DYNAMODB") {
        dynamodb = dynamodb.endpoint_url(endpoint);
    }
    let client = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(DynamoStore::new(client, table.clone(), clock.clone()));
    Ok(Base { config, region, table, store, clock })
}

/// The endpoint of one service, as AWS's own tools name it: for emulators.
pub fn endpoint(of_service: &str) -> Option<String> {
    std::env::var(of_service).or_else(|_| std::env::var("AWS_ENDPOINT_URL")).ok()
}
