use serde::Serialize;

use crate::gateway::translation::answer::Stop;
use crate::gateway::translation::error_object::{ErrorObject, ErrorType};

#[derive(Clone, Copy)]
pub(super) enum Status<'a> {
    InProgress,
    Completed,
    Incomplete { reason: &'static str },
    Failed(&'a ErrorObject),
}

impl Status<'_> {
    pub(super) fn of(stop: &Stop) -> Self {
        match stop {
            Stop::End | Stop::Sequence(_) | Stop::Tools => Self::Completed,
            Stop::Limit => Self::Incomplete { reason: "max_output_tokens" },
            Stop::Refusal => Self::Incomplete { reason: "content_filter" },
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete { .. } => "incomplete",
            Self::Failed(_) => "failed",
        }
    }

    /// The name of the event that ends a stream.
    pub(super) fn final_event(&self) -> &'static str {
        match self {
            Self::InProgress | Self::Completed => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Failed(_) => "response.failed",
        }
    }

    pub(super) fn incomplete_details(&self) -> Option<IncompleteDetails> {
        match self {
            Self::Incomplete { reason } => Some(IncompleteDetails { reason }),
            Self::InProgress | Self::Completed | Self::Failed(_) => None,
        }
    }

    pub(super) fn error(&self) -> Option<Failure<'_>> {
        match self {
            Self::Failed(error) => Some(Failure { code: code_of(error), message: &error.message }),
            Self::InProgress | Self::Completed | Self::Incomplete { .. } => None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Failure<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
pub(super) struct IncompleteDetails {
    reason: &'static str,
}

/// The code of a failure, by which clients choose whether to retry.
fn code_of(error: &ErrorObject) -> &str {
    error.code.as_deref().unwrap_or(match error.kind {
        ErrorType::RateLimit => "rate_limit_exceeded",
        ErrorType::Billing => "insufficient_quota",
        ErrorType::InvalidRequest | ErrorType::RequestTooLarge => "invalid_prompt",
        ErrorType::Overloaded
        | ErrorType::Authentication
        | ErrorType::Permission
        | ErrorType::NotFound
        | ErrorType::Timeout
        | ErrorType::Api => "server_error",
    })
}
