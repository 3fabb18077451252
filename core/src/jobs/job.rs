use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Callback, JobKind, Needs, Priority, QueueName, ScheduleName};
use crate::Timestamp;
use crate::keys::KeyId;
use crate::ordered_id::ordered_ids;
use crate::tenancy::{ProjectId, Subject};

ordered_ids! {
    /// A job's id: 32 hexadecimal digits that sort by the time of its creation.
    JobId, "";
    /// One taking of a job by a worker: what fences its writes.
    ClaimToken, "";
}

/// The header of a job: everything but its arguments and its log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub project: ProjectId,
    pub kind: JobKind,
    pub queue: QueueName,
    #[serde(default)]
    pub priority: Priority,
    pub created_at: Timestamp,
    pub created_by: Creator,
    pub state: JobState,
    /// When it may begin; of one that waits after an attempt, begin again.
    pub run_at: Timestamp,
    /// How many attempts were begun since it last got further.
    pub attempt: u32,
    /// How many may be.
    pub max_attempts: u32,
    /// How long an attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration::option")]
    pub timeout: Option<Duration>,
    /// What it needs of its worker.
    #[serde(default, skip_serializing_if = "Needs::is_nothing")]
    pub needs: Needs,
    /// When its first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When somebody asked for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How its last failed attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Whether its handler runs once more after somebody asked for its end, or after its last attempt
    /// was lost: `attempt` is above `max_attempts` then.
    #[serde(default)]
    pub cleans_up: bool,
    /// The name that no other job of its kind and project has, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The schedule that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// Who is told that it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

/// Who wanted a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creator {
    /// The holder of the key, or `operator`.
    pub subject: String,
    /// The key; empty for the operator.
    pub key: KeyId,
}

impl Creator {
    /// Whoever makes a request.
    pub fn new(subject: &Subject, key: &KeyId) -> Self {
        Self { subject: subject.to_string(), key: key.clone() }
    }
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub done: u64,
    /// Of how many; zero when that is not known.
    pub total: u64,
    /// What is being done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub at: Timestamp,
    /// Which attempt.
    pub attempt: u32,
    pub message: String,
}

/// Where a job is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum JobState {
    /// It waits for its time, and then for a worker.
    Waiting {
        why: Waits,
    },
    /// A worker is on it.
    Running {
        /// What fences the worker's writes.
        claim: ClaimToken,
        worker: String,
        /// From then on the worker counts as lost.
        lease_until: Timestamp,
        /// Whether it takes one of the queue's places.
        #[serde(default)]
        counted: bool,
    },
    Completed,
    /// Somebody asked for its end.
    Cancelled,
    /// Its attempts are used up, or none can help.
    Discarded,
}

/// Why a job waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum Waits {
    /// For its first attempt, or for one that somebody asked for.
    Start,
    /// For another attempt.
    Retry,
    /// For something that is not there yet, without having used an attempt.
    Condition {
        /// What it waits for.
        what: String,
    },
}

/// The states as callers see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Its time has not come.
    Scheduled,
    /// A worker may take it.
    Available,
    Running,
    /// An attempt has failed; another one follows.
    Retryable,
    /// It waits for something, and has used no attempt for that.
    Snoozed,
    Completed,
    Cancelled,
    /// Its attempts are used up, or none can help: a dead letter.
    Discarded,
}

impl JobStatus {
    /// Every status, in the order of a job's life.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retryable,
        Self::Snoozed,
        Self::Completed,
        Self::Cancelled,
        Self::Discarded,
    ];

    /// The name in JSON and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Snoozed => "snoozed",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Discarded)
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Job {
    /// Its state at `now`, as callers see it.
    pub fn status(&self, now: Timestamp) -> JobStatus {
        match &self.state {
            JobState::Waiting { why: Waits::Condition { .. } } => JobStatus::Snoozed,
            JobState::Waiting { why: Waits::Retry } => JobStatus::Retryable,
            JobState::Waiting { why: Waits::Start } if self.run_at > now => JobStatus::Scheduled,
            JobState::Waiting { why: Waits::Start } => JobStatus::Available,
            JobState::Running { .. } => JobStatus::Running,
            JobState::Completed => JobStatus::Completed,
            JobState::Cancelled => JobStatus::Cancelled,
            JobState::Discarded => JobStatus::Discarded,
        }
    }

    /// Whether it has ended for good.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, JobState::Completed | JobState::Cancelled | JobState::Discarded)
    }

    /// Whether the worker with `claim` still has it.
    pub fn is_held_by(&self, claim: &ClaimToken) -> bool {
        matches!(&self.state, JobState::Running { claim: of_it, .. } if of_it == claim)
    }

    /// Whether it takes one of its queue's places.
    pub(super) fn is_counted(&self) -> bool {
        matches!(self.state, JobState::Running { counted: true, .. })
    }
}
