use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use diogenes_core::ports::Clock;

use crate::aws::attempt::limited;

/// After how long one attempt counts as lost, unless the client says otherwise. DynamoDB answers
/// in milliseconds; the largest transaction takes less than a second.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A [`StateStore`](diogenes_core::ports::StateStore) in one DynamoDB table.
///
/// After a lost answer a write is repeated, and the outcome is:
///
/// - **put** under an expectation: done once, or not at all. A repeat that finds its own version
///   has succeeded; one that finds another's is [`StoreError::Unknown`], because the put may have
///   happened and been replaced.
/// - **delete** of a version: done once, or not at all. A repeat that finds the item gone is
///   [`StoreError::Unknown`]: somebody else's delete looks the same. The version stands no more
///   in either case.
/// - **put and delete** of [`Expect::Any`](diogenes_core::ports::Expect::Any): the last one wins,
///   and it may be the repeat, also over a write that came between the two.
/// - **several writes**: done once, or not at all, by the token of the transaction; a failed
///   expectation is somebody else's doing and a conflict.
/// - **a single addition** is not repeated.
///
/// A call whose future is dropped may or may not happen. The writes of a commit are limited to
/// 4 MB together, DynamoDB's limit for a transaction; beyond it is [`StoreError::Invalid`].
///
/// [`StoreError::Unknown`]: diogenes_core::ports::StoreError::Unknown
/// [`StoreError::Invalid`]: diogenes_core::ports::StoreError::Invalid
pub struct DynamoStore {
    pub(super) client: Client,
    pub(super) table: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl DynamoStore {
    /// The store in `table`. Items expire by `clock`.
    ///
    /// The retries of `client` are not used (see the module), and an attempt has a time limit of
    /// five seconds where the client sets none. Nothing is called yet.
    #[expect(clippy::needless_pass_by_value, reason = "the client is for this store alone")]
    pub fn new(client: Client, table: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let config = client.config();
        let timeouts = limited(config.timeout_config(), ATTEMPT);
        let config = config
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self { client: Client::from_conf(config), table: table.into(), clock }
    }

    /// The name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoStore").field("table", &self.table).finish_non_exhaustive()
    }
}
