//! Errors as callers see them, and the one table that maps them to HTTP.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use diogenes_core::fleet::{FailureKind, Progress};
use diogenes_core::keys::{BeyondOwn, KeyError, KeyRejection};
use diogenes_core::ports::{AdmitError, LedgerError, LimitExceeded, StoreError};
use diogenes_core::routing::retry_after;
use diogenes_core::tenancy::ProjectError;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

/// What went wrong. Each kind has a stable `code`, a status and an OpenAI error type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The body is not JSON.
    InvalidJson,
    /// A field is missing, of the wrong type, or makes no sense.
    InvalidRequest,
    /// A field that the control plane does not know.
    UnknownField,
    /// The inference request does not name a model.
    MissingModel,
    /// Nobody registered the model.
    ModelNotFound,
    /// There is nothing at this path.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// The body is too large.
    BodyTooLarge,
    /// The body did not arrive whole.
    BodyIncomplete,
    /// No `Authorization: Bearer`.
    MissingApiKey,
    /// Not a key, or none that was issued.
    InvalidApiKey,
    /// A key that was revoked.
    RevokedApiKey,
    /// A key whose time is over.
    ExpiredApiKey,
    /// The key may not do this.
    InsufficientScope,
    /// The key may not use this model.
    ModelNotAllowed,
    /// The key, or the route, lets no request leave for a provider.
    EgressNotAllowed,
    /// What is left of a budget does not suffice.
    BudgetExceeded,
    /// The request can use more than a whole budget.
    RequestExceedsBudget,
    /// The rest of a budget is set aside for requests under way.
    BudgetReserved,
    /// A budget in money counts the request, and its target has no price.
    ModelUnpriced,
    /// `diogenes.toml` owns this model.
    ModelReadOnly,
    /// Somebody else has written in the meantime.
    Conflict,
    /// What stands is not what `If-Match` or `If-None-Match` names.
    PreconditionFailed,
    /// There is no such key.
    KeyNotFound,
    /// The project does not exist, or the caller may not know of it.
    ProjectNotFound,
    /// There is no such budget.
    BudgetNotFound,
    /// There is no such route.
    RouteNotFound,
    RateCardNotFound,
    /// There is no such provider.
    ProviderNotFound,
    /// There is no such file, or it belongs to another project.
    FileNotFound,
    /// There is no such upload, or it belongs to another project.
    UploadNotFound,
    /// There is no such batch, or it belongs to another project.
    BatchNotFound,
    /// There is no such job, or it belongs to another project.
    JobNotFound,
    /// There is no such schedule, or it belongs to another project.
    ScheduleNotFound,
    PromptNotFound,
    PromptVersionNotFound,
    PromptArchived,
    /// The values do not fit the prompt.
    PromptNotRendered,
    /// There is no such eval run.
    EvalNotFound,
    /// There is no such deployment, or it belongs to another project.
    DeploymentNotFound,
    DatasetNotFound,
    SnapshotNotFound,
    ExampleNotFound,
    /// There is no room for another file.
    NoRoom,
    /// The configuration of `serve` owns the route or provider.
    ReadOnly,
    /// The project of the caller's key is archived.
    ProjectArchived,
    /// A cursor of another listing.
    InvalidCursor,
    /// A limit of the key.
    RateLimited,
    /// Too many requests wait for the model.
    TooManyHeld,
    /// No replica is ready yet.
    ModelWarming,
    /// Its replicas have as many requests as they take at once.
    ModelBusy,
    /// The last scale-up failed.
    ModelFailed(FailureKind),
    /// An operator took the model down while the request waited.
    ModelDown,
    /// A provider has failed, or has asked for a pause.
    ProviderUnavailable,
    /// The replica refused or closed the connection.
    UpstreamUnreachable,
    /// The replica answered with an error that says nothing, or with something other than what was
    /// asked for.
    UpstreamRefused,
    /// The replica refused the key that Diogenes sent.
    UpstreamDenied,
    /// The request has ended one replica after the other.
    RequestCrashesModel,
    /// The answer ended before its end.
    UpstreamCut,
    /// The answer stopped coming.
    UpstreamStalled,
    /// The answer is not HTTP.
    UpstreamMalformed,
    /// The answer is too large to buffer.
    UpstreamTooLarge,
    /// The request has taken too long.
    Deadline,
    /// The server is shutting down.
    ShuttingDown,
    /// The store does not answer.
    StoreUnavailable,
    /// A bug.
    Internal,
}

impl ErrorKind {
    /// Status and code: the table.
    pub fn http(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidJson => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::UnknownField => (StatusCode::BAD_REQUEST, "unknown_field"),
            Self::MissingModel => (StatusCode::BAD_REQUEST, "missing_model"),
            Self::BodyIncomplete => (StatusCode::BAD_REQUEST, "body_incomplete"),
            Self::InvalidCursor => (StatusCode::BAD_REQUEST, "invalid_cursor"),
            Self::MissingApiKey => (StatusCode::UNAUTHORIZED, "missing_api_key"),
            Self::InvalidApiKey => (StatusCode::UNAUTHORIZED, "invalid_api_key"),
            Self::RevokedApiKey => (StatusCode::UNAUTHORIZED, "revoked_api_key"),
            Self::ExpiredApiKey => (StatusCode::UNAUTHORIZED, "expired_api_key"),
            Self::InsufficientScope => (StatusCode::FORBIDDEN, "insufficient_scope"),
            Self::ModelNotAllowed => (StatusCode::FORBIDDEN, "model_not_allowed"),
            Self::EgressNotAllowed => (StatusCode::FORBIDDEN, "egress_not_allowed"),
            Self::BudgetExceeded => (StatusCode::PAYMENT_REQUIRED, "budget_exceeded"),
            Self::RequestExceedsBudget => (StatusCode::PAYMENT_REQUIRED, "request_exceeds_budget"),
            Self::BudgetReserved => (StatusCode::TOO_MANY_REQUESTS, "budget_reserved"),
            Self::ModelUnpriced => (StatusCode::PAYMENT_REQUIRED, "model_unpriced"),
            Self::ModelNotFound => (StatusCode::NOT_FOUND, "model_not_found"),
            Self::KeyNotFound => (StatusCode::NOT_FOUND, "key_not_found"),
            Self::ProjectNotFound => (StatusCode::NOT_FOUND, "project_not_found"),
            Self::BudgetNotFound => (StatusCode::NOT_FOUND, "budget_not_found"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "route_not_found"),
            Self::RateCardNotFound => (StatusCode::NOT_FOUND, "rate_card_not_found"),
            Self::ProviderNotFound => (StatusCode::NOT_FOUND, "provider_not_found"),
            Self::FileNotFound => (StatusCode::NOT_FOUND, "file_not_found"),
            Self::UploadNotFound => (StatusCode::NOT_FOUND, "upload_not_found"),
            Self::BatchNotFound => (StatusCode::NOT_FOUND, "batch_not_found"),
            Self::JobNotFound => (StatusCode::NOT_FOUND, "job_not_found"),
            Self::ScheduleNotFound => (StatusCode::NOT_FOUND, "schedule_not_found"),
            Self::PromptNotFound => (StatusCode::NOT_FOUND, "prompt_not_found"),
            Self::PromptVersionNotFound => (StatusCode::NOT_FOUND, "prompt_version_not_found"),
            Self::PromptArchived => (StatusCode::CONFLICT, "prompt_archived"),
            Self::PromptNotRendered => (StatusCode::BAD_REQUEST, "prompt_not_rendered"),
            Self::EvalNotFound => (StatusCode::NOT_FOUND, "eval_not_found"),
            Self::DeploymentNotFound => (StatusCode::NOT_FOUND, "deployment_not_found"),
            Self::DatasetNotFound => (StatusCode::NOT_FOUND, "dataset_not_found"),
            Self::SnapshotNotFound => (StatusCode::NOT_FOUND, "snapshot_not_found"),
            Self::ExampleNotFound => (StatusCode::NOT_FOUND, "example_not_found"),
            Self::NoRoom => (StatusCode::INSUFFICIENT_STORAGE, "no_room"),
            Self::ReadOnly => (StatusCode::CONFLICT, "read_only"),
            Self::ProjectArchived => (StatusCode::UNAUTHORIZED, "project_archived"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::ModelReadOnly => (StatusCode::CONFLICT, "model_read_only"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            Self::TooManyHeld => (StatusCode::TOO_MANY_REQUESTS, "too_many_held_requests"),
            Self::UpstreamUnreachable => (StatusCode::BAD_GATEWAY, "upstream_unreachable"),
            Self::UpstreamRefused => (StatusCode::BAD_GATEWAY, "upstream_refused"),
            Self::UpstreamDenied => (StatusCode::BAD_GATEWAY, "upstream_denied"),
            Self::RequestCrashesModel => {
                (StatusCode::UNPROCESSABLE_ENTITY, "request_crashes_model")
            }
            Self::UpstreamCut => (StatusCode::BAD_GATEWAY, "upstream_cut"),
            Self::UpstreamStalled => (StatusCode::GATEWAY_TIMEOUT, "upstream_stalled"),
            Self::UpstreamMalformed => (StatusCode::BAD_GATEWAY, "upstream_malformed"),
            Self::UpstreamTooLarge => (StatusCode::BAD_GATEWAY, "upstream_too_large"),
            Self::ModelWarming => (StatusCode::SERVICE_UNAVAILABLE, "model_warming"),
            Self::ModelBusy => (StatusCode::SERVICE_UNAVAILABLE, "model_busy"),
            Self::ProviderUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"),
            Self::ModelDown => (StatusCode::SERVICE_UNAVAILABLE, "model_down"),
            Self::Deadline => (StatusCode::GATEWAY_TIMEOUT, "deadline"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
            Self::ModelFailed(kind) => (
                StatusCode::SERVICE_UNAVAILABLE,
                match kind {
                    FailureKind::Capacity => "model_failed_capacity",
                    FailureKind::Quota => "model_failed_quota",
                    FailureKind::InvalidSpec => "model_failed_invalid_spec",
                    FailureKind::Denied => "model_failed_denied",
                    FailureKind::BootTimeout => "model_failed_boot_timeout",
                    FailureKind::Exited => "model_failed_exited",
                    FailureKind::Unavailable => "model_failed_unavailable",
                },
            ),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }
}

/// OpenAI's error type, by status.
fn openai_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::PAYMENT_REQUIRED => "insufficient_quota",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

/// An error on its way to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What to tell the caller: what happened, and what to do next.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// When a retry has a chance.
    pub retry_after: Option<Duration>,
    /// Headers that belong to this error.
    pub headers: Vec<(HeaderName, String)>,
    /// A status other than the kind's: that of the inference server which refused.
    pub upstream_status: Option<StatusCode>,
}

/// OpenAI's error object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// The inside of OpenAI's error object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// What happened, and what to do next.
    pub message: String,
    /// The class of the error.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field at fault.
    pub param: Option<String>,
    /// What happened, stable for programs.
    pub code: String,
}

impl ApiError {
    /// An error with a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            retry_after: None,
            headers: Vec::new(),
            upstream_status: None,
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when a retry has a chance.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Answers with the status of the inference server.
    #[must_use]
    pub fn upstream_status(mut self, status: StatusCode) -> Self {
        self.upstream_status = Some(status);
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.upstream_status.unwrap_or_else(|| self.kind.http().0)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }

    /// No replica is ready; `progress` tells how long it will be.
    pub fn warming(model: &str, progress: &Progress) -> Self {
        // Rounded up, everywhere alike.
        let eta = progress.eta.map(|eta| eta.as_secs() + u64::from(eta.subsec_nanos() > 0));
        let soon = eta.map_or_else(
            || "no estimate yet".into(),
            |eta| {
                let eta = Duration::from_secs(eta.max(1));
                format!("about {} to go", diogenes_core::duration::format(eta))
            },
        );
        let error = Self::new(
            ErrorKind::ModelWarming,
            format!("model `{model}` is starting (phase `{}`, {soon}); retry after the time in `Retry-After`", progress.phase),
        )
        .retry_after(retry_after(progress.eta))
        .header("x-diogenes-phase", progress.phase.as_str());
        match eta {
            Some(eta) => error.header("x-diogenes-eta-seconds", eta.to_string()),
            None => error,
        }
    }

    /// A bug or a broken store: the cause goes to the log, a fixed text to the caller.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a request failed inside");
        Self::new(
            ErrorKind::Internal,
            "internal error; the cause is in the log of Diogenes, under the `x-request-id` of this response",
        )
    }

    /// The error object.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: self.message.clone(),
                kind: openai_type(self.status()).into(),
                param: self.param.clone(),
                code: self.kind.http().1.into(),
            },
        }
    }

    /// The same for a caller whom a retry will not help. OpenAI's clients honour the header, and
    /// retry twice without it.
    #[must_use]
    pub fn no_retry(self) -> Self {
        self.header("x-should-retry", "false")
    }

    /// The error as an event of a stream that has begun: `data: {"error": …}` and a blank line.
    pub fn event(&self) -> String {
        format!("data: {}\n\n", self.json())
    }

    /// Its body: `{"error": …}`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::to_value(self.body()).unwrap_or_default()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response.extensions_mut().insert(self.kind);
        response
    }
}

/// A failed ledger, as callers see it; a refusal means something else to each caller and is handled
/// there first.
pub fn ledger_error(error: &LedgerError) -> ApiError {
    match error {
        LedgerError::Store(error) => store_error(error),
        error => ApiError::internal(error),
    }
}

/// A failed store, as callers see it. Not a `From`: a conflict means something else to each
/// caller and is handled there first.
pub fn store_error(error: &StoreError) -> ApiError {
    match error {
        StoreError::Conflict(_) => ApiError::new(
            ErrorKind::Conflict,
            "another request changed this at the same time; read it again and retry",
        ),
        StoreError::InvalidCursor => {
            ApiError::new(ErrorKind::InvalidCursor, error.to_string()).param("cursor")
        }
        StoreError::TooLarge { .. } => ApiError::new(ErrorKind::InvalidRequest, error.to_string()),
        StoreError::Unavailable { .. } | StoreError::Unknown { .. } => {
            tracing::error!(error = error as &dyn std::error::Error, "the store is not available");
            ApiError::new(
                ErrorKind::StoreUnavailable,
                "the state store is not available; retry soon",
            )
            .retry_after(Duration::from_secs(1))
        }
        StoreError::Bound(_) | StoreError::Invalid { .. } | StoreError::Corrupt { .. } => {
            ApiError::internal(error)
        }
    }
}

/// A key that was refused, or a failed call about keys.
pub fn key_error(error: &KeyError) -> ApiError {
    match error {
        KeyError::NotFound(_) => ApiError::new(ErrorKind::KeyNotFound, error.to_string()),
        KeyError::Rejected(rejection) => {
            let kind = match rejection {
                KeyRejection::Unknown => ErrorKind::InvalidApiKey,
                KeyRejection::Revoked(_) => ErrorKind::RevokedApiKey,
                KeyRejection::Expired(_) => ErrorKind::ExpiredApiKey,
                KeyRejection::Project(_) => ErrorKind::ProjectArchived,
            };
            let next = match rejection {
                // It says so itself.
                KeyRejection::Unknown | KeyRejection::Project(_) => "",
                KeyRejection::Revoked(_) | KeyRejection::Expired(_) => {
                    "; use another one, or create one with `diogenes key create`"
                }
            };
            ApiError::new(kind, format!("{rejection}{next}"))
        }
        KeyError::Invalid { field, .. } => {
            ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param(*field)
        }
        KeyError::BeyondOwn(beyond) => {
            let param = match beyond {
                BeyondOwn::Scope { .. } => "scopes",
                BeyondOwn::Models { .. } => "models",
                BeyondOwn::Expiry { .. } => "expires_at",
                BeyondOwn::Limits { .. } => "limits",
                BeyondOwn::Weight { .. } => "weight",
                BeyondOwn::Egress { .. } => "egress",
            };
            ApiError::new(ErrorKind::InsufficientScope, error.to_string()).param(param)
        }
        KeyError::Project(error) => project_error(error).param("project"),
        KeyError::Store(error) => store_error(error),
    }
}

/// A project that was not read, changed or used.
pub fn project_error(error: &ProjectError) -> ApiError {
    match error {
        ProjectError::NotFound(_) => ApiError::new(ErrorKind::ProjectNotFound, error.to_string()),
        ProjectError::Archived(_) | ProjectError::Exists(_) | ProjectError::Default => {
            ApiError::new(ErrorKind::Conflict, error.to_string())
        }
        ProjectError::Description => {
            ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param("description")
        }
        ProjectError::Store(error) => store_error(error),
    }
}

/// nginx's status for a caller who closed the connection before the answer.
pub(crate) fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A request that was not admitted.
pub fn admit_error(error: &AdmitError) -> ApiError {
    match error {
        AdmitError::Exceeded(exceeded) => limit_error(exceeded),
        AdmitError::Store(error) => store_error(error),
    }
}

/// A request beyond a limit of its key.
fn limit_error(error: &LimitExceeded) -> ApiError {
    let lower = if error.tokens_left().is_some() { "set a lower `max_tokens`, or " } else { "" };
    let message = format!("{error}; {lower}retry after the time in `Retry-After`");
    ApiError::new(ErrorKind::RateLimited, message).retry_after(error.retry_after)
}
