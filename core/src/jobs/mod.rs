//! Durable jobs: work that outlives the process that begins it.
//!
//! A [`Job`] waits in a queue until a worker takes it: a conditional write, so that of many workers
//! one gets it. The worker says every [`BEAT`] that it lives; one that is not heard of for a
//! [`LEASE`] counts as lost, and its job is given to another. Whatever a worker writes is fenced by
//! its [`Claim`]: a worker that was taken for dead changes nothing any more.
//!
//! Jobs run at least once. Their handlers keep what they have done in records that they commit
//! together with the claim's fence, and go on from there.

mod callback;
#[cfg(test)]
mod chaos_tests;
mod claim;
mod cron;
mod event;
mod job;
mod names;
mod needs;
mod new_job;
#[cfg(test)]
mod oracle_tests;
mod queues;
mod records;
mod schedule;
#[cfg(test)]
mod schedule_tests;
mod schedules;
mod search;
mod service;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use callback::{Callback, WEBHOOK, Webhook};
pub use claim::{BEAT, Claim, ClaimError, JobOutcome, LEASE};
pub use cron::{Cron, MAX_CRON};
pub use event::{InvalidTransition, JobEvent};
pub use job::{ClaimToken, Creator, Failure, Job, JobId, JobState, JobStatus, Progress, Waits};
pub use names::{InvalidLabel, JobKind, MAX_LABEL, Priority, QueueName, ScheduleName};
pub use needs::{Capacity, JobFit, Needs};
pub use new_job::{MAX_ARGUMENTS, MAX_ATTEMPTS, MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS, NewJob};
pub use queues::{MOST_COUNTED, QueueDepth};
pub use records::{JobArguments, LogPart, MOST_LOG_PARTS, Queue, RETENTION};
pub use schedule::{NewSchedule, Occurrence, Schedule};
pub use service::{JobError, JobFilter, JobPage, Jobs};
