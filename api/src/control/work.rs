//! `/api/v1/work`: what workers elsewhere do with jobs, instead of writing to the store.
//!
//! A claim has a token, and everything that a worker reports names it: what was taken from a worker
//! in the meantime is refused as a conflict, and changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use diogenes_core::batches::Batch;
use diogenes_core::datasets::{EXPORT, IMPORT};
use diogenes_core::evals::EvalRun;
use diogenes_core::fleet::eta::since;
use diogenes_core::jobs::{
    Capacity, Claim, ClaimError, ClaimToken, Job, JobFit, JobId, JobKind, JobOutcome, Jobs,
    Progress, QueueName, WEBHOOK,
};
use diogenes_core::ports::{Clock, document_bytes};
use diogenes_core::tenancy::{Allowed, may};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::extract::{Allow, Entrance, JsonBody, PathOf};
use super::jobs::JobProgress;
use crate::error::{ApiError, ErrorBody, ErrorKind, store_error};

/// The longest that a claim waits for a job.
pub(super) const LONGEST_POLL: Duration = Duration::from_secs(20);
/// How long to wait before another look where a job is due that could not be taken.
const AGAIN: Duration = Duration::from_secs(1);
/// The most queues of a claim.
pub(super) const MOST_QUEUES: usize = 16;
/// The most jobs of one claim.
pub(super) const MOST_CLAIMED: u32 = 100;
/// The kinds whose jobs write records of the server, or know its secrets.
const OF_SERVER: [JobKind; 5] = [Batch::JOB, EvalRun::JOB, WEBHOOK, IMPORT, EXPORT];
/// The longest name of a worker, in characters.
pub(super) const MAX_WORKER: usize = 100;
/// The name of the server's own worker: what is said to be its is taken up when the server starts.
pub const SERVER: &str = "serve";
/// The largest result, and the most lines of a log at once, in bytes. A result is in the job's header.
const MAX_RESULT: usize = 64 * 1024;
const MAX_LINES: usize = 256 * 1024;
/// How long a job may be put off at once.
const LONGEST_WAIT: Duration = Duration::from_hours(30 * 24);

/// What the handlers of workers share.
pub struct WorkArea {
    entrance: Entrance,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
    /// Tells everybody who waits that something may be due.
    rings: Arc<Notify>,
    is_closing: watch::Sender<bool>,
}

impl WorkArea {
    /// The area over these parts; `rings` wakes all who wait.
    pub fn new(entrance: Entrance, jobs: Jobs, clock: Arc<dyn Clock>, rings: Arc<Notify>) -> Self {
        Self { entrance, jobs, clock, rings, is_closing: watch::Sender::new(false) }
    }

    /// Sends those away who wait: the server is shutting down.
    pub fn close(&self) {
        self.is_closing.send_replace(true);
    }
}

impl AsRef<Entrance> for WorkArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// Which jobs a worker can take.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimWork {
    /// The worker's name, for people.
    pub worker: String,
    /// The queues to look at, the most important first.
    #[schema(value_type = Vec<String>)]
    pub queues: Vec<QueueName>,
    /// The kinds that it handles.
    #[schema(value_type = Vec<String>)]
    pub kinds: BTreeSet<JobKind>,
    /// How many jobs it has room for.
    pub most: u32,
    /// What its machine has left.
    #[serde(default)]
    pub has: Capacity,
    /// How long to wait for a job if there is none, at most 20 seconds.
    #[serde(default, with = "diogenes_core::duration")]
    #[schema(value_type = String)]
    pub wait: Duration,
}

/// The jobs that a worker has got.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkPage {
    pub data: Vec<WorkItem>,
}

/// A job that a worker has.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkItem {
    /// What fences everything that is reported of it.
    pub claim: String,
    /// The job, as it is recorded.
    #[schema(value_type = Object)]
    pub job: Job,
    /// What it is to do.
    pub arguments: Value,
}

/// That a worker lives, how far its job is, and lines of the job's log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeatWork {
    pub claim: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// What a worker is to know.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BeatAnswer {
    /// Whether somebody has asked for the end of the job.
    pub cancelled: bool,
}

/// How an attempt has ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishWork {
    pub claim: String,
    pub outcome: JobOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
}

/// Take jobs of the key's project.
#[utoipa::path(post, path = "/api/v1/work/claim", request_body = ClaimWork, tag = "work",
    responses((status = 200, body = WorkPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn claim(
    Allow(by): Allow<may::JobsWork>,
    State(area): State<Arc<WorkArea>>,
    JsonBody(body): JsonBody<ClaimWork>,
) -> Result<Json<WorkPage>, ApiError> {
    check(&body)?;
    let mut closing = area.is_closing.subscribe();
    let until = Instant::now() + body.wait;
    loop {
        let mut rung = std::pin::pin!(area.rings.notified());
        // What rings from here on is heard.
        rung.as_mut().enable();
        if *area.is_closing.borrow() {
            return Err(ApiError::new(
                ErrorKind::ShuttingDown,
                "the server is shutting down; ask again in a moment",
            ));
        }
        let (data, pause) = area.take(&by, &body).await?;
        let left = until.saturating_duration_since(Instant::now());
        if !data.is_empty() || left.is_zero() {
            return Ok(Json(WorkPage { data }));
        }
        tokio::select! {
            () = rung => {}
            () = tokio::time::sleep(pause.min(left)) => {}
            _ = closing.wait_for(|is_closing| *is_closing) => {}
        }
    }
}

fn check(body: &ClaimWork) -> Result<(), ApiError> {
    let wrong = |field: &str, problem: String| {
        Err(ApiError::new(ErrorKind::InvalidRequest, format!("`{field}` {problem}")).param(field))
    };
    let is_name = |name: &str| {
        (1..=MAX_WORKER).contains(&name.chars().count()) && !name.chars().any(char::is_control)
    };
    if !is_name(&body.worker) {
        return wrong(
            "worker",
            format!("must have 1 to {MAX_WORKER} characters, and none for control"),
        );
    }
    if body.worker == SERVER {
        return wrong("worker", format!("must not be `{SERVER}`, the name of the server's own"));
    }
    if !(1..=MOST_QUEUES).contains(&body.queues.len()) {
        return wrong("queues", format!("must name 1 to {MOST_QUEUES} queues"));
    }
    if let Some(kind) = body.kinds.iter().find(|kind| OF_SERVER.contains(kind)) {
        return wrong("kinds", format!("must not name `{kind}`, which the server does itself"));
    }
    if !(1..=MOST_CLAIMED).contains(&body.most) {
        return wrong("most", format!("must be 1 to {MOST_CLAIMED}"));
    }
    if body.wait > LONGEST_POLL {
        return wrong("wait", "must be at most 20s".into());
    }
    Ok(())
}

/// Say that a worker lives, and how far it is with a job.
#[utoipa::path(post, path = "/api/v1/work/jobs/{id}/beat", request_body = BeatWork, tag = "work",
    params(("id" = String, Path, description = "the job's id")),
    responses((status = 200, body = BeatAnswer), (status = "4XX", body = ErrorBody)))]
pub(super) async fn beat(
    Allow(by): Allow<may::JobsWork>,
    State(area): State<Arc<WorkArea>>,
    PathOf(id): PathOf<String>,
    JsonBody(body): JsonBody<BeatWork>,
) -> Result<Json<BeatAnswer>, ApiError> {
    let bytes: usize = body.lines.iter().map(|line| line.len() + 4).sum();
    if bytes > MAX_LINES {
        let message = format!("`lines` must have at most {MAX_LINES} bytes in all");
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("lines"));
    }
    let mut claim = area.resume(&by, &id, &body.claim).await?;
    let beaten = async {
        claim.beat(body.progress.map(Progress::from)).await?;
        if !body.lines.is_empty() {
            // Whatever a worker takes for a line, readers see lines.
            let lines = body.lines.iter().flat_map(|line| line.lines());
            claim.log(lines.map(str::to_owned).collect()).await?;
        }
        Ok(())
    };
    beaten.await.map_err(|error| claim_error(&id, &error))?;
    Ok(Json(BeatAnswer { cancelled: claim.is_cancelled() }))
}

/// Say how an attempt has ended.
#[utoipa::path(post, path = "/api/v1/work/jobs/{id}/finish", request_body = FinishWork, tag = "work",
    params(("id" = String, Path, description = "the job's id")),
    responses((status = 200, body = WorkItem), (status = "4XX", body = ErrorBody)))]
pub(super) async fn finish(
    Allow(by): Allow<may::JobsWork>,
    State(area): State<Arc<WorkArea>>,
    PathOf(id): PathOf<String>,
    JsonBody(body): JsonBody<FinishWork>,
) -> Result<Json<WorkItem>, ApiError> {
    if let JobOutcome::Completed { result: Some(result) } = &body.outcome
        && document_bytes(result) > MAX_RESULT
    {
        let message = format!("`outcome.result` must have at most {MAX_RESULT} bytes");
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("outcome.result"));
    }
    if let JobOutcome::Snoozed { until, .. } | JobOutcome::Postponed { until, .. } = &body.outcome
        && since(area.clock.now(), *until) > LONGEST_WAIT
    {
        let message = "`outcome.until` must be at most 30 days from now";
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).param("outcome.until"));
    }
    let mut claim = area.resume(&by, &id, &body.claim).await?;
    let finished = claim.finish(body.outcome, body.progress.map(Progress::from), &[]).await;
    finished.map_err(|error| claim_error(&id, &error))?;
    Ok(Json(item(&claim)))
}

impl WorkArea {
    /// Takes what is due and fits, and says until when there is nothing to do.
    async fn take(
        &self,
        by: &Allowed<may::JobsWork>,
        body: &ClaimWork,
    ) -> Result<(Vec<WorkItem>, Duration), ApiError> {
        let most = usize::try_from(body.most).unwrap_or(usize::MAX);
        let (mut items, mut pause, mut left) = (Vec::new(), LONGEST_POLL, body.has.clone());
        for queue in &body.queues {
            let taken = async {
                self.jobs.rescue(queue, None).await?;
                let fit = JobFit::of_worker(body.kinds.clone(), left.clone());
                let fit = fit.in_project(by.project.clone());
                let room = most - items.len();
                self.jobs.claim_fitting(queue, &body.worker, room, &fit).await
            };
            let claims = match taken.await {
                Ok(claims) => claims,
                // What was taken must be heard of.
                Err(_) if !items.is_empty() => break,
                Err(error) => return Err(store_error(&error)),
            };
            for claim in claims {
                left = left.without(&claim.job().needs);
                items.push(item(&claim));
            }
            if items.len() >= most {
                break;
            }
            if items.is_empty() {
                let due = self.jobs.next_due(queue).await.map_err(|error| store_error(&error))?;
                pause = match due.map(|due| since(self.clock.now(), due)) {
                    Some(until) => pause.min(until.max(AGAIN)),
                    None => pause,
                };
            }
        }
        Ok((items, pause))
    }

    async fn resume(
        &self,
        by: &Allowed<may::JobsWork>,
        id: &str,
        token: &str,
    ) -> Result<Claim, ApiError> {
        let lost = || claim_error(id, &ClaimError::Lost);
        let job = JobId::from_caller(id).ok_or_else(lost)?;
        let token = ClaimToken::from_caller(token).ok_or_else(lost)?;
        let claim = self.jobs.resume(by, &job, &token).await;
        claim.map_err(|error| claim_error(id, &error))
    }
}

fn item(claim: &Claim) -> WorkItem {
    WorkItem {
        claim: claim.token().to_string(),
        job: claim.job().clone(),
        arguments: claim.arguments().clone(),
    }
}

fn claim_error(id: &str, error: &ClaimError) -> ApiError {
    match error {
        ClaimError::Lost | ClaimError::Changed => {
            let id: String = id.chars().take(64).collect();
            let message =
                format!("job `{id}` is not held with this claim any more; leave it to others");
            ApiError::new(ErrorKind::Conflict, message).param("claim")
        }
        ClaimError::Store(error) => store_error(error),
    }
}

impl From<JobProgress> for Progress {
    fn from(progress: JobProgress) -> Self {
        Self { done: progress.done, total: progress.total, message: progress.message }
    }
}
