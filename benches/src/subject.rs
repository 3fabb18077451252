use std::rc::Rc;
use std::time::Duration;

use crate::group::Group;
use crate::request::Request;

/// What is measured: a request to a URL, and the processes behind it.
pub(crate) struct Subject {
    /// The gateway, and in what way it is asked if there are several.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) url: String,
    pub(crate) request: Request,
    /// None for the bare upstream.
    pub(crate) group: Option<Rc<Group>>,
    /// From the start of its processes to their first answer.
    pub(crate) start: Duration,
}

impl Subject {
    /// CPU time so far, user and system, in microseconds.
    pub(crate) fn cpu_micros(&self) -> anyhow::Result<f64> {
        self.group.as_ref().map_or(Ok(0.0), |group| group.cpu_micros())
    }

    /// Resident memory in MiB.
    pub(crate) fn memory_mib(&self) -> anyhow::Result<f64> {
        self.group.as_ref().map_or(Ok(0.0), |group| group.memory_mib())
    }
}
