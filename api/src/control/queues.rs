//! Queues as operators see them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::jobs::{Queue, QueueDepth, QueueName};
use diogenes_core::tenancy::may;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Allow, JsonBody, PathOf, parse_name};
use super::jobs::{JobsArea, job_error};
use crate::error::{ApiError, ErrorBody, ErrorKind, store_error};

/// A queue, and how much there is to do in it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueBody {
    pub name: String,
    /// Since when none of its jobs begins.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_at: Option<Timestamp>,
    /// How many of its jobs run at once at most; null for as many as the workers take.
    pub max_running: Option<u32>,
    /// Jobs whose time has come; 1000 stands for that and more, here and below.
    #[schema(maximum = 1000)]
    pub available: usize,
    /// Jobs that wait for their time.
    #[schema(maximum = 1000)]
    pub waiting: usize,
    /// Jobs that run.
    #[schema(maximum = 1000)]
    pub running: usize,
    /// Since when the oldest available job could have begun.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest: Option<Timestamp>,
}

impl From<QueueDepth> for QueueBody {
    fn from(depth: QueueDepth) -> Self {
        let Queue { name, paused_at, max_running } = depth.queue;
        Self {
            name: name.to_string(),
            paused_at,
            max_running,
            available: depth.available,
            waiting: depth.waiting,
            running: depth.running,
            oldest: depth.oldest,
        }
    }
}

/// Every queue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueList {
    pub data: Vec<QueueBody>,
}

/// How a queue is to be worked on. An absent field stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeQueue {
    /// Whether none of its jobs begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How many of its jobs run at once at most, over all workers; 0 for as many as they take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100_000)]
    pub max_running: Option<u32>,
}

/// List the queues, and how much there is to do in them.
#[utoipa::path(get, path = "/api/v1/queues", tag = "jobs",
    responses((status = 200, body = QueueList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
) -> Result<Json<QueueList>, ApiError> {
    let depths = area.jobs().depths(&by, area.queues()).await.map_err(|error| job_error(&error))?;
    Ok(Json(QueueList { data: depths.into_iter().map(QueueBody::from).collect() }))
}

/// Pause, resume or bound a queue. What runs goes on.
#[utoipa::path(patch, path = "/api/v1/queues/{name}", request_body = ChangeQueue, tag = "jobs",
    params(("name" = String, Path, description = "the queue's name")),
    responses((status = 200, body = QueueBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    Allow(by): Allow<may::QueuesWrite>,
    State(area): State<Arc<JobsArea>>,
    PathOf(name): PathOf<String>,
    JsonBody(body): JsonBody<ChangeQueue>,
) -> Result<Json<QueueBody>, ApiError> {
    const MOST: u32 = 100_000;
    let name: QueueName = parse_name(&name)?;
    if body.max_running.is_some_and(|most| most > MOST) {
        let message = format!("`max_running` must be at most {MOST}; 0 for no bound");
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("max_running"));
    }
    if let Some(most) = body.max_running {
        let most = Some(most).filter(|most| *most > 0);
        area.jobs().bound(&by, &name, most).await.map_err(|error| job_error(&error))?;
    }
    if let Some(pause) = body.paused {
        area.jobs().pause(&by, &name, pause).await.map_err(|error| job_error(&error))?;
    }
    let queue = area.jobs().queue(&name).await.map_err(|error| store_error(&error))?;
    let depth = area.jobs().depth(queue).await.map_err(|error| store_error(&error))?;
    Ok(Json(depth.into()))
}
