//! What a job needs of its worker, and what a worker has.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Job, JobKind};
use crate::tenancy::ProjectId;

/// What a job needs of the machine that it runs on, while it runs. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Needs {
    /// Cores.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu: u32,
    /// Memory in bytes; as people write it, `8GiB`.
    #[serde(
        default,
        skip_serializing_if = "is_zero",
        deserialize_with = "crate::byte_size::deserialize"
    )]
    pub memory: u64,
    /// GPUs, each for itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gpu: u32,
    /// The command that the worker must be configured with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What a worker has, or has left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    #[serde(default)]
    pub cpu: u32,
    /// In bytes.
    #[serde(default)]
    pub memory: u64,
    #[serde(default)]
    pub gpu: u32,
    /// The commands that it is configured with.
    #[serde(default)]
    pub commands: BTreeSet<String>,
}

impl Needs {
    /// Whether a worker with so much left can take the job.
    pub fn fit(&self, left: &Capacity) -> bool {
        self.cpu <= left.cpu
            && self.memory <= left.memory
            && self.gpu <= left.gpu
            && self.command.as_ref().is_none_or(|command| left.commands.contains(command))
    }

    /// Whether it needs nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Capacity {
    /// What is left beside a job.
    #[must_use]
    pub fn without(&self, needs: &Needs) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(needs.cpu),
            memory: self.memory.saturating_sub(needs.memory),
            gpu: self.gpu.saturating_sub(needs.gpu),
            commands: self.commands.clone(),
        }
    }
}

/// Which jobs a worker takes. By default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFit {
    kinds: Option<BTreeSet<JobKind>>,
    project: Option<ProjectId>,
    left: Option<Capacity>,
}

impl JobFit {
    /// Jobs of these kinds that need no more than is left.
    pub fn of_worker(kinds: BTreeSet<JobKind>, left: Capacity) -> Self {
        Self { kinds: Some(kinds), project: None, left: Some(left) }
    }

    /// Of these only those of a project.
    #[must_use]
    pub fn in_project(self, project: ProjectId) -> Self {
        Self { project: Some(project), ..self }
    }

    pub(super) fn takes(&self, job: &Job) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&job.kind))
            && self.project.as_ref().is_none_or(|project| job.project == *project)
            && self.left.as_ref().is_none_or(|left| job.needs.fit(left))
    }

    /// A job was taken that needs this.
    pub(super) fn give(&mut self, needs: &Needs) {
        self.left = self.left.as_ref().map(|left| left.without(needs));
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_fits_where_enough_of_everything_is_left() {
        let has = Capacity { cpu: 4, memory: 100, gpu: 1, commands: ["train".to_owned()].into() };
        let needs = Needs { cpu: 2, memory: 60, gpu: 1, command: Some("train".into()) };
        assert!(needs.fit(&has));
        assert!(Needs::default().fit(&Capacity::default()));
        let left = has.without(&needs);
        assert!(!needs.fit(&left) && Needs { cpu: 2, ..Needs::default() }.fit(&left));
        for more in [
            Needs { cpu: 5, ..needs.clone() },
            Needs { memory: 101, ..needs.clone() },
            Needs { gpu: 2, ..needs.clone() },
            Needs { command: Some("other".into()), ..needs.clone() },
        ] {
            assert!(!more.fit(&has), "{more:?}");
        }
    }
}
