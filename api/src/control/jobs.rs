use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::jobs::{
    Job, JobArguments, JobError, JobFilter, JobKind, JobState, JobStatus, Jobs, LogPart,
    MOST_COUNTED, Queue, QueueDepth, QueueName, Waits,
};
use diogenes_core::ports::{Clock, Cursor};
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, JsonBody, PathOf, QueryString, page_size};
use crate::error::{ApiError, ErrorBody, ErrorKind, project_error, store_error};

/// What the handlers of jobs and queues share.
pub struct JobsArea {
    entrance: Entrance,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
    /// The queues that this installation's workers look at.
    queues: Vec<QueueName>,
}

impl JobsArea {
    /// The area over these parts.
    pub fn new(
        entrance: Entrance,
        jobs: Jobs,
        clock: Arc<dyn Clock>,
        queues: Vec<QueueName>,
    ) -> Self {
        Self { entrance, jobs, clock, queues }
    }
}

impl AsRef<Entrance> for JobsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobBody {
    pub id: String,
    #[schema(value_type = String)]
    pub project: ProjectId,
    /// What kind of work it is, such as `batch`.
    pub kind: String,
    /// Where it waits for a worker.
    pub queue: String,
    /// 1, the most urgent, to 4.
    pub priority: u8,
    /// `scheduled`, `available`, `running`, `retryable`, `snoozed`, `completed`, `cancelled` or
    /// `discarded`.
    #[schema(value_type = String)]
    pub status: JobStatus,
    /// What it waits for, while it is snoozed.
    pub waits_for: Option<String>,
    /// Who is on it, while it runs.
    pub worker: Option<String>,
    /// When it may begin, or begin again.
    #[schema(value_type = String, format = DateTime)]
    pub run_at: Timestamp,
    /// How many attempts were begun since it last got further.
    pub attempt: u32,
    pub max_attempts: u32,
    pub progress: Option<JobProgress>,
    /// How its last failed attempt failed.
    pub failure: Option<JobFailure>,
    /// What came of it.
    pub result: Option<Value>,
    /// Who wanted it.
    pub created_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// When somebody asked for its end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cancel_requested_at: Option<Timestamp>,
    pub unique_key: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// What it is to do; only where one job is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
}

/// How far a job is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobProgress {
    pub done: u64,
    /// Of how many; 0 when that is not known.
    pub total: u64,
    /// What is being done.
    pub message: String,
}

/// A failed attempt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobFailure {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub attempt: u32,
    pub message: String,
}

impl JobBody {
    fn of(job: Job, arguments: Option<JobArguments>, now: Timestamp) -> Self {
        let (waits_for, worker) = match &job.state {
            JobState::Waiting { why: Waits::Condition { what } } => (Some(what.clone()), None),
            JobState::Running { worker, .. } => (None, Some(worker.clone())),
            _ => (None, None),
        };
        Self {
            id: job.id.to_string(),
            status: job.status(now),
            waits_for,
            worker,
            project: job.project,
            kind: job.kind.to_string(),
            queue: job.queue.to_string(),
            priority: job.priority.get(),
            run_at: job.run_at,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            progress: job.progress.map(|progress| JobProgress {
                done: progress.done,
                total: progress.total,
                message: progress.message,
            }),
            failure: job.failure.map(|failure| JobFailure {
                at: failure.at,
                attempt: failure.attempt,
                message: failure.message,
            }),
            result: job.result,
            created_by: job.created_by.subject,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            cancel_requested_at: job.cancel_requested_at,
            unique_key: job.unique_key,
            tags: job.tags,
            arguments: arguments.map(|arguments| arguments.arguments),
        }
    }
}

/// A page of jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobPageBody {
    /// The jobs, newest first.
    pub data: Vec<JobBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

/// A part of a job's log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobLogPart {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub lines: Vec<String>,
}

/// A page of a job's log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobLogPage {
    /// The parts, oldest first.
    pub data: Vec<JobLogPart>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

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
            running: depth.running.min(MOST_COUNTED),
            oldest: depth.oldest,
        }
    }
}

/// The queues.
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

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListJobs {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Only those with this status.
    #[param(value_type = Option<String>,
        pattern = "^(scheduled|available|running|retryable|snoozed|completed|cancelled|discarded)$")]
    status: Option<JobStatus>,
    /// Only those of this kind.
    #[param(value_type = Option<String>, pattern = "^[a-z][a-z0-9_-]{0,39}$")]
    kind: Option<JobKind>,
    /// Only those of this queue.
    #[param(value_type = Option<String>, pattern = "^[a-z][a-z0-9_-]{0,39}$")]
    queue: Option<QueueName>,
    /// Rows of the page, 1 to 500; 50 when absent. A page may be shorter, even empty.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// List the jobs of a project, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", params(ListJobs), tag = "jobs",
    responses((status = 200, body = JobPageBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
    QueryString(query): QueryString<ListJobs>,
) -> Result<Json<JobPageBody>, ApiError> {
    let limit = page_size(query.limit)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let filter = JobFilter { status: query.status, kind: query.kind, queue: query.queue };
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.jobs.list(&by, &project, &filter, limit, cursor).await;
    let page = page.map_err(|error| job_error(&error))?;
    let now = area.clock.now();
    Ok(Json(JobPageBody {
        data: page.jobs.into_iter().map(|job| JobBody::of(job, None, now)).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfProject {
    /// The job's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
}

/// Show a job, and what it is to do.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(OfProject, ("id" = String, Path, description = "the job's id")),
    responses((status = 200, body = JobBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    Allow(by): Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<JobBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let found = area.jobs.get(&by, &project, &id).await;
    let (job, arguments) = found.map_err(|error| job_error(&error))?;
    Ok(Json(JobBody::of(job, arguments, area.clock.now())))
}

/// Ask for the end of a job. One that waits ends at once; a repeat call changes nothing.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs",
    params(OfProject, ("id" = String, Path, description = "the job's id")),
    responses((status = 200, body = JobBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn cancel(
    Allow(by): Allow<may::JobsWrite>,
    State(area): State<Arc<JobsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<JobBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let job = area.jobs.cancel(&by, &project, &id).await.map_err(|error| job_error(&error))?;
    Ok(Json(JobBody::of(job, None, area.clock.now())))
}

/// Begin again with a job that was cancelled or discarded.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs",
    params(OfProject, ("id" = String, Path, description = "the job's id")),
    responses((status = 200, body = JobBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn retry(
    Allow(by): Allow<may::JobsWrite>,
    State(area): State<Arc<JobsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<JobBody>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let job = area.jobs.retry(&by, &project, &id).await.map_err(|error| job_error(&error))?;
    Ok(Json(JobBody::of(job, None, area.clock.now())))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadLog {
    /// The job's project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Read the log of a job, from its beginning.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/logs", tag = "jobs",
    params(ReadLog, ("id" = String, Path, description = "the job's id")),
    responses((status = 200, body = JobLogPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn logs(
    Allow(by): Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
    PathOf(id): PathOf<String>,
    QueryString(query): QueryString<ReadLog>,
) -> Result<Json<JobLogPage>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.jobs.log(&by, &project, &id, cursor).await;
    let (parts, next) = page.map_err(|error| job_error(&error))?;
    let part = |LogPart { at, lines, .. }| JobLogPart { at, lines };
    Ok(Json(JobLogPage {
        data: parts.into_iter().map(part).collect(),
        next_cursor: next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// List the queues, and how much there is to do in them.
#[utoipa::path(get, path = "/api/v1/queues", tag = "jobs",
    responses((status = 200, body = QueueList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn queues(
    Allow(by): Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
) -> Result<Json<QueueList>, ApiError> {
    let depths = area.jobs.depths(&by, &area.queues).await.map_err(|error| job_error(&error))?;
    Ok(Json(QueueList { data: depths.into_iter().map(QueueBody::from).collect() }))
}

/// Pause, resume or bound a queue. What runs goes on.
#[utoipa::path(patch, path = "/api/v1/queues/{name}", request_body = ChangeQueue, tag = "jobs",
    params(("name" = String, Path, description = "the queue's name")),
    responses((status = 200, body = QueueBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change_queue(
    Allow(by): Allow<may::QueuesWrite>,
    State(area): State<Arc<JobsArea>>,
    PathOf(name): PathOf<String>,
    JsonBody(body): JsonBody<ChangeQueue>,
) -> Result<Json<QueueBody>, ApiError> {
    const MOST: u32 = 100_000;
    let name: QueueName = super::extract::parse_name(&name)?;
    if body.max_running.is_some_and(|most| most > MOST) {
        let message = format!("`max_running` must be at most {MOST}; 0 for no bound");
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("max_running"));
    }
    if let Some(most) = body.max_running {
        let most = Some(most).filter(|most| *most > 0);
        area.jobs.bound(&by, &name, most).await.map_err(|error| job_error(&error))?;
    }
    if let Some(pause) = body.paused {
        area.jobs.pause(&by, &name, pause).await.map_err(|error| job_error(&error))?;
    }
    let queue = area.jobs.queue(&name).await.map_err(|error| store_error(&error))?;
    let depth = area.jobs.depth(queue).await.map_err(|error| store_error(&error))?;
    Ok(Json(depth.into()))
}

/// A job that was not created, read or changed, as callers see it.
fn job_error(error: &JobError) -> ApiError {
    match error {
        JobError::NotFound(_) => ApiError::new(ErrorKind::JobNotFound, error.to_string()),
        JobError::Invalid { field, .. } => {
            ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param(*field)
        }
        JobError::NotUnique { .. } => {
            ApiError::new(ErrorKind::Conflict, error.to_string()).param("unique_key")
        }
        JobError::WrongState { .. } => ApiError::new(ErrorKind::Conflict, error.to_string()),
        JobError::Project(error) => project_error(error).param("project"),
        JobError::Store(error) => store_error(error),
    }
}
