use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;
use tracing::Instrument;

use crate::batches::BatchesArea;
use crate::control::{
    AuditArea, BudgetsArea, ClusterArea, DatasetsArea, DeploymentsArea, EvalsArea, GatewayArea,
    JobsArea, KeysArea, ModelsArea, ProjectsArea, PromptsArea, UsageArea, WorkArea,
};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::proxy::ProxyState;
use crate::{batches, control, fallback, proxy, request_id};

/// Every area of the API.
pub struct App {
    /// `/v1`.
    pub proxy: Arc<ProxyState>,
    /// `/v1/files` and `/v1/batches`.
    pub batches: Arc<BatchesArea>,
    /// `/api/v1/keys`.
    pub keys: Arc<KeysArea>,
    /// `/api/v1/projects`.
    pub projects: Arc<ProjectsArea>,
    /// `/api/v1/budgets`.
    pub budgets: Arc<BudgetsArea>,
    /// `/api/v1/jobs` and `/api/v1/queues`.
    pub jobs: Arc<JobsArea>,
    /// `/api/v1/work`.
    pub work: Arc<WorkArea>,
    /// `/api/v1/prompts`.
    pub prompts: Arc<PromptsArea>,
    /// `/api/v1/evals`.
    pub evals: Arc<EvalsArea>,
    /// `/api/v1/datasets`.
    pub datasets: Arc<DatasetsArea>,
    /// `/api/v1/deployments`.
    pub deployments: Arc<DeploymentsArea>,
    /// `/api/v1/audit`.
    pub audit: Arc<AuditArea>,
    /// `/api/v1/usage`.
    pub usage: Arc<UsageArea>,
    /// `/api/v1/models`.
    pub models: Arc<ModelsArea>,
    /// `/api/v1/routes` and `/api/v1/providers`.
    pub gateway: Arc<GatewayArea>,
    /// `/api/v1/cluster`.
    pub cluster: Arc<ClusterArea>,
}

/// Every route.
pub fn router(app: App) -> Router {
    let metrics = Router::new()
        .route("/metrics", get(metrics))
        .with_state((app.proxy.metrics.clone(), app.jobs.clone()));
    let others = inference_side(app.proxy.clone())
        .merge(metrics)
        .merge(batches::router(app.batches))
        .merge(control::keys_router(app.keys))
        .merge(control::projects_router(app.projects))
        .merge(control::budgets_router(app.budgets))
        .merge(control::jobs_router(app.jobs))
        .merge(control::work_router(app.work))
        .merge(control::prompts_router(app.prompts))
        .merge(control::evals_router(app.evals))
        .merge(control::datasets_router(app.datasets))
        .merge(control::deployments_router(app.deployments))
        .merge(control::audit_router(app.audit))
        .merge(control::usage_router(app.usage))
        .merge(control::models_router(app.models))
        .merge(control::provider_check_router(app.gateway.clone()))
        .merge(control::gateway_router(app.gateway))
        .merge(control::cluster_router(app.cluster));
    whole(proxy::router().with_state(app.proxy), others)
}

/// The routes that callers of models need, `/v1` and `/healthz`, and the check of providers, which
/// is about the way that their requests take.
pub fn inference_router(proxy: Arc<ProxyState>, gateway: Arc<GatewayArea>) -> Router {
    let others = inference_side(proxy.clone()).merge(control::provider_check_router(gateway));
    whole(proxy::router().with_state(proxy), others)
}

/// The routes of API keys: `/api/v1/keys`.
pub fn keys_router(keys: Arc<KeysArea>) -> Router {
    whole(Router::new(), control::keys_router(keys))
}

/// The rest of the control plane: models, routes, the cluster, projects, budgets, usage, the audit
/// log, and the description of the API.
pub fn cluster_router(
    models: Arc<ModelsArea>,
    gateway: Arc<GatewayArea>,
    cluster: Arc<ClusterArea>,
    projects: Arc<ProjectsArea>,
    budgets: Arc<BudgetsArea>,
    usage: Arc<UsageArea>,
    audit: Arc<AuditArea>,
) -> Router {
    let others = control::models_router(models)
        .merge(control::gateway_router(gateway))
        .merge(control::cluster_router(cluster))
        .merge(control::projects_router(projects))
        .merge(control::budgets_router(budgets))
        .merge(control::usage_router(usage))
        .merge(control::audit_router(audit));
    whole(Router::new(), others)
}

/// The routes of prompts: `/api/v1/prompts`.
pub fn prompts_router(prompts: Arc<PromptsArea>) -> Router {
    whole(Router::new(), control::prompts_router(prompts))
}

/// The routes of datasets: `/api/v1/datasets`.
pub fn datasets_router(datasets: Arc<DatasetsArea>) -> Router {
    whole(Router::new(), control::datasets_router(datasets))
}

/// The routes of evals: `/api/v1/evals`.
pub fn evals_router(evals: Arc<EvalsArea>) -> Router {
    whole(Router::new(), control::evals_router(evals))
}

/// The routes of files, uploads, batches, jobs and queues.
pub fn batches_router(batches: Arc<BatchesArea>, jobs: Arc<JobsArea>) -> Router {
    whole(Router::new(), batches::router(batches).merge(control::jobs_router(jobs)))
}

fn inference_side(proxy: Arc<ProxyState>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        // Where vLLM has it, and clients look for it.
        .route("/health", get(healthz))
        .merge(proxy::models_router().with_state(proxy))
}

fn whole(inference: Router, others: Router) -> Router {
    let others = others
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::wrong_method)
        .layer(middleware::from_fn(with_request_id));
    // Inference sees to its id by itself: a layer costs a good microsecond.
    inference.method_not_allowed_fallback(fallback::wrong_method).merge(others)
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

/// Metrics need no key: they name models, kinds and queues, no caller and no content. `serve` listens on
/// loopback unless told otherwise.
async fn metrics(State((metrics, jobs)): State<(Arc<Metrics>, Arc<JobsArea>)>) -> Response {
    jobs.observe(metrics.jobs()).await;
    match metrics.encode() {
        Ok(text) => (
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}
