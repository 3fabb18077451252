use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use diogenes_api::jobs::JobMetrics;
use tokio::net::TcpListener;

/// Answers `/healthz` and `/metrics`, which tell of no content, until it is dropped.
pub(super) async fn serve(listener: TcpListener, metrics: Arc<JobMetrics>) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(read))
        .with_state(metrics);
    crate::serve::serve_plain(listener, router).await;
}

async fn read(State(metrics): State<Arc<JobMetrics>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], metrics.encode()).into_response()
}
