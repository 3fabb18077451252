use bytes::Bytes;
use diogenes_core::routing::Patience;
use diogenes_core::tenancy::{Allowed, may};
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::dialect::Dialect;
use super::draft::Draft;
use super::headers;
use super::peek::Peek;
use crate::error::ApiError;

/// A request for inference, wherever it comes from.
#[derive(Clone, Debug)]
pub struct InferenceRequest {
    /// Its id, for the answer and for logs.
    pub id: HeaderValue,
    /// When it arrived; what it takes counts from here.
    pub arrived: Instant,
    /// The endpoint that it is for.
    pub dialect: Dialect,
    /// The query string, without the question mark.
    pub query: Option<String>,
    /// Whether nobody waits for the answer: it keeps no replica longer than itself, and its turn at
    /// a busy one is that of background work.
    pub is_background: bool,
    /// Its headers. Those that concern one connection, or its sender's key, go no further.
    pub headers: HeaderMap,
    /// Its body: a JSON object, or a form where the endpoint takes one.
    pub body: Bytes,
}

/// First step: who asks, and what for.
pub(super) struct Admission {
    pub(super) by: Allowed<may::InferenceUse>,
    pub(super) request: InferenceRequest,
    pub(super) peek: Peek,
    pub(super) patience: Patience,
}

impl Admission {
    /// Reads what matters of the request.
    pub(super) fn new(
        by: Allowed<may::InferenceUse>,
        request: InferenceRequest,
        draft: Option<&mut Draft>,
    ) -> Result<Self, ApiError> {
        let peek = Peek::of(request.dialect, &request.headers, &request.body);
        if let Some(draft) = draft {
            draft.called_by(by.principal());
            if let Ok(peek) = &peek {
                draft.asks_for(&peek.model, peek.stream);
            }
        }
        let peek = peek?;
        let prefer_wait = headers::prefer_wait(&request.headers);
        let patience = Patience { stream: peek.stream, prefer_wait };
        Ok(Self { by, request, peek, patience })
    }
}
