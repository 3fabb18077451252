use std::error::Error;

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use diogenes_core::ports::StoreError;

use crate::exit::{Failure, Kind};

/// What AWS did not do, and what the operator does about it.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    pub(crate) next: String,
    source: Option<anyhow::Error>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { kind, what: what.into(), next: next.into(), source: None }
    }

    /// Keeps what it came from, for `--verbose`.
    pub(crate) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Why a call of the IAM action `action` in `region` came to nothing.
    pub(crate) fn of_call<E>(
        action: &'static str,
        region: &str,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let service = action.split(':').next().unwrap_or(action);
        let problem = match &error {
            SdkError::ServiceError(answer) => {
                let failure = answer.err();
                of_code(
                    action,
                    failure.code().unwrap_or("an unknown error"),
                    failure.message().unwrap_or("without a message"),
                )
            }
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => Self::new(
                Kind::Unavailable,
                format!("the AWS service `{service}` cannot be reached in `{region}`"),
                "check the region, the network, and AWS_ENDPOINT_URL if it is set",
            ),
            _ => Self::new(
                Kind::Other,
                format!("the AWS service `{service}` sent an unexpected response"),
                "check AWS_ENDPOINT_URL if it is set; `--verbose` shows more",
            ),
        };
        problem.caused_by(error)
    }

    /// The command's failure; with its causes if they are wanted.
    pub(crate) fn into_failure(self, verbose: bool) -> Failure {
        let text = format!("{}; {}", self.what, self.next);
        match self.source {
            Some(source) if verbose => Failure { kind: self.kind, error: source.context(text) },
            _ => self.kind.because(text),
        }
    }
}

/// The codes of <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html> and their
/// variants in DynamoDB and other services of JSON.
fn of_code(action: &str, code: &str, message: &str) -> Problem {
    match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Problem::new(
            Kind::Denied,
            "your AWS credentials have expired",
            "get new ones, for instance with `aws sso login`",
        ),
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "AuthFailure"
        | "OptInRequired" => Problem::new(
            Kind::Denied,
            format!("AWS rejected your credentials ({code}: {message})"),
            "check AWS_PROFILE and AWS_ACCESS_KEY_ID, that the region is enabled in the account, \
             and this machine's clock",
        ),
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => Problem::new(
            Kind::Denied,
            format!("AWS denied `{action}` ({message})"),
            "use other credentials, or have the action added to your policy",
        ),
        "Throttling" | "ThrottlingException" | "TooManyRequestsException" => {
            Problem::new(Kind::Other, format!("AWS throttled `{action}`"), "try again in a moment")
        }
        _ => Problem::new(
            Kind::Other,
            format!("AWS refused `{action}` ({code}: {message})"),
            "see https://docs.aws.amazon.com for that code",
        ),
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // The reasons say after a semicolon what to do.
        let (kind, what, source) = match error {
            StoreError::Unavailable { reason, source } | StoreError::Unknown { reason, source } => {
                (Kind::Unavailable, reason, source)
            }
            StoreError::Corrupt { reason, source } => (Kind::Config, reason, source),
            error @ (StoreError::Conflict(_)
            | StoreError::Bound(_)
            | StoreError::TooLarge { .. }
            | StoreError::Invalid { .. }
            | StoreError::InvalidCursor) => (Kind::Other, error.to_string(), None),
        };
        let (what, next) = match what.rsplit_once("; ") {
            Some((what, next)) => (what.to_owned(), next.to_owned()),
            None => (what, "check --table and --region; `--verbose` shows more".to_owned()),
        };
        Self { kind, what, next, source: source.map(anyhow::Error::from_boxed) }
    }
}
