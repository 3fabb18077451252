//! What the handlers of evals share.

use std::sync::Arc;

use diogenes_core::evals::{Draft, EvalError, Evals, NewEval};
use diogenes_core::tenancy::Principal;

use crate::auth::denied_error;
use crate::control::datasets::dataset_error;
use crate::control::extract::Entrance;
use crate::control::jobs::job_error;
use crate::control::prompts::prompt_error;
use crate::error::{ApiError, ErrorKind, project_error, store_error};
use crate::jobs::HttpJobs;
use crate::proxy::Gateway;

/// What the handlers of evals share.
pub struct EvalsArea {
    entrance: Entrance,
    pub(super) evals: Evals,
    gateway: Option<Arc<Gateway>>,
    webhooks: Option<Arc<HttpJobs>>,
}

impl EvalsArea {
    /// The area over this service.
    pub fn new(entrance: Entrance, evals: Evals) -> Self {
        Self { entrance, evals, gateway: None, webhooks: None }
    }

    /// Refuses runs of models that nobody could ask.
    #[must_use]
    pub fn with_gateway(self, gateway: Arc<Gateway>) -> Self {
        Self { gateway: Some(gateway), ..self }
    }

    /// Lets services score, where `http` jobs may go.
    #[must_use]
    pub fn with_webhooks(self, webhooks: Arc<HttpJobs>) -> Self {
        Self { webhooks: Some(webhooks), ..self }
    }

    /// Checks a wanted run, the models that it asks included.
    pub(super) async fn draft(&self, by: &Principal, new: NewEval) -> Result<Draft, ApiError> {
        let draft = self.evals.draft(by, new).await.map_err(|error| eval_error(&error))?;
        if let Some(gateway) = &self.gateway {
            for (field, model) in draft.models() {
                gateway.ground(by, &model, 0).await.map_err(|error| error.param(field))?;
            }
        }
        for (field, url) in draft.webhooks() {
            let of = |message: String| ApiError::new(ErrorKind::InvalidRequest, message);
            let Some(http) = &self.webhooks else {
                return Err(of("this installation asks no webhooks".into()).param(field));
            };
            let checked = http.check_url(&url);
            checked.map_err(|error| of(format!("`{field}`: {error}")).param(field.clone()))?;
        }
        Ok(draft)
    }
}

impl AsRef<Entrance> for EvalsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A failed call about evals, as callers see it.
pub(super) fn eval_error(error: &EvalError) -> ApiError {
    let told = |kind| ApiError::new(kind, error.to_string());
    match error {
        EvalError::NotFound(_) => told(ErrorKind::EvalNotFound),
        EvalError::NoDataset(_) => told(ErrorKind::DatasetNotFound).param("dataset"),
        EvalError::Dataset(error) => dataset_error(error).param("dataset"),
        EvalError::Invalid { field, .. } => told(ErrorKind::InvalidRequest).param(field.clone()),
        EvalError::NotCancellable { .. } | EvalError::NotEnded { .. } => told(ErrorKind::Conflict),
        EvalError::NotComparable(_) => told(ErrorKind::InvalidRequest).param("baseline"),
        EvalError::Stats(_) => told(ErrorKind::InvalidRequest),
        EvalError::Denied(denied) => denied_error(denied),
        EvalError::Prompt(error) => {
            let error = prompt_error(error);
            if error.param.is_some() { error } else { error.param("prompt") }
        }
        EvalError::Job(error) => job_error(error),
        EvalError::Project(error) => project_error(error).param("project"),
        EvalError::Examples(_) => ApiError::internal(error),
        EvalError::Store(error) => store_error(error),
    }
}
