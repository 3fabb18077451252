use bytes::Bytes;
use diogenes_core::gateway::budget::Budget;
use diogenes_core::routing::Patience;
use diogenes_core::tenancy::{Allowed, may};
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::dialect::Dialect;
use super::draft::Draft;
use super::gateway::Gateway;
use super::headers;
use super::peek::Peek;
use super::prompting::{Prompted, expanded};
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
    /// A budget that counts it beside those of its key, its project and its route.
    pub allowance: Option<Box<Budget>>,
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
    /// Reads what matters of the request, and puts the prompt in place that it names, if it names one.
    pub(super) async fn new(
        gateway: &Gateway,
        by: Allowed<may::InferenceUse>,
        mut request: InferenceRequest,
        draft: &mut Option<Draft>,
        prompted: &mut Option<Prompted>,
    ) -> Result<Self, ApiError> {
        if let Some(draft) = draft {
            draft.called_by(by.principal());
        }
        let dialect = request.dialect;
        let read = |body: &Bytes| Peek::of(dialect, &request.headers, body);
        let mut peek = read(&request.body)?;
        if let Some(place) = peek.prompt_at.take() {
            // Its own allocation, as few requests need the room.
            let found = Box::pin(expanded(gateway, &by, &request, place, draft)).await?;
            if let Some((body, told)) = found {
                peek = read(&body)?;
                request.body = body;
                if let Some(draft) = draft {
                    draft.made_of(told.version().to_owned());
                }
                *prompted = Some(told);
            }
        }
        peek.check_model()?;
        if let Some(draft) = draft {
            draft.asks_for(&peek.model, peek.stream);
        }
        let prefer_wait = headers::prefer_wait(&request.headers);
        let patience = Patience { stream: peek.stream, prefer_wait };
        Ok(Self { by, request, peek, patience })
    }
}
