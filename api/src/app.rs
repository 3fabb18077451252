use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use diogenes_core::fleet::Registry;
use diogenes_core::ports::{Clock, DemandSource, Limiter, LogSource};
use http::header;
use tracing::Instrument;

use crate::auth::KeyRing;
use crate::error::{ApiError, store_error};
use crate::metrics::Metrics;
use crate::proxy::{Dispatcher, StoreLink};
use crate::{control, proxy, request_id};

/// What the handlers share.
pub struct App {
    /// Who may ask.
    pub key_ring: KeyRing,
    /// Which models there are and who serves them.
    pub dispatcher: Arc<Dispatcher>,
    /// Where another process looks after the fleet: what keeps the dispatcher in step with it.
    pub link: Option<Arc<StoreLink>>,
    /// What callers want of each model, for operators.
    pub demand: Arc<dyn DemandSource>,
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
    /// How long requests may take; none for as long as they like.
    pub deadlines: Option<Deadlines>,
}

/// How long a request may take from its arrival to the last byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// One whose answer is not streamed.
    pub plain: Duration,
    /// One whose answer is streamed.
    pub stream: Duration,
}

impl Deadlines {
    pub(crate) fn of(self, stream: bool) -> Duration {
        if stream { self.stream } else { self.plain }
    }
}

impl Default for AppSettings {
    fn default() -> Self {
        Self { max_body_bytes: 32 << 20, max_response_bytes: 256 << 20, deadlines: None }
    }
}

impl App {
    /// Makes what is known of the model that answers to `name` fresh enough for a request. What
    /// is known already serves on while the store does not answer.
    pub(crate) async fn refresh(&self, name: &str) -> Result<(), ApiError> {
        let Some(link) = &self.link else { return Ok(()) };
        let Err(error) = link.refresh(name).await else { return Ok(()) };
        if self.dispatcher.find(name).is_err() {
            return Err(store_error(&error));
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "`{name}` is served by what was known of it before"
        );
        Ok(())
    }

    /// Makes the list of models fresh.
    pub(crate) async fn refresh_models(&self) -> Result<(), ApiError> {
        match &self.link {
            Some(link) => link.refresh_models().await.map_err(|error| store_error(&error)),
            None => Ok(()),
        }
    }

    /// Makes everything that is known of the fleet fresh.
    pub(crate) async fn refresh_all(&self) -> Result<(), ApiError> {
        match &self.link {
            Some(link) => link.refresh_all().await.map_err(|error| store_error(&error)),
            None => Ok(()),
        }
    }
}

/// Every route.
pub fn router(app: Arc<App>) -> Router {
    let others = inference_side()
        .route("/metrics", get(metrics))
        .merge(control::keys_router())
        .merge(control::cluster_router());
    whole(proxy::router(), others, app)
}

/// The routes that callers of models need: `/v1` and `/healthz`.
pub fn inference_router(app: Arc<App>) -> Router {
    whole(proxy::router(), inference_side(), app)
}

/// The routes of API keys: `/api/v1/keys`.
pub fn keys_router(app: Arc<App>) -> Router {
    whole(Router::new(), control::keys_router(), app)
}

/// The routes of the rest of the control plane: models, the cluster, the description of the API.
pub fn cluster_router(app: Arc<App>) -> Router {
    whole(Router::new(), control::cluster_router(), app)
}

fn inference_side() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(healthz)).merge(proxy::models_router())
}

fn whole(inference: Router<Arc<App>>, others: Router<Arc<App>>, app: Arc<App>) -> Router {
    let others = others
        .fallback(proxy::not_found)
        .method_not_allowed_fallback(proxy::wrong_method)
        .layer(middleware::from_fn(with_request_id));
    // Inference sees to its id by itself: a layer costs a good microsecond.
    inference.method_not_allowed_fallback(proxy::wrong_method).merge(others).with_state(app)
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
