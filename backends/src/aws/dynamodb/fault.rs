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
use diogenes_core::ports::StoreError;

use super::item::Attributes;

/// The code of a cancellation reason whose write was refused by its condition.
pub(super) const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// What one attempt came to, when it came to no result.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    message: String,
    source: Box<dyn Error + Send + Sync>,
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
        matches!(self, Self::Busy | Self::NotSent | Self::Lost)
    }
}

/// An operation's error, as far as the classification needs to know it.
pub(super) trait Modeled: ProvideErrorMetadata + Error + Send + Sync + 'static {
    /// What a refused condition left in the answer.
    fn refusal(&self) -> Option<Kind> {
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
            fn refusal(&self) -> Option<Kind> {
                match self {
                    Self::ConditionalCheckFailedException(failed) => {
                        Some(Kind::Condition(failed.item.clone().filter(|item| !item.is_empty())))
                    }
                    _ => None,
                }
            }
        }
    )* };
}
refused_by_condition!(PutItemError, DeleteItemError, UpdateItemError);

impl Modeled for TransactWriteItemsError {
    fn refusal(&self) -> Option<Kind> {
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
fn cancellation(reasons: &[CancellationReason]) -> Kind {
    let first = reasons.iter().filter_map(CancellationReason::code).find(|code| *code != "None");
    match first {
        Some(CONDITION_FAILED) => Kind::Cancelled(reasons.to_vec()),
        Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
            Kind::Busy
        }
        Some("ValidationError") => Kind::Invalid,
        Some("AccessDenied") => Kind::Denied,
        _ => Kind::Refused,
    }
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
                let kind = failure.refusal().unwrap_or_else(|| {
                    let status = answer.raw().status().as_u16();
                    answered(failure.code().unwrap_or_default(), failure.message(), status)
                });
                (kind, Some(failure.message().map_or_else(|| failure.to_string(), str::to_owned)))
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

    /// The port's error for this fault of `call`, whose earlier attempts were perhaps `in_doubt`.
    pub(super) fn into_store_error(self, call: &Call, in_doubt: bool) -> StoreError {
        let table = &call.table;
        let unknown = call.writes && (in_doubt || self.kind == Kind::Lost);
        let reason = match &self.kind {
            Kind::Condition(_) | Kind::Cancelled(_) => {
                format!(
                    "table `{table}` refused a write that was repeated; read before trying again"
                )
            }
            Kind::Busy => format!(
                "table `{table}` is throttled or busy with other transactions; try again in a \
                 moment"
            ),
            Kind::NotSent => format!(
                "nobody listens where table `{table}` should be; check `AWS_REGION`, \
                 `AWS_ENDPOINT_URL` and the network"
            ),
            Kind::Lost if call.writes => {
                format!("table `{table}` did not answer a write; read before trying again")
            }
            Kind::Lost => format!("table `{table}` did not answer; try again in a moment"),
            Kind::NoCredentials => format!(
                "the call to table `{table}` could not be signed; give this program AWS \
                 credentials and a region"
            ),
            Kind::Denied => call.denied(&self.message),
            Kind::NoTable => missing_table(table),
            Kind::Foreign => format!(
                "table `{table}` is not one of Diogenes ({}); it needs {SHAPE}; create one with \
                 `sam deploy`, or correct `DIOGENES_TABLE`",
                self.message
            ),
            Kind::Invalid | Kind::Refused => {
                format!("table `{table}` refused the call: {}", self.message)
            }
        };
        let invalid = self.kind == Kind::Invalid;
        let foreign = self.kind == Kind::Foreign;
        let source = Some(self.source);
        if unknown {
            StoreError::Unknown { reason, source }
        } else if foreign {
            StoreError::Corrupt { reason, source }
        } else if invalid {
            StoreError::Invalid { reason }
        } else {
            StoreError::Unavailable { reason, source }
        }
    }
}

/// What a table must be.
pub(super) const SHAPE: &str = "the string keys `pk` and `sk`, an index named `index` on the \
     strings `ipk` and `isk` with all attributes, and the TTL attribute `ttl`";

pub(super) fn missing_table(table: &str) -> String {
    format!(
        "table `{table}` does not exist in this account and region; create it with `sam deploy`, \
         or correct `DIOGENES_TABLE` or `AWS_REGION`"
    )
}

/// What a call does to what, for the text of its failure.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) table: String,
    /// The IAM actions that it needs.
    pub(super) actions: Vec<&'static str>,
    /// The partitions of the table that it touches; none for calls about the whole table.
    pub(super) partitions: Vec<String>,
    /// Whether it may have changed something.
    pub(super) writes: bool,
}

impl Call {
    fn denied(&self, message: &str) -> String {
        let place = match self.partitions.as_slice() {
            [] => String::new(),
            partitions => format!(" on partition {}", quoted(partitions)),
        };
        format!(
            "AWS does not allow {}{place} of table `{}` ({message}); add it to the policy of this \
             role",
            quoted(&self.actions),
            self.table
        )
    }
}

fn quoted(names: &[impl AsRef<str>]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    names.join(", ")
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
        "ResourceNotFoundException" => Kind::NoTable,
        "ValidationException" if is_about_the_shape(message.unwrap_or_default()) => Kind::Foreign,
        "ValidationException" => Kind::Invalid,
        _ if status >= 500 => Kind::Lost,
        _ => Kind::Refused,
    }
}

/// DynamoDB has one code for every wrong call; our own calls are wrong only for another's table
/// or another's items.
fn is_about_the_shape(message: &str) -> bool {
    let message = message.to_lowercase();
    ["schema", "specified index", "missing the key", "type mismatch", "operand"]
        .iter()
        .any(|part| message.contains(part))
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

/// The first cause of this type.
fn cause<'a, C: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a C> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
