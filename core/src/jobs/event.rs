//! The only place where a job's state changes.

use std::time::Duration;

use serde_json::Value;

use super::job::{ClaimToken, Failure, Job, JobState, Progress, Waits};
use crate::Timestamp;
use crate::fleet::eta::later;

/// The longest message that is kept, in characters.
const MOST_MESSAGE: usize = 2_000;
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_hours(6);

/// What happens to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent {
    /// A worker takes it.
    Claimed { claim: ClaimToken, worker: String, lease_until: Timestamp, counted: bool },
    /// Its worker is alive.
    Beat { lease_until: Timestamp, progress: Option<Progress> },
    /// It is done.
    Completed { result: Option<Value> },
    /// An attempt failed. `jitter` spreads the next ones, 0 to 255; they do not begin before
    /// `not_before`.
    Failed { message: String, is_final: bool, jitter: u8, not_before: Option<Timestamp> },
    /// It waits for something; that uses no attempt.
    Snoozed { until: Timestamp, what: String },
    /// Its worker stops, and another one goes on at once; that uses no attempt.
    Released,
    /// Its worker was not heard of until its lease was over.
    Lost,
    /// Somebody wants its end.
    CancelRequested,
    /// Its worker has stopped because of that.
    Cancelled,
    /// Somebody wants another attempt at one that has ended.
    Retried,
}

/// An event that cannot happen to a job in its state.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("job `{}` is {} and cannot take this: {event:?}", .job.id, .job.status(.job.run_at))]
pub struct InvalidTransition {
    job: Box<Job>,
    event: Box<JobEvent>,
}

impl Job {
    /// The job after `event`.
    pub fn after(&self, event: &JobEvent, now: Timestamp) -> Result<Self, InvalidTransition> {
        let invalid =
            || InvalidTransition { job: Box::new(self.clone()), event: Box::new(event.clone()) };
        let is_running = matches!(self.state, JobState::Running { .. });
        let is_waiting = matches!(self.state, JobState::Waiting { .. });
        let mut job = self.clone();
        match event {
            JobEvent::Claimed { claim, worker, lease_until, counted } if is_waiting => {
                job.state = JobState::Running {
                    claim: claim.clone(),
                    worker: worker.clone(),
                    lease_until: *lease_until,
                    counted: *counted,
                };
                job.attempt = job.attempt.saturating_add(1);
                job.started_at = job.started_at.or(Some(now));
            }
            JobEvent::Beat { lease_until: until, progress } => {
                let JobState::Running { lease_until, .. } = &mut job.state else {
                    return Err(invalid());
                };
                *lease_until = *until;
                if let Some(progress) = progress {
                    job.gets_to(progress);
                }
            }
            JobEvent::Completed { result } if is_running => {
                job.result.clone_from(result);
                job.ends(JobState::Completed, now);
            }
            JobEvent::Failed { message, is_final, jitter, not_before } if is_running => {
                job.failure =
                    Some(Failure { at: now, attempt: job.attempt, message: shortened(message) });
                if *is_final || job.attempt >= job.max_attempts {
                    job.ends(JobState::Discarded, now);
                } else {
                    let wait = later(now, back_off(job.attempt, *jitter));
                    job.run_at = not_before.map_or(wait, |at| at.max(wait));
                    job.state = JobState::Waiting { why: Waits::Retry };
                }
            }
            JobEvent::Snoozed { until, what } if is_running => {
                job.attempt = job.attempt.saturating_sub(1);
                job.run_at = *until;
                job.state = JobState::Waiting { why: Waits::Condition { what: shortened(what) } };
            }
            JobEvent::Released if is_running => {
                job.attempt = job.attempt.saturating_sub(1);
                job.run_at = now;
                job.state = JobState::Waiting { why: Waits::Start };
            }
            JobEvent::Lost if is_running => {
                let message = "its worker was lost: it ended, or could not reach the store".into();
                job.failure = Some(Failure { at: now, attempt: job.attempt, message });
                if job.cancel_requested_at.is_some() && !job.cleans_up {
                    job.ends(JobState::Cancelled, now);
                } else if job.attempt >= job.max_attempts && !job.cleans_up {
                    job.ends(JobState::Discarded, now);
                } else {
                    job.run_at = now;
                    job.state = JobState::Waiting { why: Waits::Retry };
                }
            }
            JobEvent::CancelRequested if is_waiting => {
                job.cancel_requested_at = job.cancel_requested_at.or(Some(now));
                if job.cleans_up {
                    job.state = JobState::Waiting { why: Waits::Start };
                    job.run_at = job.run_at.min(now);
                } else {
                    job.ends(JobState::Cancelled, now);
                }
            }
            JobEvent::CancelRequested if is_running => {
                job.cancel_requested_at = job.cancel_requested_at.or(Some(now));
            }
            JobEvent::Cancelled if is_running => job.ends(JobState::Cancelled, now),
            JobEvent::Retried if self.is_finished() && self.state != JobState::Completed => {
                job.state = JobState::Waiting { why: Waits::Start };
                job.run_at = now;
                job.attempt = 0;
                job.finished_at = None;
                job.cancel_requested_at = None;
            }
            _ => return Err(invalid()),
        }
        Ok(job)
    }

    /// Takes over how far it is. An attempt that got further than all before it is its first again:
    /// what goes on is not used up by the workers that it outlives.
    fn gets_to(&mut self, progress: &Progress) {
        if self.progress.as_ref().is_none_or(|before| progress.done > before.done) {
            self.attempt = self.attempt.min(1);
        }
        self.progress =
            Some(Progress { message: shortened(&progress.message), ..progress.clone() });
    }

    fn ends(&mut self, state: JobState, now: Timestamp) {
        self.state = state;
        self.finished_at = Some(now);
    }
}

/// The fourth power of the attempt in seconds, as River waits (its `DefaultClientRetryPolicy`), a
/// tenth more or less.
fn back_off(attempt: u32, jitter: u8) -> Duration {
    let seconds = u64::from(attempt).saturating_pow(4);
    let base = Duration::from_secs(seconds).min(LONGEST_WAIT);
    base.mul_f64(f64::from(jitter).mul_add(0.2 / 255.0, 0.9))
}

fn shortened(text: &str) -> String {
    text.chars().take(MOST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, job, token};
    use super::*;
    use crate::jobs::JobStatus;

    fn claimed(job: &Job) -> Job {
        let event = JobEvent::Claimed {
            claim: token(1),
            worker: "w".into(),
            lease_until: at(60),
            counted: false,
        };
        job.after(&event, at(0)).unwrap()
    }

    fn failed(job: &Job) -> Job {
        let event = JobEvent::Failed {
            message: "no".into(),
            is_final: false,
            jitter: 128,
            not_before: None,
        };
        job.after(&event, at(0)).unwrap()
    }

    #[test]
    fn attempts_are_bounded_and_further_and_further_apart() {
        let mut job = Job { max_attempts: 3, ..job(1) };
        let mut waits = Vec::new();
        while !job.is_finished() {
            job = failed(&claimed(&job));
            waits.push(job.run_at.duration_since(at(0)).as_secs());
        }
        assert_eq!(job.status(at(0)), JobStatus::Discarded);
        assert_eq!(waits, [1, 16, 16], "the last one does not wait");
        assert_eq!(job.failure.unwrap().attempt, 3);
        assert_eq!(back_off(u32::MAX, 0), LONGEST_WAIT.mul_f64(0.9));
        assert_eq!(back_off(u32::MAX, 255), LONGEST_WAIT.mul_f64(1.1));
    }

    #[test]
    fn the_next_attempt_does_not_begin_before_it_is_asked_to() {
        for (not_before, run_at) in [(at(90), at(90)), (at(0), at(1))] {
            let event = JobEvent::Failed {
                message: "busy".into(),
                is_final: false,
                jitter: 128,
                not_before: Some(not_before),
            };
            let job = claimed(&job(1)).after(&event, at(0)).unwrap();
            // A tenth of the wait is left to chance.
            let (wanted, found) = (run_at.as_second(), job.run_at.as_second());
            assert_eq!((found, job.attempt), (wanted, 1));
        }
    }

    #[test]
    fn a_snoozed_or_released_job_has_used_no_attempt() {
        let job = claimed(&job(1));
        let snoozed = JobEvent::Snoozed { until: at(9), what: "a GPU".into() };
        let snoozed = job.after(&snoozed, at(1)).unwrap();
        assert_eq!((snoozed.attempt, snoozed.status(at(10))), (0, JobStatus::Snoozed));
        let released = job.after(&JobEvent::Released, at(1)).unwrap();
        assert_eq!((released.attempt, released.status(at(1))), (0, JobStatus::Available));
    }

    #[test]
    fn an_attempt_that_gets_further_is_the_first_again() {
        let mut job = Job { attempt: 4, max_attempts: 5, ..job(1) };
        job = claimed(&job);
        let beat = |done| JobEvent::Beat {
            lease_until: at(90),
            progress: Some(Progress { done, total: 9, message: String::new() }),
        };
        job = job.after(&beat(1), at(1)).unwrap();
        assert_eq!(job.attempt, 1);
        job.attempt = 3;
        assert_eq!(job.after(&beat(1), at(2)).unwrap().attempt, 3, "no further than before");
    }

    #[test]
    fn a_lost_job_that_cleans_up_runs_once_more() {
        let job = Job { cleans_up: true, attempt: 4, max_attempts: 5, ..job(1) };
        let lost = claimed(&job).after(&JobEvent::Lost, at(70)).unwrap();
        assert_eq!(lost.status(at(70)), JobStatus::Retryable);
        // Its handler sees that it has had all its attempts.
        assert_eq!(claimed(&lost).attempt, 6);
    }

    #[test]
    fn a_cancelled_job_that_cleans_up_runs_once_more() {
        let job = Job { cleans_up: true, run_at: at(100), ..job(1) };
        let cancelled = job.after(&JobEvent::CancelRequested, at(5)).unwrap();
        assert_eq!(cancelled.status(at(5)), JobStatus::Available);
        let running = claimed(&cancelled);
        let lost = running.after(&JobEvent::Lost, at(70)).unwrap();
        assert_eq!(lost.status(at(70)), JobStatus::Retryable);
        let ended = running.after(&JobEvent::Cancelled, at(6)).unwrap();
        assert_eq!((ended.status(at(6)), ended.finished_at), (JobStatus::Cancelled, Some(at(6))));
    }

    #[test]
    fn one_that_does_not_ends_at_once_or_with_its_worker() {
        let waiting = job(1).after(&JobEvent::CancelRequested, at(5)).unwrap();
        assert_eq!(waiting.status(at(5)), JobStatus::Cancelled);
        let running = claimed(&job(1)).after(&JobEvent::CancelRequested, at(5)).unwrap();
        assert_eq!(running.status(at(5)), JobStatus::Running);
        let lost = running.after(&JobEvent::Lost, at(70)).unwrap();
        assert_eq!(lost.status(at(70)), JobStatus::Cancelled);
    }

    #[test]
    fn what_has_ended_stays_so_but_for_a_retry_of_what_failed() {
        let done = claimed(&job(1)).after(&JobEvent::Completed { result: None }, at(1)).unwrap();
        let dead = Job { max_attempts: 1, ..job(1) };
        let dead = failed(&claimed(&dead));
        for event in [
            JobEvent::Beat { lease_until: at(9), progress: None },
            JobEvent::Completed { result: None },
            JobEvent::Released,
            JobEvent::Lost,
            JobEvent::CancelRequested,
            JobEvent::Cancelled,
        ] {
            assert!(done.after(&event, at(2)).is_err(), "{event:?}");
            assert!(dead.after(&event, at(2)).is_err(), "{event:?}");
        }
        let error = done.after(&JobEvent::Retried, at(2)).unwrap_err();
        assert!(error.to_string().contains("is completed and cannot take this"), "{error}");
        let again = dead.after(&JobEvent::Retried, at(2)).unwrap();
        assert_eq!((again.attempt, again.status(at(2))), (0, JobStatus::Available));
    }
}
