//! HTTP for Diogenes: what callers see of the core.
//!
//! - [`proxy`]: `/v1`, OpenAI's API, passed on byte for byte to the replicas of the fleet.
//! - [`control`]: `/api/v1`, keys, models and the cluster.
//! - [`error`]: the one table from what went wrong to status, type and code.
//!
//! [`App`] holds what the handlers share, [`router`] puts them together; `serve` and the Lambda
//! functions run the same.

mod app;
pub mod auth;
mod body;
pub mod control;
pub mod error;
pub mod metrics;
pub mod proxy;
mod request_id;

pub use app::{App, AppSettings, Deadlines, cluster_router, inference_router, keys_router, router};
