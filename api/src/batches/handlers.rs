use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::batches::{
    Batch, BatchEndpoint, BatchError, BatchId, BatchStatus, Bill, LineProblem, NewBatch,
    RequestCounts, WINDOW_NAME,
};
use diogenes_core::jobs::JobError;
use diogenes_core::money::Dollars;
use diogenes_core::tenancy::{Allowed, may};
use serde::{Deserialize, Serialize};

use super::BatchesArea;
use super::files::file_error;
use super::paging::{after, invalid, limit};
use crate::auth::denied_error;
use crate::control::extract::{Allow, JsonBody, PathOf, QueryString};
use crate::control::{CallbackBody, checked_callback};
use crate::error::{ApiError, ErrorKind, store_error};

/// A batch, as OpenAI's clients read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchBody {
    pub id: String,
    /// `batch`.
    pub object: String,
    pub endpoint: String,
    pub errors: Option<Problems>,
    pub input_file_id: String,
    pub completion_window: String,
    pub status: BatchStatus,
    pub output_file_id: Option<String>,
    pub error_file_id: Option<String>,
    /// Seconds since the epoch, as all times here.
    pub created_at: i64,
    pub in_progress_at: Option<i64>,
    pub expires_at: i64,
    pub finalizing_at: Option<i64>,
    pub completed_at: Option<i64>,
    pub failed_at: Option<i64>,
    pub expired_at: Option<i64>,
    pub cancelling_at: Option<i64>,
    pub cancelled_at: Option<i64>,
    pub request_counts: RequestCounts,
    /// What its answers have used so far; null before the first one.
    pub usage: Option<BatchUsage>,
    pub metadata: Option<BTreeMap<String, String>>,
    /// The model that its requests name, once the file was read.
    pub model: Option<String>,
    /// The job that runs it; not OpenAI's.
    pub job_id: String,
    /// When it may begin, if that was said; not OpenAI's.
    pub not_before: Option<i64>,
}

/// What the answers of a batch have used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchUsage {
    pub input_tokens: u64,
    pub input_tokens_details: InputDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputDetails,
    pub total_tokens: u64,
    /// What they cost in dollars, exact to the billionth; null where nothing of it has a price. Not
    /// OpenAI's.
    pub cost_usd: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct InputDetails {
    pub cached_tokens: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OutputDetails {
    pub reasoning_tokens: u64,
}

impl BatchUsage {
    fn of(bill: Bill) -> Option<Self> {
        (bill != Bill::default()).then(|| Self {
            input_tokens: bill.input,
            input_tokens_details: InputDetails { cached_tokens: bill.cached },
            output_tokens: bill.output,
            output_tokens_details: OutputDetails { reasoning_tokens: bill.reasoning },
            total_tokens: bill.input.saturating_add(bill.output),
            cost_usd: bill.cost.map(|cost| Dollars(cost).decimal()),
        })
    }
}

/// What is wrong with the input file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problems {
    /// `list`.
    pub object: String,
    pub data: Vec<LineProblem>,
}

impl BatchBody {
    fn of(batch: Batch) -> Self {
        let seconds = |at: Option<Timestamp>| at.map(Timestamp::as_second);
        let ended = |status| seconds(batch.times.ended).filter(|_| batch.status == status);
        Self {
            object: "batch".into(),
            endpoint: batch.endpoint.as_str().into(),
            input_file_id: batch.input_file.to_string(),
            completion_window: WINDOW_NAME.into(),
            status: batch.status,
            output_file_id: batch.output_file.as_ref().map(ToString::to_string),
            error_file_id: batch.error_file.as_ref().map(ToString::to_string),
            created_at: batch.created_at.as_second(),
            in_progress_at: seconds(batch.times.in_progress),
            expires_at: batch.expires_at.as_second(),
            finalizing_at: seconds(batch.times.finalizing),
            completed_at: ended(BatchStatus::Completed),
            failed_at: ended(BatchStatus::Failed),
            expired_at: ended(BatchStatus::Expired),
            cancelling_at: seconds(batch.times.cancelling),
            cancelled_at: ended(BatchStatus::Cancelled),
            request_counts: batch.counts,
            usage: BatchUsage::of(batch.bill),
            model: batch.model.as_ref().map(ToString::to_string),
            job_id: batch.job.to_string(),
            not_before: seconds(batch.not_before),
            id: batch.id.to_string(),
            metadata: (!batch.metadata.is_empty()).then_some(batch.metadata),
            errors: (!batch.problems.is_empty())
                .then_some(Problems { object: "list".into(), data: batch.problems }),
        }
    }
}

/// A page of batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchList {
    /// `list`.
    pub object: String,
    pub data: Vec<BatchBody>,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
    pub has_more: bool,
}

/// A batch that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBatch {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    output_expires_after: Option<ExpiresAfter>,
    #[serde(default)]
    not_before: Option<i64>,
    #[serde(default)]
    callback: Option<CallbackBody>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresAfter {
    anchor: String,
    seconds: u64,
}

pub(super) async fn create(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    JsonBody(body): JsonBody<CreateBatch>,
) -> Result<Json<BatchBody>, ApiError> {
    let endpoint = BatchEndpoint::parse(&body.endpoint).ok_or_else(|| {
        let known =
            BatchEndpoint::ALL.map(|endpoint| format!("`{}`", endpoint.as_str())).join(", ");
        invalid("endpoint", format!("`endpoint` must be one of {known}"))
    })?;
    if body.completion_window != WINDOW_NAME {
        let message = format!("`completion_window` must be `{WINDOW_NAME}`");
        return Err(invalid("completion_window", message));
    }
    if body.output_expires_after.as_ref().is_some_and(|after| after.anchor != "created_at") {
        let message = "`output_expires_after.anchor` must be `created_at`";
        return Err(invalid("output_expires_after.anchor", message));
    }
    let not_before = match body.not_before {
        None => None,
        Some(seconds) => Some(Timestamp::from_second(seconds).map_err(|_| {
            invalid("not_before", "`not_before` must be a time in seconds since the epoch")
        })?),
    };
    let callback = match body.callback {
        None => None,
        Some(callback) => {
            // The server sends a request where the caller says: that is a job of the caller's.
            let may = Allowed::<may::JobsWrite>::check(by.principal().clone());
            may.map_err(|denied| denied_error(&denied))?;
            Some(checked_callback(area.webhooks.as_deref(), callback)?)
        }
    };
    let new = NewBatch {
        input_file: body.input_file_id,
        endpoint,
        metadata: body.metadata.unwrap_or_default(),
        output_life: body.output_expires_after.map(|after| after.seconds),
        not_before,
        callback,
    };
    let batch = area.batches.create(&by, new).await.map_err(|error| batch_error(&error))?;
    Ok(Json(BatchBody::of(batch)))
}

pub(super) async fn show(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<BatchBody>, ApiError> {
    let batch = area.batches.get(by.principal(), &id).await;
    batch.map(|batch| Json(BatchBody::of(batch))).map_err(|error| batch_error(&error))
}

pub(super) async fn cancel(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<BatchBody>, ApiError> {
    let batch = area.batches.cancel(&by, &id).await;
    batch.map(|batch| Json(BatchBody::of(batch))).map_err(|error| batch_error(&error))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListBatches {
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    Allow(by): Allow<may::InferenceUse>,
    State(area): State<Arc<BatchesArea>>,
    QueryString(query): QueryString<ListBatches>,
) -> Result<Json<BatchList>, ApiError> {
    const MOST: usize = 100;
    let limit = limit(query.limit, 20, MOST)?;
    let after = after(query.after.as_deref(), "batch", BatchId::from_caller)?;
    let page = area.batches.list(by.principal(), after.as_ref(), limit).await;
    let (batches, has_more) = page.map_err(|error| batch_error(&error))?;
    let data: Vec<_> = batches.into_iter().map(BatchBody::of).collect();
    Ok(Json(BatchList {
        object: "list".into(),
        first_id: data.first().map(|batch| batch.id.clone()),
        last_id: data.last().map(|batch| batch.id.clone()),
        has_more,
        data,
    }))
}

/// A batch that was not created, read or cancelled, as callers see it.
fn batch_error(error: &BatchError) -> ApiError {
    match error {
        BatchError::NotFound(_) => ApiError::new(ErrorKind::BatchNotFound, error.to_string()),
        BatchError::Invalid { field, .. } => invalid(field, error.to_string()),
        BatchError::NotCancellable(_) => ApiError::new(ErrorKind::Conflict, error.to_string()),
        BatchError::File(error) => file_error(error),
        BatchError::Job(JobError::Store(error)) | BatchError::Store(error) => store_error(error),
        BatchError::Job(error) => ApiError::internal(error),
    }
}
