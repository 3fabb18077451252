use std::sync::Arc;

use diogenes_backends::aws::dynamodb::DynamoStore;
use diogenes_backends::system::{OsEntropy, SystemClock};
use diogenes_core::keys::Keys;

use super::{DeploymentArgs, Problem, Session, Stack, default_stack};

/// The table of a deployment.
#[derive(Clone, Debug)]
pub(crate) struct DeployedTable {
    pub(crate) store: Arc<DynamoStore>,
}

impl DeployedTable {
    /// The table `name` in the session's region. Nothing is called yet.
    pub(crate) fn new(session: &Session, name: &str) -> Self {
        let client = aws_sdk_dynamodb::Client::new(&session.config);
        Self { store: Arc::new(DynamoStore::new(client, name, Arc::new(SystemClock))) }
    }

    /// The table that the flags name, or that their stack names.
    pub(crate) async fn find(args: &DeploymentArgs) -> Result<Self, Problem> {
        let session = Session::open(args.region.as_deref()).await?;
        let name = match (&args.table, &args.stack) {
            (Some(table), _) => table.clone(),
            (None, stack) => {
                let stack = stack.clone().unwrap_or_else(default_stack);
                Stack::read(&session, &stack).await?.output("TableName")?.to_owned()
            }
        };
        Ok(Self::new(&session, &name))
    }

    /// The keys in it.
    pub(crate) fn keys(&self) -> Keys {
        Keys::new(self.store.clone(), Arc::new(SystemClock), Arc::new(OsEntropy))
            .without_concurrency()
    }
}
