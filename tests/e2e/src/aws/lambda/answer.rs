use std::fmt;

use bytes::{Bytes, BytesMut};
use serde_json::json;
use tokio::sync::mpsc;

/// The largest payload of a synchronous invocation and of a buffered answer, in bytes: 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub(super) const SYNCHRONOUS_LIMIT: usize = 6 * 1024 * 1024;

/// The largest payload of an asynchronous invocation, in bytes: 1 MB
/// (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>; it was 256 KB until 2025).
pub(super) const ASYNCHRONOUS_LIMIT: usize = 1024 * 1024;

/// The largest streamed answer, in bytes: 200 MB (same page as [`SYNCHRONOUS_LIMIT`]).
pub(super) const STREAM_LIMIT: usize = 200 * 1024 * 1024;

/// Why an invocation has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvokeError {
    /// There is no such function.
    NotFound(String),
    /// The payload is larger than this many bytes: `RequestEntityTooLargeException`.
    TooLarge(usize),
    /// The reserved concurrency is used up: `TooManyRequestsException`.
    Throttled,
    /// The function has failed: `X-Amz-Function-Error: Unhandled`.
    Function {
        /// Such as `Sandbox.Timedout`, `Runtime.ExitError` or the program's own.
        kind: String,
        message: String,
    },
}

impl InvokeError {
    pub(super) fn function(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Function { kind: kind.into(), message: message.into() }
    }

    /// The payload that a caller of `Invoke` gets beside `X-Amz-Function-Error`; empty if the
    /// function has not run.
    pub fn payload(&self) -> Bytes {
        match self {
            Self::Function { kind, message } => {
                json!({"errorType": kind, "errorMessage": message}).to_string().into()
            }
            Self::NotFound(_) | Self::TooLarge(_) | Self::Throttled => Bytes::new(),
        }
    }
}

impl fmt::Display for InvokeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(name) => write!(out, "there is no function `{name}`"),
            Self::TooLarge(limit) => write!(out, "the payload is larger than {limit} bytes"),
            Self::Throttled => write!(out, "the reserved concurrency is used up"),
            Self::Function { kind, message } => write!(out, "{kind}: {message}"),
        }
    }
}

impl std::error::Error for InvokeError {}

/// What comes from a function, in this order.
#[derive(Debug)]
pub(super) enum Part {
    /// It has begun to answer.
    Start {
        /// Whether the runtime streams.
        streamed: bool,
        /// The content type that it has declared.
        content_type: String,
    },
    /// A piece of its answer.
    Data(Bytes),
    /// It has answered wholly.
    End,
    /// It has failed, before or after it has begun.
    Failed(InvokeError),
}

/// An answer as it comes. When it is dropped the invocation goes on, and its bytes are lost.
#[derive(Debug)]
pub struct Streamed {
    /// Whether the runtime streams: `Lambda-Runtime-Function-Response-Mode: streaming`.
    pub streamed: bool,
    /// The content type that the runtime has declared.
    pub content_type: String,
    parts: mpsc::Receiver<Part>,
}

impl Streamed {
    /// Waits for the begin of the answer.
    pub(super) async fn begin(mut parts: mpsc::Receiver<Part>) -> Result<Self, InvokeError> {
        match parts.recv().await {
            Some(Part::Start { streamed, content_type }) => {
                Ok(Self { streamed, content_type, parts })
            }
            Some(Part::Failed(error)) => Err(error),
            Some(Part::Data(_) | Part::End) | None => Err(lost()),
        }
    }

    /// The next piece; `None` after a whole answer.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, InvokeError>> {
        match self.parts.recv().await {
            Some(Part::Data(data)) => Some(Ok(data)),
            Some(Part::End) => None,
            Some(Part::Failed(error)) => Some(Err(error)),
            Some(Part::Start { .. }) | None => Some(Err(lost())),
        }
    }

    /// Everything.
    pub async fn collect(mut self) -> Result<Bytes, InvokeError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await {
            whole.extend_from_slice(&chunk?);
            if whole.len() > SYNCHRONOUS_LIMIT {
                return Err(response_too_large());
            }
        }
        Ok(whole.freeze())
    }
}

/// The failure of an answer that is too large for its kind of invocation.
pub(super) fn response_too_large() -> InvokeError {
    InvokeError::function(
        "Function.ResponseSizeTooLarge",
        format!(
            "Response payload size exceeded maximum allowed payload size ({SYNCHRONOUS_LIMIT} \
             bytes)."
        ),
    )
}

/// The host itself has gone.
fn lost() -> InvokeError {
    InvokeError::function("Sandbox.Failure", "the host of the function has ended")
}
