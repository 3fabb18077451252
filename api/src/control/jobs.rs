use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::jobs::{
    Job, JobError, JobFilter, JobKind, JobState, JobStatus, Jobs, LogPart, Needs, QueueName, Waits,
};
use diogenes_core::ports::{Clock, Cursor};
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, OfProject, PathOf, QueryString, page_size};
use crate::error::{ApiError, ErrorBody, ErrorKind, project_error, store_error};
use crate::jobs::{HttpJobs, JobMetrics, Kinds, TemplateSource, Templates, WebhookSigner};

/// What the handlers of jobs and queues share.
pub struct JobsArea {
    entrance: Entrance,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
    /// The queues that this installation's workers look at.
    queues: Vec<QueueName>,
    /// The kinds of jobs that callers may create.
    kinds: Kinds,
    /// The jobs that the operator has prepared.
    templates: Arc<dyn TemplateSource>,
    webhooks: Option<Webhooks>,
}

/// What is needed to send webhooks.
pub(super) struct Webhooks {
    pub(super) http: Arc<HttpJobs>,
    pub(super) signer: WebhookSigner,
}

impl JobsArea {
    /// The area over these parts.
    pub fn new(
        entrance: Entrance,
        jobs: Jobs,
        clock: Arc<dyn Clock>,
        queues: Vec<QueueName>,
        kinds: Kinds,
    ) -> Self {
        let templates = Arc::new(Arc::new(Templates::new()));
        Self { entrance, jobs, clock, queues, kinds, templates, webhooks: None }
    }

    /// Sends webhooks.
    #[must_use]
    pub fn with_webhooks(self, http: Arc<HttpJobs>, signer: WebhookSigner) -> Self {
        Self { webhooks: Some(Webhooks { http, signer }), ..self }
    }

    pub(super) fn webhooks(&self) -> Option<&Webhooks> {
        self.webhooks.as_ref()
    }

    /// Knows these templates.
    #[must_use]
    pub fn with_templates(self, templates: Templates) -> Self {
        self.with_templates_in(Arc::new(Arc::new(templates)))
    }

    /// Knows the templates that are kept there.
    #[must_use]
    pub fn with_templates_in(self, templates: Arc<dyn TemplateSource>) -> Self {
        Self { templates, ..self }
    }

    /// Tells the metrics how much there is to do in the queues that are known.
    pub(crate) async fn observe(&self, metrics: &JobMetrics) {
        for name in &self.queues {
            let depth = async { self.jobs.depth(self.jobs.queue(name).await?).await };
            match depth.await {
                Ok(depth) => metrics.observe(&depth, self.clock.now()),
                Err(error) => tracing::warn!(
                    queue = %name, error = &error as &dyn std::error::Error,
                    "a queue could not be counted"
                ),
            }
        }
    }

    pub(super) async fn templates(&self) -> Result<Arc<Templates>, ApiError> {
        self.templates.templates().await.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the templates of jobs cannot be read"
            );
            unavailable("the templates of jobs cannot be read now")
        })
    }

    /// The queues that are known though nobody has configured them.
    pub(super) fn queues(&self) -> &[QueueName] {
        &self.queues
    }

    pub(super) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn kinds(&self) -> &Kinds {
        &self.kinds
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
    /// How long an attempt may take; as long as it wants when null.
    #[serde(default, with = "diogenes_core::duration::option")]
    #[schema(value_type = Option<String>)]
    pub timeout: Option<Duration>,
    /// What it needs of its worker.
    #[serde(default)]
    pub needs: Needs,
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
    /// The schedule that it is of.
    #[serde(default)]
    pub schedule: Option<String>,
    /// The URL of who is told that it has ended.
    #[serde(default)]
    pub callback: Option<String>,
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
    pub(super) fn of(job: Job, arguments: Option<Value>, now: Timestamp) -> Self {
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
            timeout: job.timeout,
            needs: job.needs,
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
            schedule: job.schedule.map(|name| name.to_string()),
            callback: job.callback.map(|callback| callback.url),
            tags: job.tags,
            arguments,
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
    /// Its place in the log, from 0.
    pub number: u32,
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
    Ok(Json(JobBody::of(job, arguments.map(|arguments| arguments.arguments), area.clock.now())))
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
    /// Only what follows the part of this number, which was read before.
    #[param(minimum = 0, maximum = 4_294_967_295_u64)]
    after: Option<u32>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Read the log of a job, from its beginning or from where it was read before.
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
    let page = area.jobs.log(&by, &project, &id, query.after, cursor).await;
    let (parts, next) = page.map_err(|error| job_error(&error))?;
    let part = |LogPart { number, at, lines, .. }| JobLogPart { number, at, lines };
    Ok(Json(JobLogPage {
        data: parts.into_iter().map(part).collect(),
        next_cursor: next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// That something which is kept elsewhere could not be read.
pub(super) fn unavailable(what: &str) -> ApiError {
    ApiError::new(ErrorKind::StoreUnavailable, format!("{what}; retry soon"))
        .retry_after(Duration::from_secs(1))
}

/// A job that was not created, read or changed, as callers see it.
pub(super) fn job_error(error: &JobError) -> ApiError {
    match error {
        JobError::NotFound(_) => ApiError::new(ErrorKind::JobNotFound, error.to_string()),
        JobError::ScheduleNotFound(_) => {
            ApiError::new(ErrorKind::ScheduleNotFound, error.to_string())
        }
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
