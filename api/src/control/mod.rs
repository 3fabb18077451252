//! `/api/v1`: keys, budgets, models, routes, the cluster, and what was used.

mod audit;
mod budgets;
mod cluster;
mod cost;
pub(crate) mod extract;
mod gateway;
mod jobs;
mod keys;
mod models;
mod openapi;
mod preconditions;
mod prices;
mod projects;
mod rate;
mod rate_cards;
mod refused;
mod usage;
mod whole;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post};

pub(crate) use rate::{messages_rate_headers, rate_headers};
pub(crate) use refused::{check_object, invalid_json};

pub use audit::{AuditArea, AuditBody, AuditPageBody};
pub use budgets::{BudgetBody, BudgetPage, BudgetParts, BudgetsArea, SetBudget};
pub use cluster::{
    ClusterArea, ClusterParts, ClusterState, LogPage, ModelState, OrderKind, OrderRequest,
    ProgressBody,
};
pub use cost::{CostBody, CostRowBody};
pub use extract::Entrance;
pub use gateway::{GatewayArea, ProviderBody, ProviderCheck, ProviderList, RouteBody, RouteList};
pub use jobs::{
    ChangeQueue, JobBody, JobFailure, JobLogPage, JobLogPart, JobPageBody, JobProgress, JobsArea,
    QueueBody, QueueList,
};
pub use keys::{CreateKey, CreatedKey, KeyBody, KeyPage, KeysArea, RotateKey};
pub use models::{ModelBody, ModelPage, ModelsArea};
pub use openapi::document;
pub use prices::{PriceListBody, PricesBody};
pub use projects::{CreateProject, ProjectBody, ProjectPage, ProjectsArea};
pub use rate_cards::{RateCardBody, RateCardList};
pub use usage::{UsageArea, UsageBody, UsageCounts, UsageRowBody};

/// The routes of `/api/v1/keys`.
pub(crate) fn keys_router(area: Arc<KeysArea>) -> Router {
    Router::new()
        .route("/api/v1/keys", get(keys::list).post(keys::create))
        .route("/api/v1/keys/{id}", get(keys::show).delete(keys::revoke))
        .route("/api/v1/keys/{id}/rotate", post(keys::rotate))
        .with_state(area)
}

/// The routes of `/api/v1/projects`.
pub(crate) fn projects_router(area: Arc<ProjectsArea>) -> Router {
    Router::new()
        .route("/api/v1/projects", get(projects::list).post(projects::create))
        .route("/api/v1/projects/{id}", get(projects::show))
        .route("/api/v1/projects/{id}/archive", post(projects::archive))
        .with_state(area)
}

/// The routes of `/api/v1/budgets`.
pub(crate) fn budgets_router(area: Arc<BudgetsArea>) -> Router {
    Router::new()
        .route("/api/v1/budgets", get(budgets::list))
        // A wildcard: ids contain slashes.
        .route(
            "/api/v1/budgets/{*id}",
            get(budgets::show).put(budgets::set).delete(budgets::delete),
        )
        .with_state(area)
}

/// The routes of `/api/v1/jobs` and `/api/v1/queues`.
pub(crate) fn jobs_router(area: Arc<JobsArea>) -> Router {
    Router::new()
        .route("/api/v1/jobs", get(jobs::list))
        .route("/api/v1/jobs/{id}", get(jobs::show))
        .route("/api/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/v1/jobs/{id}/retry", post(jobs::retry))
        .route("/api/v1/jobs/{id}/logs", get(jobs::logs))
        .route("/api/v1/queues", get(jobs::queues))
        .route("/api/v1/queues/{name}", patch(jobs::change_queue))
        .with_state(area)
}

/// The routes of `/api/v1/audit`.
pub(crate) fn audit_router(area: Arc<AuditArea>) -> Router {
    Router::new().route("/api/v1/audit", get(audit::list)).with_state(area)
}

/// The routes of `/api/v1/usage` and `/api/v1/cost`.
pub(crate) fn usage_router(area: Arc<UsageArea>) -> Router {
    Router::new()
        .route("/api/v1/usage", get(usage::read))
        .route("/api/v1/cost", get(cost::read))
        .with_state(area)
}

/// The routes of `/api/v1/models`.
pub(crate) fn models_router(area: Arc<ModelsArea>) -> Router {
    Router::new()
        .route("/api/v1/models", get(models::list))
        // A wildcard: names of models contain slashes.
        .route(
            "/api/v1/models/{*name}",
            get(models::show).put(models::apply).delete(models::delete),
        )
        .with_state(area)
}

/// The routes of `/api/v1/routes`, `/api/v1/providers`, `/api/v1/prices` and `/api/v1/rate-cards`.
pub(crate) fn gateway_router(area: Arc<GatewayArea>) -> Router {
    Router::new()
        .route("/api/v1/routes", get(gateway::list_routes))
        // A wildcard: names contain slashes.
        .route(
            "/api/v1/routes/{*name}",
            get(gateway::show_route).put(gateway::apply_route).delete(gateway::delete_route),
        )
        .route("/api/v1/providers", get(gateway::list_providers))
        .route(
            "/api/v1/providers/{name}",
            get(gateway::show_provider)
                .put(gateway::apply_provider)
                .delete(gateway::delete_provider),
        )
        .route("/api/v1/prices", get(prices::list))
        .route(
            "/api/v1/prices/imported",
            get(prices::show_imported).put(prices::import).delete(prices::delete_imported),
        )
        .route("/api/v1/rate-cards", get(rate_cards::list))
        .route(
            "/api/v1/rate-cards/{*name}",
            get(rate_cards::show).put(rate_cards::apply).delete(rate_cards::delete),
        )
        .with_state(area)
}

/// The check of a provider, which belongs to whoever sends requests to it.
pub(crate) fn provider_check_router(area: Arc<GatewayArea>) -> Router {
    Router::new()
        .route("/api/v1/providers/{name}/check", get(gateway::check_provider))
        .with_state(area)
}

/// The routes of `/api/v1/cluster`, and the description of the API.
pub(crate) fn cluster_router(area: Arc<ClusterArea>) -> Router {
    Router::new()
        .route("/api/v1/cluster", get(cluster::state))
        .route("/api/v1/cluster/scale", post(cluster::order))
        .route("/api/v1/cluster/logs", get(cluster::logs))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .with_state(area)
}
