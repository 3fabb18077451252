//! What the handlers of prompts share.

use std::sync::Arc;

use diogenes_core::prompts::{Prompt, PromptError, PromptShelf, Prompts};

use crate::control::extract::Entrance;
use crate::error::{ApiError, ErrorKind, project_error, store_error};
use crate::proxy::Gateway;

/// What the handlers of prompts share.
pub struct PromptsArea {
    entrance: Entrance,
    pub(super) prompts: Prompts,
    shelf: Option<Arc<PromptShelf>>,
    pub(super) gateway: Option<Arc<Gateway>>,
}

impl PromptsArea {
    /// The area over this service.
    pub fn new(entrance: Entrance, prompts: Prompts) -> Self {
        Self { entrance, prompts, shelf: None, gateway: None }
    }

    /// Tells requests of this process at once what has changed.
    #[must_use]
    pub fn with_shelf(self, prompts: Arc<PromptShelf>) -> Self {
        Self { shelf: Some(prompts), ..self }
    }

    /// Compares versions by the embeddings of models, where a caller names one.
    #[must_use]
    pub fn with_gateway(self, gateway: Arc<Gateway>) -> Self {
        Self { gateway: Some(gateway), ..self }
    }

    /// Tells requests of this process that a prompt is not as it was.
    pub(super) fn changed(&self, prompt: &Prompt) {
        if let Some(shelf) = &self.shelf {
            shelf.changed(&prompt.project, &prompt.slug);
        }
    }
}

impl AsRef<Entrance> for PromptsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A failed call about prompts, as callers see it.
pub(crate) fn prompt_error(error: &PromptError) -> ApiError {
    let told = |kind| ApiError::new(kind, error.to_string());
    match error {
        PromptError::NotFound(_) => told(ErrorKind::PromptNotFound),
        PromptError::NoVersion { .. } | PromptError::NoLabel { .. } => {
            told(ErrorKind::PromptVersionNotFound)
        }
        PromptError::Archived(_) => told(ErrorKind::PromptArchived),
        PromptError::NotArchived(_) => told(ErrorKind::Conflict).param("status"),
        PromptError::Exists(_) | PromptError::NotAfter { .. } => {
            told(ErrorKind::Conflict).param("after")
        }
        PromptError::UnderDeployment { .. } => told(ErrorKind::Conflict).param("label"),
        PromptError::LabelElsewhere { .. } => told(ErrorKind::Conflict).param("from"),
        PromptError::Protected { .. } => told(ErrorKind::InsufficientScope).param("label"),
        PromptError::Invalid(problem) => {
            told(ErrorKind::InvalidRequest).param(problem.field.clone())
        }
        PromptError::Render { problem, .. } => {
            told(ErrorKind::PromptNotRendered).param(problem.field.clone())
        }
        PromptError::Project(error) => project_error(error).param("project"),
        PromptError::Store(error) => store_error(error),
    }
}
