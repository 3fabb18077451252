//! Error bodies in vLLM's shape: `{"error": {"message", "type", "param", "code"}}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<&'static str>,
}

impl ApiError {
    /// A value vLLM itself rejects; its message names the parameter, as `VLLMValidationError` does.
    pub(crate) fn invalid(
        param: &'static str,
        value: impl std::fmt::Display,
        message: impl std::fmt::Display,
    ) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "BadRequestError",
            message: format!("{message} (parameter={param}, value={value})"),
            param: Some(param),
        }
    }

    /// A body that FastAPI rejects before vLLM sees it.
    pub(crate) fn validation(detail: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "Bad Request",
            message: format!("1 validation error:\n  {detail}"),
            param: None,
        }
    }

    /// A body that is not JSON, or lacks a field, or has one of another type.
    pub(crate) fn body(error: &serde_json::Error) -> Self {
        let column = error.column();
        if error.is_data() {
            Self::validation(&format!(
                "{{'type': 'value_error', 'loc': ('body', {column}), 'msg': '{error}'}}"
            ))
        } else {
            Self::validation(&format!(
                "{{'type': 'json_invalid', 'loc': ('body', {column}), 'msg': 'JSON decode error', 'input': {{}}, \
                 'ctx': {{'error': 'Expecting value'}}}}"
            ))
        }
    }

    pub(crate) fn unknown_model(model: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            kind: "NotFoundError",
            message: format!("The model `{model}` does not exist."),
            param: Some("model"),
        }
    }

    /// What Starlette answers by itself: an unknown path, a wrong method, a server that is not up.
    pub(crate) fn plain(status: StatusCode) -> Self {
        let phrase = status.canonical_reason().unwrap_or("Error");
        Self { status, kind: phrase, message: phrase.to_owned(), param: None }
    }

    /// The failure of a `fail_first` fault.
    pub(crate) fn injected(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, message) = match status {
            StatusCode::TOO_MANY_REQUESTS => {
                ("RateLimitError", "Too many requests; injected by the mock")
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                ("ServiceUnavailableError", "The engine is busy; injected by the mock")
            }
            _ => ("InternalServerError", "EngineCore encountered an issue; injected by the mock"),
        };
        Self { status, kind, message: message.to_owned(), param: None }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: u16,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = Detail {
            message: &self.message,
            kind: self.kind,
            param: self.param,
            code: self.status.as_u16(),
        };
        (self.status, Json(Body { error })).into_response()
    }
}
