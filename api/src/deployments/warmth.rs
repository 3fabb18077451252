use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::deployments::{
    Deployment, DeploymentError, Deployments, Gatekeeper, Gates, Status,
};
use diogenes_core::fleet::UseLease;
use diogenes_core::fleet::eta::{later, since};
use diogenes_core::ports::{Clock, StateStore};
use diogenes_core::tenancy::Principal;

use crate::proxy::{Gateway, Ground};

/// How long a model is wanted by a deployment that is about to start, if nobody asks for it anew.
const LEASE: Duration = Duration::from_mins(5);
/// How long a deployment waits for a model to start.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Sees to it that a version is warm before it gets its first share.
pub struct Warmth {
    pub deployments: Deployments,
    pub gateway: Arc<Gateway>,
    pub store: Arc<dyn StateStore>,
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Gatekeeper for Warmth {
    /// If the version asks a model of its own, that has to be up.
    async fn gates(&self, deployment: &Deployment) -> Result<Gates, DeploymentError> {
        if deployment.status() != Status::PendingGates {
            return Ok(Gates::Passed);
        }
        let (live, candidate) = self.deployments.models(deployment).await?;
        let Some(name) = candidate.filter(|candidate| live.as_ref() != Some(candidate)) else {
            return Ok(Gates::Passed);
        };
        // The rights of callers are checked with their requests.
        let ground = self.gateway.ground(&Principal::operator(), &name, 0).await;
        let (model, what) = match ground {
            Ok(Ground::Ready { .. }) => return Ok(Gates::Passed),
            Ok(Ground::Cold { model, what, .. }) => (model, what),
            Err(error) if error.status().is_client_error() => {
                return Ok(Gates::Failed { reason: error.message });
            }
            Err(error) => return Ok(Gates::Pending { what: error.message }),
        };
        let now = self.clock.now();
        let wanted_since = deployment.approval.as_ref().map_or(deployment.created_at, |it| it.at);
        if since(wanted_since, now) > LONGEST_WAIT {
            return Ok(Gates::Failed { reason: format!("waited an hour for {what}") });
        }
        let holder = format!("deployment/{}", deployment.id);
        UseLease::hold(&*self.store, &model, &holder, later(now, LEASE)).await?;
        self.gateway.look_after(&model).await;
        Ok(Gates::Pending { what })
    }
}
