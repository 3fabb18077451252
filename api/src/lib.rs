//! HTTP for Diogenes: what callers see of the core.
//!
//! - [`proxy`]: `/v1`, OpenAI's API, passed on byte for byte to the replicas of the fleet.
//! - [`control`]: `/api/v1`, keys, models and the cluster.
//! - [`batches`]: `/v1/files` and `/v1/batches`.
//! - [`datasets`]: imports and exports of datasets.
//! - [`deployments`]: what carries deployments on.
//! - [`jobs`]: the workers of this process.
//! - [`telemetry`]: traces and metrics of requests, sent to a collector.
//! - [`error`]: the one table from what went wrong to status, type and code.
//!
//! Each area of the API has a state of its own: [`proxy::ProxyState`], [`control::KeysArea`] and so
//! on. [`router`] puts them together for `serve`; each Lambda function takes its part.

mod app;
pub mod auth;
pub mod batches;
mod body;
mod bulk;
pub mod control;
pub mod datasets;
pub mod deployments;
pub mod error;
pub mod evals;
mod fallback;
pub mod fleet_loop;
pub mod jobs;
mod merge;
pub mod metrics;
pub mod outbound;
pub mod proxy;
mod request_id;
mod settings;
pub mod sse;
pub mod telemetry;

pub use app::{
    App, batches_router, cluster_router, datasets_router, evals_router, inference_router,
    keys_router, prompts_router, router,
};
pub use settings::AppSettings;
