//! `/api/v1`: keys, budgets, models, routes, the cluster, and what was used.

mod audit;
mod budgets;
mod cluster;
mod cost;
mod datasets;
mod deployments;
mod evals;
pub(crate) mod extract;
mod gateway;
mod jobs;
mod keys;
mod models;
mod new_jobs;
mod openapi;
mod preconditions;
mod prices;
mod projects;
mod prompts;
mod queues;
mod rate;
mod rate_cards;
mod refused;
mod schedules;
mod usage;
mod whole;
mod work;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post, put};

pub(crate) use rate::{messages_rate_headers, rate_headers};
pub(crate) use refused::{check_object, invalid_json};

pub use audit::{AuditArea, AuditBody, AuditPageBody};
pub use budgets::{BudgetBody, BudgetPage, BudgetParts, BudgetsArea, SetBudget};
pub use cluster::{
    ClusterArea, ClusterParts, ClusterState, LogPage, ModelState, OrderKind, OrderRequest,
    ProgressBody,
};
pub use cost::{CostBody, CostRowBody};
pub use datasets::{
    AddExamples, AddedExamples, CreateDataset, DatasetBody, DatasetList, DatasetsArea,
    ExampleChangeBody, ExampleList, ExportExamples, ImportExamples, RemoveExamples, SchemaBody,
    SnapshotBody, SnapshotComparison, SnapshotList, UpdateDataset,
};
pub use deployments::{
    ApproveDeployment, CreateDeployment, DeploymentBody, DeploymentList, DeploymentStatusBody,
    DeploymentType, DeploymentsArea, DeploymentsParts, DetectionBody, EvidenceBody,
    MetricEvidenceBody, MetricsBody, ReasonBody, RolledBackDeployment, RolloutBody, StrategyBody,
};
pub use evals::{
    CalibrateEval, CalibrationBody, ChangedBody, ComparisonPart, CreateEval, EvalBody,
    EvalComparisonBody, EvalDataset, EvalList, EvalPlanBody, EvalResultBody, EvalResultPage,
    EvalSubject, EvalSummary, EvalsArea, EvaluatorList, EvaluatorResultBody, EvaluatorSummary,
    LabelledExample, SideBody,
};
pub use extract::Entrance;
pub use gateway::{GatewayArea, ProviderBody, ProviderCheck, ProviderList, RouteBody, RouteList};
pub use jobs::{JobBody, JobFailure, JobLogPage, JobLogPart, JobPageBody, JobProgress, JobsArea};
pub use keys::{CreateKey, CreatedKey, KeyBody, KeyPage, KeysArea, RotateKey};
pub use models::{ModelBody, ModelPage, ModelsArea};
pub(crate) use new_jobs::checked_callback;
pub use new_jobs::{CallbackBody, CreateJob, TemplateBody, TemplateList, WebhookSecret};
pub use openapi::document;
pub use prices::{PriceListBody, PricesBody};
pub use projects::{CreateProject, ProjectBody, ProjectPage, ProjectsArea};
pub(crate) use prompts::prompt_error;
pub use prompts::{
    ComparisonBody, LabelBody, PromptBody, PromptHistory, PromptList, PromptVersionBody,
    PromptsArea, PushPrompt, PushedPrompt, PutLabel, RenderPrompt, RenderedPrompt, UpdatePrompt,
};
pub use queues::{ChangeQueue, QueueBody, QueueList};
pub use rate_cards::{RateCardBody, RateCardList};
pub use schedules::{ChangeSchedule, PutSchedule, ScheduleBody, ScheduleList, ScheduledJob};
pub use usage::{UsageArea, UsageBody, UsageCounts, UsageRowBody};
pub use work::{
    BeatAnswer, BeatWork, ClaimWork, FinishWork, SERVER as SERVER_WORKER, WorkArea, WorkItem,
    WorkPage,
};

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

/// The routes of `/api/v1/jobs`, `/api/v1/schedules` and `/api/v1/queues`.
pub(crate) fn jobs_router(area: Arc<JobsArea>) -> Router {
    Router::new()
        .route("/api/v1/jobs", get(jobs::list).post(new_jobs::create))
        .route("/api/v1/jobs/templates", get(new_jobs::templates))
        .route("/api/v1/jobs/{id}", get(jobs::show))
        .route("/api/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/v1/jobs/{id}/retry", post(jobs::retry))
        .route("/api/v1/jobs/{id}/logs", get(jobs::logs))
        .route("/api/v1/webhooks/secret", get(new_jobs::webhook_secret))
        .route("/api/v1/schedules", get(schedules::list))
        .route(
            "/api/v1/schedules/{name}",
            get(schedules::show)
                .put(schedules::apply)
                .patch(schedules::change)
                .delete(schedules::delete),
        )
        .route("/api/v1/queues", get(queues::list))
        .route("/api/v1/queues/{name}", patch(queues::change))
        .with_state(area)
}

/// The routes of `/api/v1/work`.
pub(crate) fn work_router(area: Arc<WorkArea>) -> Router {
    Router::new()
        .route("/api/v1/work/claim", post(work::claim))
        .route("/api/v1/work/jobs/{id}/beat", post(work::beat))
        .route("/api/v1/work/jobs/{id}/finish", post(work::finish))
        .with_state(area)
}

/// The routes of `/api/v1/prompts`.
pub(crate) fn prompts_router(area: Arc<PromptsArea>) -> Router {
    use prompts::{comparison, handlers, labels, versions};
    Router::new()
        .route("/api/v1/prompts", get(handlers::list))
        .route(
            "/api/v1/prompts/{prompt}",
            get(handlers::show).patch(handlers::update).delete(handlers::delete),
        )
        .route("/api/v1/prompts/{prompt}/versions", get(versions::history).post(versions::push))
        .route("/api/v1/prompts/{prompt}/versions/{version}", get(versions::show_version))
        .route("/api/v1/prompts/{prompt}/versions/{version}/render", post(versions::render))
        .route("/api/v1/prompts/{prompt}/compare", get(comparison::compare))
        .route(
            "/api/v1/prompts/{prompt}/labels/{label}",
            put(labels::put_label).delete(labels::remove_label),
        )
        .with_state(area)
}

/// The routes of `/api/v1/datasets`.
pub(crate) fn datasets_router(area: Arc<DatasetsArea>) -> Router {
    use datasets::{examples, files, handlers, snapshots, transfers};
    Router::new()
        .route("/api/v1/datasets", get(handlers::list).post(handlers::create))
        .route(
            "/api/v1/datasets/{dataset}",
            get(handlers::show).patch(handlers::update).delete(handlers::delete),
        )
        .route("/api/v1/datasets/{dataset}/examples", get(examples::list).post(examples::add))
        .route("/api/v1/datasets/{dataset}/examples/remove", post(examples::remove))
        .route(
            "/api/v1/datasets/{dataset}/examples/{example}",
            get(examples::show).put(examples::replace),
        )
        .route("/api/v1/datasets/{dataset}/snapshots", get(snapshots::list))
        .route("/api/v1/datasets/{dataset}/snapshots/{snapshot}", get(snapshots::show))
        .route("/api/v1/datasets/{dataset}/compare", get(snapshots::compare))
        .route("/api/v1/datasets/{dataset}/files", post(files::send))
        .route("/api/v1/datasets/{dataset}/files/{file}", get(files::content))
        .route("/api/v1/datasets/{dataset}/import", post(transfers::import))
        .route("/api/v1/datasets/{dataset}/export", post(transfers::export))
        .with_state(area)
}

/// The routes of `/api/v1/evals`.
pub(crate) fn evals_router(area: Arc<EvalsArea>) -> Router {
    use evals::{calibration, comparison, handlers, planning};
    Router::new()
        .route("/api/v1/evals", get(handlers::list).post(handlers::create))
        .route("/api/v1/evals/plan", post(planning::plan))
        .route("/api/v1/evals/evaluators", get(handlers::evaluators))
        .route("/api/v1/evals/{id}", get(handlers::show))
        .route("/api/v1/evals/{id}/cancel", post(handlers::cancel))
        .route("/api/v1/evals/{id}/results", get(handlers::results))
        .route("/api/v1/evals/{id}/compare", get(comparison::compare))
        .route("/api/v1/evals/{id}/calibrate", post(calibration::calibrate))
        .with_state(area)
}

/// The routes of `/api/v1/deployments`.
pub(crate) fn deployments_router(area: Arc<DeploymentsArea>) -> Router {
    use deployments::{handlers, orders};
    Router::new()
        .route("/api/v1/deployments", get(handlers::list).post(handlers::create))
        .route("/api/v1/deployments/{id}", get(handlers::show))
        .route("/api/v1/deployments/{id}/status", get(handlers::status))
        .route("/api/v1/deployments/{id}/approve", post(orders::approve))
        .route("/api/v1/deployments/{id}/promote", post(orders::promote))
        .route("/api/v1/deployments/{id}/pause", post(orders::pause))
        .route("/api/v1/deployments/{id}/resume", post(orders::resume))
        .route("/api/v1/deployments/{id}/cancel", post(orders::cancel))
        .route("/api/v1/deployments/{id}/rollback", post(orders::roll_back))
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
