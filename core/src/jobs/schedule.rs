use serde::{Deserialize, Serialize};

use super::{Cron, JobId, NewJob, ScheduleName};
use crate::Timestamp;
use crate::entity::Entity;
use crate::ports::{Key, Query, Table};
use crate::tenancy::ProjectId;

/// A job that is done again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub project: ProjectId,
    pub name: ScheduleName,
    /// When.
    pub cron: Cron,
    /// Whether one begins though the one before it has not ended. If not, times that come meanwhile
    /// are left out.
    #[serde(default)]
    pub overlaps: bool,
    /// What each of its jobs is.
    pub job: NewJob,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    /// Since when no job of it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// The job that comes next or, unless they overlap, is at work. None while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Occurrence>,
}

/// One job of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    pub job: JobId,
    /// The time that it is for.
    pub at: Timestamp,
}

/// A schedule that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    pub name: ScheduleName,
    pub cron: Cron,
    pub overlaps: bool,
    /// What each of its jobs is; in the project that the schedule is for.
    pub job: NewJob,
}

impl Schedule {
    fn partition(project: &ProjectId) -> String {
        format!("SCHEDULES#{project}")
    }

    pub(super) fn key_of(project: &ProjectId, name: &ScheduleName) -> Key {
        Key::new(Self::partition(project), name.as_str())
    }

    /// Lists the schedules of a project by their names.
    pub(super) fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Main, Self::partition(project), "")
    }
}

impl Entity for Schedule {
    const KIND: &'static str = "schedule";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.name)
    }
}
