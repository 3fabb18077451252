//! Jobs that come again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::jobs::{
    Cron, JobKind, NewSchedule, Priority, QueueName, Schedule, ScheduleName,
};
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::extract::{Allow, JsonBody, OfProject, PathOf, QueryString, parse_name};
use super::jobs::{JobsArea, job_error};
use super::new_jobs::{CallbackBody, CreateJob, wanted};
use super::refused;
use crate::error::{ApiError, ErrorBody};

/// A schedule that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSchedule {
    /// When: minute, hour, day of month, month and day of week, or a nickname such as `@daily`.
    pub cron: String,
    /// The time zone that it is meant in, by its name in the IANA database; `UTC` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Whether a job begins though the one before it has not ended. If not, times that come meanwhile
    /// are left out.
    #[serde(default)]
    pub overlaps: bool,
    /// What each of its jobs is.
    pub job: ScheduledJob,
}

/// The jobs of a schedule. What is absent is as the kind or the template has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledJob {
    /// What kind of work it is: `http` or `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<JobKind>,
    /// A job that the operator has prepared, instead of a kind. What it says now is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What is to be done, in the form that the kind takes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub arguments: Map<String, Value>,
    /// Where they wait for a worker; the queue of the kind's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub queue: Option<QueueName>,
    /// 1, the most urgent, to 4; 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u8>)]
    pub priority: Option<Priority>,
    /// How often each is tried, 1 to 100; 5 times when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// How long an attempt may take.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "diogenes_core::duration::option"
    )]
    #[schema(value_type = Option<String>)]
    pub timeout: Option<Duration>,
    /// Kept with each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where a signed request tells that one of them has ended, however that may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackBody>,
}

impl From<ScheduledJob> for CreateJob {
    fn from(job: ScheduledJob) -> Self {
        Self {
            kind: job.kind,
            template: job.template,
            arguments: job.arguments,
            queue: job.queue,
            priority: job.priority,
            max_attempts: job.max_attempts,
            timeout: job.timeout,
            tags: job.tags,
            callback: job.callback,
            ..Self::default()
        }
    }
}

/// A schedule.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleBody {
    pub name: String,
    #[schema(value_type = String)]
    pub project: ProjectId,
    pub cron: String,
    pub time_zone: String,
    pub overlaps: bool,
    pub job: ScheduledJob,
    /// Since when no job of it begins.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_at: Option<Timestamp>,
    /// The time that the next job is for; a past one while that job is at work or waits for a worker.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// The id of that job.
    pub next_job: Option<String>,
    /// Who wanted it as it is now.
    pub created_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
}

impl From<Schedule> for ScheduleBody {
    fn from(schedule: Schedule) -> Self {
        let job = schedule.job;
        let arguments = match job.arguments {
            Value::Object(arguments) => arguments,
            _ => Map::new(),
        };
        Self {
            name: schedule.name.to_string(),
            project: schedule.project,
            cron: schedule.cron.expression,
            time_zone: schedule.cron.time_zone,
            overlaps: schedule.overlaps,
            job: ScheduledJob {
                kind: Some(job.kind),
                template: None,
                arguments,
                queue: Some(job.queue),
                priority: Some(job.priority),
                max_attempts: Some(job.max_attempts),
                timeout: job.timeout,
                tags: job.tags,
                callback: job.callback.map(|callback| CallbackBody { url: callback.url }),
            },
            paused_at: schedule.paused_at,
            next_at: schedule.next.as_ref().map(|next| next.at),
            next_job: schedule.next.map(|next| next.job.to_string()),
            created_by: job.created_by.subject,
            created_at: schedule.created_at,
            changed_at: schedule.changed_at,
        }
    }
}

/// The schedules of a project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleList {
    pub data: Vec<ScheduleBody>,
}

/// Whether a schedule is to be paused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSchedule {
    /// Whether none of its jobs begins.
    pub paused: bool,
}

/// List the schedules of a project, by their names.
#[utoipa::path(get, path = "/api/v1/schedules", params(OfProject), tag = "jobs",
    responses((status = 200, body = ScheduleList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<ScheduleList>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let schedules = area.jobs().schedules(&by, &project).await;
    let schedules = schedules.map_err(|error| job_error(&error))?;
    Ok(Json(ScheduleList { data: schedules.into_iter().map(ScheduleBody::from).collect() }))
}

/// Show a schedule.
#[utoipa::path(get, path = "/api/v1/schedules/{name}", tag = "jobs",
    params(OfProject, ("name" = String, Path, description = "the schedule's name")),
    responses((status = 200, body = ScheduleBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    Allow(by): Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<ScheduleBody>, ApiError> {
    let name: ScheduleName = parse_name(&name)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let schedule = area.jobs().schedule(&by, &project, &name).await;
    Ok(Json(schedule.map_err(|error| job_error(&error))?.into()))
}

/// Create a schedule, or replace it. A job of it that is at work goes on.
#[utoipa::path(put, path = "/api/v1/schedules/{name}", request_body = PutSchedule, tag = "jobs",
    params(OfProject, ("name" = String, Path, description = "the schedule's name")),
    responses((status = 200, body = ScheduleBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn apply(
    Allow(by): Allow<may::JobsWrite>,
    State(area): State<Arc<JobsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<PutSchedule>,
) -> Result<Json<ScheduleBody>, ApiError> {
    let name: ScheduleName = parse_name(&name)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let job = wanted(&area, &by, project, body.job.into())
        .await
        .map_err(|error| refused::within("job", error))?;
    let time_zone = body.time_zone.unwrap_or_else(|| "UTC".into());
    let cron = Cron { expression: body.cron, time_zone };
    let new = NewSchedule { name, cron, overlaps: body.overlaps, job };
    let schedule = area.jobs().apply_schedule(&by, new).await;
    Ok(Json(schedule.map_err(|error| job_error(&error))?.into()))
}

/// Pause or resume a schedule. What runs goes on.
#[utoipa::path(patch, path = "/api/v1/schedules/{name}", request_body = ChangeSchedule, tag = "jobs",
    params(OfProject, ("name" = String, Path, description = "the schedule's name")),
    responses((status = 200, body = ScheduleBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    Allow(by): Allow<may::JobsWrite>,
    State(area): State<Arc<JobsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<ChangeSchedule>,
) -> Result<Json<ScheduleBody>, ApiError> {
    let name: ScheduleName = parse_name(&name)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let schedule = area.jobs().pause_schedule(&by, &project, &name, body.paused).await;
    Ok(Json(schedule.map_err(|error| job_error(&error))?.into()))
}

/// Delete a schedule. A job of it that is at work goes on.
#[utoipa::path(delete, path = "/api/v1/schedules/{name}", tag = "jobs",
    params(OfProject, ("name" = String, Path, description = "the schedule's name")),
    responses((status = 200, body = ScheduleBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    Allow(by): Allow<may::JobsWrite>,
    State(area): State<Arc<JobsArea>>,
    PathOf(name): PathOf<String>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<ScheduleBody>, ApiError> {
    let name: ScheduleName = parse_name(&name)?;
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let schedule = area.jobs().delete_schedule(&by, &project, &name).await;
    Ok(Json(schedule.map_err(|error| job_error(&error))?.into()))
}
