//! Where jobs stand in the store.
//!
//! - `JOB#<project>#<id>`: the header (`JOB`), the arguments (`ARGUMENTS`), the log (`LOG#<number>`).
//! - The index lists headers that wait by queue, priority and time, and headers that run by the end
//!   of their lease; of the arguments it lists every job of a project by id.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Job, JobId, JobKind, JobState, Priority, QueueName};
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::ports::{IndexKey, Key, Query, Table};
use crate::tenancy::ProjectId;

/// How long a job that has ended is kept.
pub const RETENTION: Duration = Duration::from_hours(30 * 24);
/// The most parts of a log.
pub const MOST_LOG_PARTS: u32 = 1_000;

const HEADER: &str = "JOB";

fn partition(project: &ProjectId, id: &JobId) -> String {
    format!("JOB#{project}#{id}")
}

impl Job {
    /// Where the header of a job stands.
    pub fn key_of(project: &ProjectId, id: &JobId) -> Key {
        Key::new(partition(project, id), HEADER)
    }

    /// Lists the jobs of a queue and a priority that wait, by their times.
    pub(super) fn waiting(queue: &QueueName, priority: Priority) -> Query {
        Query::new(Table::Index, format!("READY#{queue}#{priority}"), "")
    }

    /// Lists the jobs of a queue that run, by the end of their leases.
    pub(super) fn running(queue: &QueueName) -> Query {
        Query::new(Table::Index, format!("RUNNING#{queue}"), "")
    }
}

impl Entity for Job {
    const KIND: &'static str = "job";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }

    fn index(&self) -> Option<IndexKey> {
        let (partition, at) = match &self.state {
            JobState::Waiting { .. } => {
                (format!("READY#{}#{}", self.queue, self.priority), self.run_at)
            }
            JobState::Running { lease_until, .. } => {
                (format!("RUNNING#{}", self.queue), *lease_until)
            }
            JobState::Completed | JobState::Cancelled | JobState::Discarded => return None,
        };
        // One id may be in two projects, though by no chance.
        Some(IndexKey { partition, sort: format!("{}#{}#{}", sortable(at), self.id, self.project) })
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.finished_at.map(|at| later(at, RETENTION))
    }
}

/// A time that sorts bytewise, to the microsecond.
fn sortable(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// What a job is to do. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobArguments {
    pub project: ProjectId,
    pub job: JobId,
    /// What its handler reads.
    pub arguments: Value,
    /// Set once the job has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl JobArguments {
    /// Where the arguments of a job stand.
    pub fn key_of(project: &ProjectId, job: &JobId) -> Key {
        Key::new(partition(project, job), "ARGUMENTS")
    }

    /// Lists every job of a project by its id, and so by its time of creation.
    pub(super) fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Index, format!("JOBS#{project}"), "")
    }
}

impl Entity for JobArguments {
    const KIND: &'static str = "job's arguments";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.job)
    }

    fn index(&self) -> Option<IndexKey> {
        let partition = format!("JOBS#{}", self.project);
        Some(IndexKey { partition, sort: self.job.to_string() })
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.until
    }
}

/// Some lines of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    pub project: ProjectId,
    pub job: JobId,
    /// Its place in the log, from 0.
    pub number: u32,
    pub at: Timestamp,
    pub lines: Vec<String>,
}

impl LogPart {
    const PREFIX: &'static str = "LOG#";

    pub(super) fn key_of(project: &ProjectId, job: &JobId, number: u32) -> Key {
        Key::new(partition(project, job), format!("{}{number:06}", Self::PREFIX))
    }

    /// Lists the log of a job, from its beginning.
    pub fn all_of(project: &ProjectId, job: &JobId) -> Query {
        Query::new(Table::Main, partition(project, job), Self::PREFIX)
    }
}

impl Entity for LogPart {
    const KIND: &'static str = "part of a job's log";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.job, self.number)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.at, RETENTION))
    }
}

/// That a job has a name which no other one of its kind and project may have. It is put under
/// `Absent` in the commit that creates the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UniqueName {
    pub(super) project: ProjectId,
    pub(super) kind: JobKind,
    pub(super) name: String,
    pub(super) job: JobId,
}

impl UniqueName {
    pub(super) fn key_of(project: &ProjectId, kind: &JobKind, name: &str) -> Key {
        Key::new(format!("UNIQUE#{project}#{kind}"), name)
    }
}

impl Entity for UniqueName {
    const KIND: &'static str = "unique name of a job";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.kind, &self.name)
    }
}

/// How a queue is worked on. A queue without a record is neither paused nor bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub name: QueueName,
    /// Since when no job of it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// How many of its jobs run at once at most, over all workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_running: Option<u32>,
}

impl Queue {
    /// A queue that nobody has configured.
    pub fn new(name: QueueName) -> Self {
        Self { name, paused_at: None, max_running: None }
    }

    pub(super) fn key_of(name: &QueueName) -> Key {
        Key::new("QUEUES", name.as_str())
    }

    /// Lists the queues that were configured.
    pub(super) fn all() -> Query {
        Query::new(Table::Main, "QUEUES", "")
    }

    /// The counter of its jobs that run.
    pub(super) fn places(name: &QueueName) -> Key {
        Key::new(format!("QUEUE#{name}"), "RUNNING")
    }
}

impl Entity for Queue {
    const KIND: &'static str = "queue";

    fn key(&self) -> Key {
        Self::key_of(&self.name)
    }
}
