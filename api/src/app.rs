use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use diogenes_core::fleet::Registry;
use diogenes_core::ports::{Clock, Limiter, LogSource};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tracing::Instrument;

use crate::auth::KeyRing;
use crate::error::{ApiError, ErrorKind};
use crate::metrics::Metrics;
use crate::proxy::Dispatcher;
use crate::{control, proxy, request_id};

/// How long a client may send nothing in the middle of a request body.
const BODY_STALL: Duration = Duration::from_secs(30);

/// What the handlers share.
pub struct App {
    /// Who may ask.
    pub key_ring: KeyRing,
    /// Which models there are and who serves them.
    pub dispatcher: Arc<Dispatcher>,
    /// Registers models and takes operators' words.
    pub registry: Registry,
    /// Limits of keys.
    pub limiter: Arc<dyn Limiter>,
    /// The logs of inference servers.
    pub logs: Arc<dyn LogSource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Bounds.
    pub settings: AppSettings,
}

/// Bounds of requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The largest request body in bytes.
    pub max_body_bytes: usize,
    /// The largest answer that is buffered, in bytes.
    pub max_response_bytes: usize,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self { max_body_bytes: 32 << 20, max_response_bytes: 256 << 20 }
    }
}

impl App {
    /// Reads a request body whole, within the bound.
    pub(crate) async fn read_body(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Bytes, ApiError> {
        let most = self.settings.max_body_bytes;
        let too_large = || {
            ApiError::new(
                ErrorKind::BodyTooLarge,
                format!("the request body is larger than {most} bytes; send less"),
            )
        };
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let incomplete = || {
            ApiError::new(
                ErrorKind::BodyIncomplete,
                "the request body did not arrive whole; send it again",
            )
        };
        let mut pieces = body.into_data_stream();
        let mut next = async || -> Result<Option<Bytes>, ApiError> {
            let piece = tokio::time::timeout(BODY_STALL, pieces.next()).await;
            piece.map_err(|_| incomplete())?.transpose().map_err(|_| incomplete())
        };
        let Some(first) = next().await? else {
            return Ok(Bytes::new());
        };
        if announced == Some(first.len()) {
            return Ok(first);
        }
        let mut whole = BytesMut::from(first);
        while let Some(piece) = next().await? {
            if whole.len() + piece.len() > most {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        if whole.len() > most { Err(too_large()) } else { Ok(whole.freeze()) }
    }
}

/// Every route.
pub fn router(app: Arc<App>) -> Router {
    let others = Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .merge(proxy::models_router())
        .merge(control::router())
        .fallback(proxy::not_found)
        .method_not_allowed_fallback(proxy::wrong_method)
        .layer(middleware::from_fn(with_request_id));
    // Inference sees to its id by itself: a layer costs a good microsecond.
    proxy::router().method_not_allowed_fallback(proxy::wrong_method).merge(others).with_state(app)
}

/// Gives a request its id: in the answer's `x-request-id`, and in whatever is logged about it.
async fn with_request_id(request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers());
    let shown = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", id = shown, path = request.uri().path());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert("x-request-id", id);
    response
}

/// Answers as soon as the server does; it says nothing of models.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Metrics need no key: they name models, no caller and no content. `serve` listens on loopback
/// unless told otherwise.
async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.metrics.encode() {
        Ok(text) => (
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}
