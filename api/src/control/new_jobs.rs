//! Creating jobs of the kinds that callers may create.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::batches::Batch;
use diogenes_core::datasets::{EXPORT, IMPORT};
use diogenes_core::duration::LONGEST;
use diogenes_core::evals::EvalRun;
use diogenes_core::jobs::{Callback, Creator, JobKind, NewJob, Priority, QueueName, WEBHOOK};
use diogenes_core::tenancy::{Principal, ProjectId, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::extract::{Allow, JsonBody, OfProject, QueryString};
use super::jobs::{JobBody, JobsArea, job_error, unavailable};
use super::refused;
use crate::error::{ApiError, ErrorBody, ErrorKind};
use crate::jobs::{BadArguments, Draft, HttpJobs, Template, Templates};

/// A job that is wanted. What is absent is as the kind has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateJob {
    /// What kind of work it is: `http` or `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<JobKind>,
    /// A job that the operator has prepared, instead of a kind. What is given here takes precedence
    /// over the template, each of the arguments for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What is to be done, in the form that the kind takes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub arguments: Map<String, Value>,
    /// Where it waits for a worker; the queue of the kind's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub queue: Option<QueueName>,
    /// 1, the most urgent, to 4; 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u8>)]
    pub priority: Option<Priority>,
    /// When it may begin; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub run_at: Option<Timestamp>,
    /// How long from now until it may begin, instead of `run_at`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "diogenes_core::duration::option"
    )]
    #[schema(value_type = Option<String>)]
    pub delay: Option<Duration>,
    /// How often it is tried, 1 to 100; 5 times when absent.
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
    /// A name that no other unfinished job of the kind in the project has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// Kept with the job.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where a signed request tells that it has ended, however that may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackBody>,
}

/// Who is told that a job has ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallbackBody {
    pub url: String,
}

/// Create a job.
#[utoipa::path(post, path = "/api/v1/jobs", params(OfProject), request_body = CreateJob, tag = "jobs",
    responses((status = 201, body = JobBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    Allow(by): Allow<may::JobsWrite>,
    State(area): State<Arc<JobsArea>>,
    QueryString(query): QueryString<OfProject>,
    JsonBody(body): JsonBody<CreateJob>,
) -> Result<(StatusCode, Json<JobBody>), ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let new = wanted(&area, &by, project, body).await?;
    let arguments = new.arguments.clone();
    let job = area.jobs().create(&by, new).await.map_err(|error| job_error(&error))?;
    Ok((StatusCode::CREATED, Json(JobBody::of(job, Some(arguments), area.clock().now()))))
}

/// The job that a caller describes, if its kind or template takes it.
pub(super) async fn wanted(
    area: &JobsArea,
    by: &Principal,
    project: ProjectId,
    body: CreateJob,
) -> Result<NewJob, ApiError> {
    let run_at = begins_at(&body, area.clock().now())?;
    let templates = match &body.template {
        Some(_) => area.templates().await?,
        None => Arc::default(),
    };
    let template = body.template.as_deref().map(|name| named(&templates, name)).transpose()?;
    let prepared = template.map(Template::spec);
    let kind = match (body.kind, prepared) {
        (Some(_), Some(_)) => {
            let message = "give `kind` or `template`, not both";
            return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("template"));
        }
        (None, None) => return Err(refused::field("missing field `kind`", ".")),
        (Some(kind), None) => kind,
        (None, Some(prepared)) => prepared.kind.clone(),
    };
    let arguments = match template {
        Some(template) => template.fill(body.arguments).map_err(|error| bad_arguments(&error))?,
        None => body.arguments,
    };
    let draft = drafted(area, &kind, arguments)?;
    let creator = Creator::new(&by.subject, &by.key);
    let mut new = NewJob::new(project, kind, draft.arguments, creator);
    new.run_at = run_at;
    if let Some(prepared) = prepared {
        new.priority = prepared.priority.unwrap_or_default();
        new.queue = prepared.queue.clone().unwrap_or(new.queue);
        new.max_attempts = prepared.max_attempts.unwrap_or(new.max_attempts);
        new.timeout = prepared.timeout;
        new.tags.clone_from(&prepared.tags);
    }
    new.priority = body.priority.unwrap_or(new.priority);
    new.queue = body.queue.unwrap_or(new.queue);
    new.max_attempts = body.max_attempts.unwrap_or(new.max_attempts);
    new.timeout = body.timeout.or(new.timeout).or(draft.timeout);
    let own = [Batch::JOB, EvalRun::JOB, WEBHOOK, IMPORT, EXPORT];
    if own.iter().any(|kind| new.queue == QueueName::from(kind)) {
        let message =
            format!("`queue` must not be `{}`, where the server's own jobs wait", new.queue);
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("queue"));
    }
    new.needs = draft.needs;
    new.unique_key = body.unique_key;
    new.tags.extend(body.tags);
    let http = area.webhooks().map(|webhooks| &*webhooks.http);
    new.callback = body.callback.map(|callback| checked_callback(http, callback)).transpose()?;
    Ok(new)
}

/// Who is to be told, if `webhooks`, which sends it, may send it there.
pub(crate) fn checked_callback(
    webhooks: Option<&HttpJobs>,
    CallbackBody { url }: CallbackBody,
) -> Result<Callback, ApiError> {
    let of = |message: String| ApiError::new(ErrorKind::InvalidRequest, message).param("callback");
    let Some(http) = webhooks else {
        return Err(of("this installation sends no webhooks".into()));
    };
    http.check_url(&url).map_err(|error| of(format!("`callback`: {error}")))?;
    Ok(Callback { url })
}

/// What receivers of webhooks check signatures with.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecret {
    #[schema(value_type = String)]
    pub project: ProjectId,
    /// `whsec_` and 32 bytes in Base64.
    pub secret: String,
}

/// Read what receivers of a project's webhooks check signatures with.
#[utoipa::path(get, path = "/api/v1/webhooks/secret", params(OfProject), tag = "jobs",
    responses((status = 200, body = WebhookSecret), (status = "4XX", body = ErrorBody)))]
pub(super) async fn webhook_secret(
    Allow(by): Allow<may::JobsWrite>,
    State(area): State<Arc<JobsArea>>,
    QueryString(query): QueryString<OfProject>,
) -> Result<Json<WebhookSecret>, ApiError> {
    let project = query.project.unwrap_or_else(|| by.project.clone());
    // It says whether there is such a project, and whether the caller reaches it.
    area.jobs().reaches(&by, &project).await.map_err(|error| job_error(&error))?;
    let Some(webhooks) = area.webhooks() else {
        let message = "this installation sends no webhooks";
        return Err(ApiError::new(ErrorKind::NotFound, message));
    };
    let secret = webhooks.signer.secret_of(&project).await.map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the secret of a project's webhooks cannot be told"
        );
        unavailable("the secret cannot be read now")
    })?;
    Ok(Json(WebhookSecret { project, secret }))
}

fn named<'a>(templates: &'a Templates, name: &str) -> Result<&'a Template, ApiError> {
    templates.get(name).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        let message = format!(
            "template `{shown}` is not configured; list the templates with `diogenes job templates`"
        );
        ApiError::new(ErrorKind::InvalidRequest, message).param("template")
    })
}

/// A job that the operator has prepared.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TemplateBody {
    pub name: String,
    pub description: String,
    pub kind: String,
    /// What callers need not give.
    #[schema(value_type = Object)]
    pub arguments: Map<String, Value>,
    /// What the whole arguments must be, as a JSON Schema.
    pub schema: Option<Value>,
    pub queue: Option<String>,
    pub priority: Option<u8>,
    pub max_attempts: Option<u32>,
    #[serde(default, with = "diogenes_core::duration::option")]
    #[schema(value_type = Option<String>)]
    pub timeout: Option<Duration>,
    pub tags: BTreeMap<String, String>,
}

/// The jobs that the operator has prepared.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TemplateList {
    pub data: Vec<TemplateBody>,
}

/// List the jobs that the operator has prepared.
#[utoipa::path(get, path = "/api/v1/jobs/templates", tag = "jobs",
    responses((status = 200, body = TemplateList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn templates(
    _: Allow<may::JobsRead>,
    State(area): State<Arc<JobsArea>>,
) -> Result<Json<TemplateList>, ApiError> {
    let body = |(name, template): (&String, &Template)| {
        let spec = template.spec().clone();
        TemplateBody {
            name: name.clone(),
            description: spec.description,
            kind: spec.kind.to_string(),
            arguments: spec.arguments,
            schema: spec.schema,
            queue: spec.queue.map(|queue| queue.to_string()),
            priority: spec.priority.map(Priority::get),
            max_attempts: spec.max_attempts,
            timeout: spec.timeout,
            tags: spec.tags,
        }
    };
    Ok(Json(TemplateList { data: area.templates().await?.iter().map(body).collect() }))
}

fn begins_at(body: &CreateJob, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let wrong =
        |message: &str| Err(ApiError::new(ErrorKind::InvalidRequest, message).param("delay"));
    match (body.run_at, body.delay) {
        (Some(_), Some(_)) => wrong("give `run_at` or `delay`, not both"),
        (None, Some(delay)) if delay > LONGEST => wrong("`delay` must be at most a year"),
        (None, Some(delay)) => Ok(Some(now.checked_add(delay).unwrap_or(Timestamp::MAX))),
        (at, None) => Ok(at),
    }
}

/// What the kind makes of the arguments.
fn drafted(
    area: &JobsArea,
    kind: &JobKind,
    arguments: Map<String, Value>,
) -> Result<Draft, ApiError> {
    let Some(known) = area.kinds().get(kind) else {
        let message = if kind.as_str() == "batch" {
            "batches are created with `POST /v1/batches`".to_owned()
        } else if *kind == EvalRun::JOB {
            "eval runs are created with `POST /api/v1/evals`".to_owned()
        } else {
            let names = area.kinds().names().map(|name| format!("`{name}`")).collect::<Vec<_>>();
            if names.is_empty() {
                "this installation takes no jobs but batches".to_owned()
            } else {
                format!("`{kind}` is not a kind of job; use one of {}", names.join(", "))
            }
        };
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("kind"));
    };
    known.draft(Value::Object(arguments)).map_err(|error| bad_arguments(&error))
}

/// Arguments that the kind does not take, as callers see it.
fn bad_arguments(error: &BadArguments) -> ApiError {
    match error {
        BadArguments::Unreadable { path, text } => match path.trim_matches('.') {
            "" => refused::field(text, "arguments"),
            path => refused::field(text, &format!("arguments.{path}")),
        },
        BadArguments::Wrong { field, problem } => {
            let field = if field.is_empty() {
                "arguments".to_owned()
            } else {
                format!("arguments.{field}")
            };
            ApiError::new(ErrorKind::InvalidRequest, format!("`{field}` {problem}")).param(field)
        }
    }
}
