use std::sync::Arc;

use diogenes_core::deployments::{
    Deployment, DeploymentError, Deployments, Gatekeeper, OpenGates, TrialBook,
};
use diogenes_core::prompts::{PromptError, PromptShelf};
use tokio::sync::Notify;

use crate::auth::denied_error;
use crate::control::extract::Entrance;
use crate::control::prompts::prompt_error;
use crate::deployments::Warmth;
use crate::error::{ApiError, ErrorKind, project_error, store_error};

/// What the handlers of deployments share.
pub struct DeploymentsArea {
    entrance: Entrance,
    pub(super) deployments: Deployments,
    parts: Option<DeploymentsParts>,
}

/// What serves the requests, where that is the same process.
pub struct DeploymentsParts {
    /// Hears at once of a split that has changed.
    pub shelf: Arc<PromptShelf>,
    /// Knows what a deployment that is approved waits for.
    pub warmth: Arc<Warmth>,
    /// Knows what was measured since it was written last.
    pub book: Arc<TrialBook>,
    /// Wakes whoever carries deployments on.
    pub bell: Arc<Notify>,
}

impl DeploymentsArea {
    /// The area over this service.
    pub fn new(entrance: Entrance, deployments: Deployments) -> Self {
        Self { entrance, deployments, parts: None }
    }

    /// The same beside what serves the requests.
    #[must_use]
    pub fn with_parts(self, parts: DeploymentsParts) -> Self {
        Self { parts: Some(parts), ..self }
    }

    /// Tells whoever has to know that a deployment is not as it was.
    pub(super) fn changed(&self, deployment: &Deployment) {
        if let Some(parts) = &self.parts {
            parts.shelf.changed(&deployment.project, &deployment.slug);
            parts.bell.notify_one();
        }
    }

    /// Who knows what a deployment that is approved waits for.
    pub(super) fn gatekeeper(&self) -> &dyn Gatekeeper {
        match &self.parts {
            Some(parts) => &*parts.warmth,
            None => &OpenGates,
        }
    }

    /// Writes what was measured, so that it can be read.
    pub(super) async fn measured(&self) -> Result<(), ApiError> {
        match &self.parts {
            Some(parts) => parts.book.flush().await.map_err(|error| store_error(&error)),
            None => Ok(()),
        }
    }
}

impl AsRef<Entrance> for DeploymentsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A failed call about deployments, as callers see it.
pub(super) fn deployment_error(error: &DeploymentError) -> ApiError {
    let told = |kind| ApiError::new(kind, error.to_string());
    match error {
        DeploymentError::NotFound(_) => told(ErrorKind::DeploymentNotFound),
        DeploymentError::Invalid { field, .. } => {
            told(ErrorKind::InvalidRequest).param(field.clone())
        }
        DeploymentError::Open { .. } => told(ErrorKind::Conflict).param("environment"),
        DeploymentError::WrongStatus { .. } => told(ErrorKind::Conflict).param("status"),
        DeploymentError::Moved { .. } => told(ErrorKind::Conflict),
        DeploymentError::Denied(denied) => denied_error(denied),
        DeploymentError::Prompt(error) => {
            let param = match error {
                PromptError::NoVersion { .. } => "to_version",
                PromptError::NoLabel { .. } => "environment",
                _ => "prompt_id",
            };
            prompt_error(error).param(param)
        }
        DeploymentError::Project(error) => project_error(error).param("project"),
        DeploymentError::Store(error) => store_error(error),
    }
}
