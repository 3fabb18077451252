//! Durable jobs: work that outlives the process that begins it.
//!
//! A [`Job`] waits in a queue until a worker takes it: a conditional write, so that of many workers
//! one gets it. The worker says every [`BEAT`] that it lives; one that is not heard of for a
//! [`LEASE`] counts as lost, and its job is given to another. Whatever a worker writes is fenced by
//! its [`Claim`]: a worker that was taken for dead changes nothing any more.
//!
//! Jobs run at least once. Their handlers keep what they have done in records that they commit
//! together with the claim's fence, and go on from there.

#[cfg(test)]
mod chaos_tests;
mod claim;
mod event;
mod job;
mod names;
mod new_job;
mod queues;
mod records;
mod service;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use claim::{BEAT, Claim, ClaimError, JobOutcome, LEASE};
pub use event::{InvalidTransition, JobEvent};
pub use job::{ClaimToken, Creator, Failure, Job, JobId, JobState, JobStatus, Progress, Waits};
pub use names::{InvalidLabel, JobKind, MAX_LABEL, Priority, QueueName};
pub use new_job::{MAX_ARGUMENTS, MAX_ATTEMPTS, MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS, NewJob};
pub use queues::{MOST_COUNTED, QueueDepth};
pub use records::{JobArguments, LogPart, MOST_LOG_PARTS, Queue, RETENTION};
pub use service::{JobError, JobFilter, JobPage, Jobs};
