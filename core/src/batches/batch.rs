use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bill, FileId, LineProblem};
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::jobs::{Creator, JobId, JobKind};
use crate::name::ModelName;
use crate::ordered_id::ordered_ids;
use crate::ports::{Key, Query, Table};
use crate::tenancy::ProjectId;

/// How long the requests of a batch may take from its creation, the only window that there is.
pub const WINDOW: Duration = Duration::from_hours(24);
/// The name of that window.
pub const WINDOW_NAME: &str = "24h";
/// The most requests of a batch, OpenAI's limit.
pub const MAX_LINES: u32 = 50_000;
/// The most inputs of all embeddings of a batch, OpenAI's limit.
pub const MAX_EMBEDDING_INPUTS: u64 = 50_000;
/// How long the record of a batch is kept.
const LIFE: Duration = Duration::from_hours(90 * 24);
/// The most problems of an input file that are told.
pub const MAX_PROBLEMS: usize = 50;

ordered_ids! {
    /// A batch's id: `batch_` and 32 hexadecimal digits that sort by the time of its creation.
    BatchId, "batch_";
}

/// The endpoints whose requests a batch may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchEndpoint {
    #[serde(rename = "/v1/chat/completions")]
    ChatCompletions,
    #[serde(rename = "/v1/completions")]
    Completions,
    #[serde(rename = "/v1/embeddings")]
    Embeddings,
    #[serde(rename = "/v1/responses")]
    Responses,
}

impl BatchEndpoint {
    /// Every endpoint.
    pub const ALL: [Self; 4] =
        [Self::ChatCompletions, Self::Completions, Self::Embeddings, Self::Responses];

    /// Its path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
        }
    }

    /// The endpoint at this path.
    pub fn parse(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == path)
    }
}

/// The states of a batch, OpenAI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// The input file is read whole before the first request.
    Validating,
    /// The input file is not one; nothing was asked.
    Failed,
    /// Its requests are being answered.
    InProgress,
    /// The output files are being written.
    Finalizing,
    Completed,
    /// The window closed before every request was answered.
    Expired,
    /// Somebody wants its end; what is under way is finished.
    Cancelling,
    Cancelled,
}

impl BatchStatus {
    /// The name in JSON and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many requests a batch has, and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    pub total: u32,
    /// Answered with success.
    pub completed: u32,
    /// Answered with an error, or not at all.
    pub failed: u32,
}

/// A file of requests, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub id: BatchId,
    pub project: ProjectId,
    pub endpoint: BatchEndpoint,
    pub input_file: FileId,
    pub status: BatchStatus,
    /// The job that does the work.
    pub job: JobId,
    /// Whose key the requests count for.
    pub created_by: Creator,
    pub created_at: Timestamp,
    /// When the window closes.
    pub expires_at: Timestamp,
    /// Not before then, where its creator said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The model that all its requests name, once the file was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    #[serde(default)]
    pub counts: RequestCounts,
    /// What its answers have used so far.
    #[serde(default)]
    pub bill: Bill,
    /// What is wrong with the input file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<LineProblem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_file: Option<FileId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_file: Option<FileId>,
    /// How long the output files are kept, in seconds; 30 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_life: Option<u64>,
    /// When it came into each state after the first.
    #[serde(default)]
    pub times: BatchTimes,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// When a batch came into a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchTimes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalizing: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelling: Option<Timestamp>,
    /// When it came into the state that it stays in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// What happens to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEvent {
    /// The file has something wrong with it.
    Refused,
    /// The file is good.
    Validated,
    /// No request is left, or none is begun any more.
    Finalizes,
    /// The output files are there, with an answer to every request or not.
    Finished { is_whole: bool },
    /// Somebody wants its end.
    CancelRequested,
}

impl Batch {
    /// The kind of the jobs that run batches.
    pub const JOB: JobKind = JobKind::known("batch");

    /// Where a batch stands.
    pub fn key_of(project: &ProjectId, id: &BatchId) -> Key {
        Key::new(format!("BATCHES#{project}"), id.as_str())
    }

    /// Lists the batches of a project by their ids, and so by their times of creation.
    pub fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Main, format!("BATCHES#{project}"), "")
    }

    /// The batch after `event`; `None` where that cannot happen to it any more.
    pub fn after(&self, event: BatchEvent, now: Timestamp) -> Option<Self> {
        use BatchStatus::{
            Cancelled, Cancelling, Completed, Expired, Failed, Finalizing, InProgress, Validating,
        };
        let status = match (event, self.status) {
            (BatchEvent::Refused, Validating) => Failed,
            (BatchEvent::Validated, Validating) => InProgress,
            (BatchEvent::Finalizes, InProgress) => Finalizing,
            (BatchEvent::Finished { .. }, Cancelling) => Cancelled,
            (BatchEvent::Finished { is_whole: true }, Finalizing) => Completed,
            (BatchEvent::Finished { is_whole: false }, Finalizing) => Expired,
            (BatchEvent::CancelRequested, Validating | InProgress | Cancelling)
            | (BatchEvent::Finalizes, Cancelling) => Cancelling,
            _ => return None,
        };
        let mut batch = Self { status, ..self.clone() };
        let times = &mut batch.times;
        let place = match status {
            InProgress => &mut times.in_progress,
            Finalizing => &mut times.finalizing,
            Cancelling => &mut times.cancelling,
            _ => &mut times.ended,
        };
        place.get_or_insert(now);
        Some(batch)
    }
}

impl Entity for Batch {
    const KIND: &'static str = "batch";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.created_at, LIFE))
    }
}
