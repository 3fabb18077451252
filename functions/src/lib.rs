//! What the Lambda functions share. Each function is a thin program in `src/bin`: it reads its
//! environment, makes its clients once, before the first event, and hands events to the core or
//! to the routers of `diogenes-api`.

#[cfg(feature = "authorizer")]
pub mod authorizer;
#[cfg(all(feature = "blobs", feature = "schedules", feature = "parameters"))]
pub mod batches;
#[cfg(feature = "datasets")]
pub mod datasets;
#[cfg(feature = "base")]
mod display;
#[cfg(feature = "base")]
pub mod environment;
#[cfg(feature = "eval")]
pub mod evals;
#[cfg(feature = "http")]
pub mod http_events;
#[cfg(feature = "http")]
pub mod http_functions;
#[cfg(feature = "jobs")]
pub mod jobs;
#[cfg(any(feature = "jobs", feature = "orchestrator"))]
pub mod metrics;
#[cfg(feature = "orchestrator")]
pub mod orchestrator;
#[cfg(all(feature = "parameters", feature = "schedules"))]
pub mod outbound;
#[cfg(feature = "base")]
pub mod principal;
#[cfg(feature = "blobs")]
pub mod services;
#[cfg(feature = "base")]
pub mod start;
#[cfg(feature = "schedules")]
pub mod workers;
