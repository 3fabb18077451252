//! What `serve` and `worker` share: how jobs are configured, and how programs of theirs are run.

mod capacity;
mod command;
mod config;
mod guard;
mod output;
mod requests;

pub(crate) use capacity::of_machine;
pub(crate) use command::CommandJobs;
pub(crate) use config::{JobsConfig, JobsTable, configured};
pub(crate) use guard::{COMMAND as GUARD, GuardArgs, run as run_guarded};
pub(crate) use requests::http_jobs;
