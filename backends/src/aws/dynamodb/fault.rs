use std::error::Error;
use std::fmt::Debug;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::operation::describe_time_to_live::DescribeTimeToLiveError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_time_to_live::UpdateTimeToLiveError;
use aws_sdk_dynamodb::types::CancellationReason;

use diogenes_core::causes::cause;

use super::item::Attributes;

/// The code of a cancellation reason whose write was refused by its condition.
pub(super) const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// What one attempt came to, when it came to no result.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) message: String,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// A condition did not hold; with the item that stands there.
    Condition(Option<Attributes>),
    /// The first write of a transaction that was refused was refused by its condition.
    Cancelled(Vec<CancellationReason>),
    /// Nothing happened, because of the load or of another transaction.
    Busy,
    /// Nobody listens at the endpoint.
    NotSent,
    /// It may have happened or not.
    Lost,
    /// There is nobody to sign as.
    NoCredentials,
    /// The caller is not known or not allowed.
    Denied,
    /// The table does not exist.
    NoTable,
    /// The table has other keys or other content than ours.
    Foreign,
    /// The call is one that DynamoDB does not take.
    Invalid,
    /// Another refusal; nothing happened.
    Refused,
}

impl Kind {
    /// Whether the same call may succeed in a moment.
    pub(super) fn passes(&self) -> bool {
        self.passes_undone() || matches!(self, Self::Lost)
    }

    /// The same, where in addition nothing has happened.
    pub(super) fn passes_undone(&self) -> bool {
        matches!(self, Self::Busy | Self::NotSent)
    }
}

/// An operation's error, as far as the classification needs to know it.
pub(super) trait Modeled: ProvideErrorMetadata + Error + Send + Sync + 'static {
    /// What a refused condition left in the answer, and the text that says more than the answer's.
    fn refusal(&self) -> Option<(Kind, Option<String>)> {
        None
    }
}

impl Modeled for GetItemError {}
impl Modeled for QueryError {}
impl Modeled for CreateTableError {}
impl Modeled for DescribeTableError {}
impl Modeled for DescribeTimeToLiveError {}
impl Modeled for UpdateTimeToLiveError {}

macro_rules! refused_by_condition {
    ($($error:ident),*) => { $(
        impl Modeled for $error {
            fn refusal(&self) -> Option<(Kind, Option<String>)> {
                match self {
                    Self::ConditionalCheckFailedException(failed) => {
                        let item = failed.item.clone().filter(|item| !item.is_empty());
                        Some((Kind::Condition(item), None))
                    }
                    _ => None,
                }
            }
        }
    )* };
}
refused_by_condition!(PutItemError, DeleteItemError, UpdateItemError);

impl Modeled for TransactWriteItemsError {
    fn refusal(&self) -> Option<(Kind, Option<String>)> {
        match self {
            Self::TransactionCanceledException(cancelled) => {
                Some(cancellation(cancelled.cancellation_reasons()))
            }
            _ => None,
        }
    }
}

/// The first reason decides: what stands behind a write that met another transaction is known
/// only after a repeat.
fn cancellation(reasons: &[CancellationReason]) -> (Kind, Option<String>) {
    let Some(first) = reasons.iter().find(|reason| reason.code() != Some("None")) else {
        return (Kind::Refused, None);
    };
    let kind = match first.code().unwrap_or_default() {
        CONDITION_FAILED => Kind::Cancelled(reasons.to_vec()),
        "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded" => Kind::Busy,
        "ValidationError" => wrong_call(first.message()),
        "AccessDenied" => Kind::Denied,
        _ => Kind::Refused,
    };
    (kind, first.message().map(str::to_owned))
}

impl Fault {
    pub(super) fn of<E: Modeled>(error: SdkError<E, HttpResponse>) -> Self {
        let (kind, message) = match &error {
            SdkError::ConstructionFailure(_) => (Kind::NoCredentials, None),
            SdkError::DispatchFailure(_) if cause::<CredentialsError>(&error).is_some() => {
                (Kind::NoCredentials, None)
            }
            SdkError::DispatchFailure(_) if cause(&error).is_some_and(no_connection) => {
                (Kind::NotSent, None)
            }
            SdkError::ServiceError(answer) => {
                let failure = answer.err();
                let (kind, message) = failure.refusal().unwrap_or_else(|| {
                    let status = answer.raw().status().as_u16();
                    let code = failure.code().unwrap_or_default();
                    (answered(code, failure.message(), status), None)
                });
                (kind, message.or_else(|| failure.message().map(str::to_owned)))
            }
            _ => (Kind::Lost, None),
        };
        // Without the raw answer, whose body holds documents and must not reach a log.
        let source = error.into_source().unwrap_or_else(Into::into);
        let message = message.unwrap_or_else(|| source.to_string());
        Self { kind, message, source }
    }

    /// The fault of an answer that says nothing.
    pub(super) fn lost(what: &str) -> Self {
        Self { kind: Kind::Lost, message: what.to_owned(), source: what.into() }
    }
}

/// The kind of an answer with this code.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
fn answered(code: &str, message: Option<&str>, status: u16) -> Kind {
    match code {
        "ThrottlingException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "TransactionConflictException"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException"
        | "LimitExceededException" => Kind::Busy,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "OptInRequired" => Kind::Denied,
        // So say emulators of an index that is missing; AWS says it as a ValidationException.
        "ResourceNotFoundException" if message == Some("Index not found") => Kind::Foreign,
        "ResourceNotFoundException" => Kind::NoTable,
        "ValidationException" => wrong_call(message),
        _ if status >= 500 => Kind::Lost,
        _ => Kind::Refused,
    }
}

/// DynamoDB has one code for every wrong call; our own calls are wrong only for another's table
/// or another's items, and for a transaction that is too large.
fn wrong_call(message: Option<&str>) -> Kind {
    let message = message.unwrap_or_default().to_lowercase();
    let about_the_shape =
        ["schema", "specified index", "missing the key", "type mismatch", "operand"];
    if about_the_shape.iter().any(|part| message.contains(part)) {
        Kind::Foreign
    } else {
        Kind::Invalid
    }
}

/// Whether the request surely never reached DynamoDB.
fn no_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
