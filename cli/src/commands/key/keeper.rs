use diogenes_api::control::{CreateKey, RotateKey};
use diogenes_core::tenancy::ProjectId;
use serde_json::Value;

#[cfg(feature = "aws")]
use super::table::TableKeys;
use crate::aws::DeploymentArgs;
use crate::client::Client;
use crate::commands::options::Options;
use crate::exit::Failure;

/// Who keeps the keys. Both answer as the API does.
#[derive(Debug)]
pub(super) enum Keeper {
    /// A server, asked by its API.
    Server(Client),
    /// The table of a deployment, written to directly.
    #[cfg(feature = "aws")]
    Table(TableKeys),
}

impl Keeper {
    /// The table that the flags name; else the server.
    pub(super) async fn of(
        deployment: &DeploymentArgs,
        options: &Options,
    ) -> Result<Self, Failure> {
        deployment.check()?;
        match deployment.flag() {
            None => Ok(Self::Server(options.client()?)),
            Some(flag) => Self::of_deployment(flag, deployment, options).await,
        }
    }

    #[cfg(feature = "aws")]
    async fn of_deployment(
        _: &'static str,
        deployment: &DeploymentArgs,
        options: &Options,
    ) -> Result<Self, Failure> {
        let keys = TableKeys::find(deployment, options.verbose).await?;
        Ok(Self::Table(keys))
    }

    #[cfg(not(feature = "aws"))]
    #[expect(clippy::unused_async, reason = "as with the feature `aws`")]
    async fn of_deployment(
        flag: &'static str,
        _: &DeploymentArgs,
        _: &Options,
    ) -> Result<Self, Failure> {
        Err(crate::aws::left_out(flag))
    }

    /// Issues a key.
    pub(super) async fn create(&self, request: CreateKey) -> Result<Value, Failure> {
        match self {
            Self::Server(client) => client.post(&["api", "v1", "keys"], &request).await,
            #[cfg(feature = "aws")]
            Self::Table(keys) => keys.create(request).await,
        }
    }

    /// The keys of a project, or those of one address.
    pub(super) async fn list(
        &self,
        project: Option<&ProjectId>,
        email: Option<&str>,
    ) -> Result<Value, Failure> {
        match self {
            Self::Server(client) => {
                let query: Vec<_> = [("project", project.map(ProjectId::as_str)), ("email", email)]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                client.get_all(&["api", "v1", "keys"], &query).await
            }
            #[cfg(feature = "aws")]
            Self::Table(keys) => keys.list(project, email).await,
        }
    }

    /// Revokes a key.
    pub(super) async fn revoke(&self, id: &str) -> Result<Value, Failure> {
        match self {
            Self::Server(client) => client.delete(&["api", "v1", "keys", id]).await,
            #[cfg(feature = "aws")]
            Self::Table(keys) => keys.revoke(id).await,
        }
    }

    /// Issues a key with the same rights and retires the old one.
    pub(super) async fn rotate(&self, id: &str, request: RotateKey) -> Result<Value, Failure> {
        match self {
            Self::Server(client) => {
                client.post(&["api", "v1", "keys", id, "rotate"], &request).await
            }
            #[cfg(feature = "aws")]
            Self::Table(keys) => keys.rotate(id, request).await,
        }
    }
}
