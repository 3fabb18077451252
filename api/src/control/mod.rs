//! `/api/v1`: keys, models and the cluster.

mod cluster;
mod extract;
mod keys;
mod models;
mod openapi;
mod rate;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use tracing::Instrument;

pub(crate) use rate::rate_headers;

pub use cluster::{ClusterState, LogPage, ModelState, OrderKind, OrderRequest, ProgressBody};
pub use keys::{CreateKey, CreatedKey, KeyBody, KeyPage, RotateKey};
pub use models::{ModelBody, ModelPage};
pub use openapi::document;

use crate::app::App;
use crate::request_id;

/// The routes of `/api/v1`.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/keys", get(keys::list).post(keys::create))
        .route("/api/v1/keys/{id}", get(keys::show).delete(keys::revoke))
        .route("/api/v1/keys/{id}/rotate", post(keys::rotate))
        .route("/api/v1/models", get(models::list))
        // A wildcard: names of models contain slashes.
        .route(
            "/api/v1/models/{*name}",
            get(models::show).put(models::apply).delete(models::delete),
        )
        .route("/api/v1/cluster", get(cluster::state))
        .route("/api/v1/cluster/scale", post(cluster::order))
        .route("/api/v1/cluster/logs", get(cluster::logs))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .layer(middleware::from_fn(with_request_id))
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
