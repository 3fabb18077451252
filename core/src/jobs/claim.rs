//! What workers do with jobs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::records::{JobArguments, LogPart, MOST_LOG_PARTS, Queue};
use super::search::Search;
use super::{
    ClaimToken, Job, JobEvent, JobFit, JobId, JobState, Jobs, Priority, Progress, QueueName,
};
use crate::Timestamp;
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::later;
use crate::ports::{Bound, Expect, MAX_PAGE, StoreError, Version, Write};
use crate::tenancy::{Allowed, ProjectId, may};

/// How long a worker is taken to live after its last beat.
pub const LEASE: Duration = Duration::from_mins(1);
/// How often a worker says that it lives.
pub const BEAT: Duration = Duration::from_secs(15);

/// How many waiting jobs of a priority one call reads in search of one that fits.
const MOST_PASSED_OVER: usize = 1_000;

/// A job that a worker has, and everything that it writes about it. Each write is fenced: it happens
/// only while the job is still this worker's.
pub struct Claim {
    jobs: Jobs,
    token: ClaimToken,
    job: Stored<Job>,
    arguments: JobArguments,
    log_parts: Option<u32>,
}

/// Why a worker's write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The job is not this worker's any more.
    #[error("the job was taken from this worker")]
    Lost,
    /// One of the writes beside the job's own failed its expectation.
    #[error("a record of the job was changed by somebody else")]
    Changed,
    /// The store failed.
    #[error("the job could not be written")]
    Store(#[from] StoreError),
}

/// How an attempt ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "is", deny_unknown_fields)]
pub enum JobOutcome {
    Completed {
        #[serde(default)]
        result: Option<serde_json::Value>,
    },
    /// The attempt failed; another one follows unless this `is_final`.
    Failed { message: String, is_final: bool },
    /// The attempt failed; another one follows, and not before this.
    Postponed {
        message: String,
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
        until: Timestamp,
    },
    /// It goes on once something is there.
    Snoozed {
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
        until: Timestamp,
        what: String,
    },
    /// Another worker goes on.
    Released,
    /// Somebody asked for its end.
    Cancelled,
}

impl Jobs {
    /// Takes up to `most` jobs of a queue that are due, the most urgent and oldest first.
    pub async fn claim(
        &self,
        queue: &QueueName,
        worker: &str,
        most: usize,
    ) -> Result<Vec<Claim>, StoreError> {
        self.claim_fitting(queue, worker, most, &JobFit::default()).await
    }

    /// As [`claim`](Self::claim), but only those that fit. Behind many that do not, it takes several
    /// calls to find one: each goes on where the one before it ended.
    pub async fn claim_fitting(
        &self,
        queue: &QueueName,
        worker: &str,
        most: usize,
        fit: &JobFit,
    ) -> Result<Vec<Claim>, StoreError> {
        let (mut claims, mut fit) = (Vec::new(), fit.clone());
        if most == 0 {
            return Ok(claims);
        }
        let settings = self.queue(queue).await?;
        if settings.paused_at.is_some() {
            return Ok(claims);
        }
        let now = self.clock.now();
        for priority in Priority::ALL {
            let search = Search { worker: worker.to_owned(), queue: queue.clone(), priority };
            let mut query = Job::waiting(queue, priority);
            let mut reads = 0;
            loop {
                // Others take some of them meanwhile. Where some do not fit, more may not.
                let wanted = 2 * (most - claims.len());
                query.limit = if reads == 0 { wanted.min(MAX_PAGE) } else { MAX_PAGE };
                let (waiting, next) = self.store.load_page::<Job>(&query).await?;
                let is_first = reads == 0;
                reads += waiting.len();
                let is_last = waiting.last().is_none_or(|last| last.value.run_at > now);
                let due = waiting.into_iter().take_while(|stored| stored.value.run_at <= now);
                let mut is_passed_over = false;
                for stored in due {
                    if !fit.takes(&stored.value) {
                        is_passed_over = true;
                        continue;
                    }
                    match self.take(stored, worker, &settings, now).await? {
                        Taken::Claim(claim) => {
                            fit.give(&claim.job().needs);
                            claims.push(*claim);
                        }
                        Taken::NoRoom => return Ok(claims),
                        Taken::Gone => {}
                    }
                    if claims.len() >= most {
                        return Ok(claims);
                    }
                }
                match next {
                    Some(next) if is_passed_over && !is_last && reads < MOST_PASSED_OVER => {
                        let further = is_first.then(|| self.searches.resumed(&search)).flatten();
                        query.cursor = Some(further.unwrap_or(next));
                    }
                    next => {
                        let next = next.filter(|_| is_passed_over && !is_last);
                        self.searches.came_to(search, next);
                        break;
                    }
                }
            }
        }
        Ok(claims)
    }

    /// The claim that a worker elsewhere has by its token.
    pub async fn resume(
        &self,
        by: &Allowed<may::JobsWork>,
        id: &JobId,
        token: &ClaimToken,
    ) -> Result<Claim, ClaimError> {
        let project = &by.project;
        let job = self.load(project, id).await?.filter(|job| job.value.is_held_by(token));
        let job = job.ok_or(ClaimError::Lost)?;
        let arguments = self.arguments(project, id).await?;
        Ok(Claim { jobs: self.clone(), token: token.clone(), job, arguments, log_parts: None })
    }

    async fn arguments(&self, project: &ProjectId, id: &JobId) -> Result<JobArguments, StoreError> {
        let stored = self.store.load::<JobArguments>(&JobArguments::key_of(project, id)).await?;
        Ok(stored.map_or_else(
            || JobArguments {
                project: project.clone(),
                job: id.clone(),
                arguments: serde_json::Value::Null,
                until: None,
            },
            |arguments| arguments.value,
        ))
    }

    async fn take(
        &self,
        stored: Stored<Job>,
        worker: &str,
        queue: &Queue,
        now: Timestamp,
    ) -> Result<Taken, StoreError> {
        let token = ClaimToken::new(now, &*self.entropy);
        let claimed = JobEvent::Claimed {
            claim: token.clone(),
            worker: worker.to_owned(),
            lease_until: later(now, LEASE),
            counted: queue.max_running.is_some(),
        };
        // The index may lag behind: it is not waiting any more.
        let Ok(job) = stored.value.after(&claimed, now) else { return Ok(Taken::Gone) };
        let mut writes = vec![job.put(stored.unchanged())?];
        if let Some(most) = queue.max_running {
            writes.push(Write::Add {
                key: Queue::places(&queue.name),
                delta: 1,
                bound: Bound::AtMost(most.into()),
                expires_at: None,
            });
        }
        writes.extend(self.follow(&job, false, now).await?);
        let version = match self.store.commit(&writes).await {
            Ok(versions) => versions.into_iter().next().flatten(),
            Err(StoreError::Conflict(_)) => return Ok(Taken::Gone),
            Err(StoreError::Bound(_)) => return Ok(Taken::NoRoom),
            // It may be this worker's; the next rescue tells.
            Err(error) => return Err(error),
        };
        let Some(version) = version else { return Ok(Taken::Gone) };
        let arguments = self.arguments(&job.project, &job.id).await?;
        let job = Stored { value: job, version };
        Ok(Taken::Claim(Box::new(Claim {
            jobs: self.clone(),
            token,
            job,
            arguments,
            log_parts: None,
        })))
    }

    /// Gives the jobs of a queue to others whose workers were not heard of until their leases were
    /// over, and those of `dead`, a worker of which it is known that it has ended. Returns how many.
    pub async fn rescue(&self, queue: &QueueName, dead: Option<&str>) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut rescued = 0;
        let mut query = Job::running(queue);
        loop {
            let (running, next) = self.store.load_page::<Job>(&query).await?;
            for stored in running {
                let JobState::Running { lease_until, worker, .. } = &stored.value.state else {
                    continue;
                };
                if dead != Some(worker.as_str()) && *lease_until > now {
                    if dead.is_none() {
                        // The rest live longer.
                        return Ok(rescued);
                    }
                    continue;
                }
                let Ok(job) = stored.value.after(&JobEvent::Lost, now) else { continue };
                let writes = self.moved(&stored, &job, None).await?;
                rescued += usize::from(self.store.committed(&writes).await?);
            }
            match next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(rescued),
            }
        }
    }

    /// When there is something to do in a queue though nobody says so: a job is due, or a worker
    /// counts as lost.
    pub async fn next_due(&self, queue: &QueueName) -> Result<Option<Timestamp>, StoreError> {
        let mut due = Vec::new();
        if self.queue(queue).await?.paused_at.is_none() {
            for priority in Priority::ALL {
                let mut query = Job::waiting(queue, priority);
                query.limit = 1;
                let (first, _) = self.store.load_page::<Job>(&query).await?;
                due.extend(first.into_iter().map(|job| job.value.run_at));
            }
        }
        let mut query = Job::running(queue);
        query.limit = 1;
        let (first, _) = self.store.load_page::<Job>(&query).await?;
        due.extend(first.iter().filter_map(|job| match &job.value.state {
            JobState::Running { lease_until, .. } => Some(*lease_until),
            _ => None,
        }));
        Ok(due.into_iter().min())
    }
}

enum Taken {
    Claim(Box<Claim>),
    /// The queue has as many running as it may.
    NoRoom,
    /// Somebody else has it.
    Gone,
}

impl Claim {
    /// The job as it was last read or written.
    pub fn job(&self) -> &Job {
        &self.job.value
    }

    /// What fences its writes.
    pub fn token(&self) -> &ClaimToken {
        &self.token
    }

    /// What it is to do.
    pub fn arguments(&self) -> &serde_json::Value {
        &self.arguments.arguments
    }

    /// Whether somebody has asked for its end, as far as is known.
    pub fn is_cancelled(&self) -> bool {
        self.job.value.cancel_requested_at.is_some()
    }

    /// Says that the worker lives, and how far it is.
    pub async fn beat(&mut self, progress: Option<Progress>) -> Result<(), ClaimError> {
        let now = self.jobs.clock.now();
        let lease_until = later(now, LEASE);
        self.write(&[JobEvent::Beat { lease_until, progress }], now, &[]).await
    }

    /// Commits the worker's own records, if the job is still its. Returns their versions, as
    /// [`StateStore::commit`](crate::ports::StateStore::commit) does.
    pub async fn commit(&mut self, writes: &[Write]) -> Result<Vec<Option<Version>>, ClaimError> {
        loop {
            let fence = Write::Check { key: self.job.value.key(), expect: self.job.unchanged() };
            let mut all = vec![fence];
            all.extend_from_slice(writes);
            match self.jobs.store.commit(&all).await {
                Ok(versions) => return Ok(versions.into_iter().skip(1).collect()),
                Err(StoreError::Conflict(conflict)) if conflict.write == 0 => {
                    self.read_again().await?;
                }
                Err(StoreError::Conflict(_)) => return Err(ClaimError::Changed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the attempt, and says how far it came, in one commit with the worker's own records.
    pub async fn finish(
        &mut self,
        outcome: JobOutcome,
        progress: Option<Progress>,
        writes: &[Write],
    ) -> Result<(), ClaimError> {
        let now = self.jobs.clock.now();
        let end = match outcome {
            JobOutcome::Completed { result } => JobEvent::Completed { result },
            JobOutcome::Failed { message, is_final } => {
                JobEvent::Failed { message, is_final, jitter: self.jitter(), not_before: None }
            }
            JobOutcome::Postponed { message, until } => JobEvent::Failed {
                message,
                is_final: false,
                jitter: self.jitter(),
                not_before: Some(until),
            },
            JobOutcome::Snoozed { until, what } => JobEvent::Snoozed { until, what },
            JobOutcome::Released => JobEvent::Released,
            JobOutcome::Cancelled => JobEvent::Cancelled,
        };
        let beat = JobEvent::Beat { lease_until: later(now, LEASE), progress };
        self.write(&[beat, end], now, writes).await?;
        self.jobs.announce_end(&self.job.value).await;
        Ok(())
    }

    /// Adds lines to the job's log. Beyond a bound they are dropped.
    pub async fn log(&mut self, lines: Vec<String>) -> Result<(), ClaimError> {
        let (project, id) = (self.job.value.project.clone(), self.job.value.id.clone());
        let number = if let Some(number) = self.log_parts {
            number
        } else {
            let mut query = LogPart::all_of(&project, &id);
            (query.limit, query.direction) = (1, crate::ports::Direction::Descending);
            let (last, _) = self.jobs.store.load_page::<LogPart>(&query).await?;
            last.first().map_or(0, |part| part.value.number + 1)
        };
        self.log_parts = Some(number);
        if number >= MOST_LOG_PARTS {
            return Ok(());
        }
        let at = self.jobs.clock.now();
        let mut lines = lines;
        if number + 1 == MOST_LOG_PARTS {
            lines.push("(the log is full: what follows is left out)".into());
        }
        let part = LogPart { project, job: id, number, at, lines };
        self.commit(&[part.put(Expect::Any)?]).await?;
        self.log_parts = Some(number + 1);
        Ok(())
    }

    async fn write(
        &mut self,
        events: &[JobEvent],
        now: Timestamp,
        writes: &[Write],
    ) -> Result<(), ClaimError> {
        loop {
            let mut job = self.job.value.clone();
            for event in events {
                job = job.after(event, now).map_err(|_| ClaimError::Lost)?;
            }
            let mut all = self.jobs.moved(&self.job, &job, Some(&self.arguments)).await?;
            let of_job = all.len();
            all.extend_from_slice(writes);
            match self.jobs.store.commit(&all).await {
                Ok(versions) => {
                    let version = versions.into_iter().next().flatten();
                    if let Some(version) = version {
                        self.job = Stored { value: job, version };
                    }
                    return Ok(());
                }
                Err(StoreError::Conflict(conflict)) if conflict.write < of_job => {
                    self.read_again().await?;
                }
                Err(StoreError::Conflict(_)) => return Err(ClaimError::Changed),
                Err(StoreError::Unknown { reason, source }) => {
                    let key = job.key();
                    match self.jobs.store.load::<Job>(&key).await? {
                        Some(stored) if stored.value == job => {
                            self.job = stored;
                            return Ok(());
                        }
                        _ => return Err(StoreError::Unknown { reason, source }.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn jitter(&self) -> u8 {
        let mut jitter = [0];
        self.jobs.entropy.fill(&mut jitter);
        jitter[0]
    }

    /// Takes over what somebody else has changed, if the job is still this worker's.
    async fn read_again(&mut self) -> Result<(), ClaimError> {
        let stored = self.jobs.store.load::<Job>(&self.job.value.key()).await?;
        match stored {
            Some(stored) if stored.value.is_held_by(&self.token) => {
                self.job = stored;
                Ok(())
            }
            _ => Err(ClaimError::Lost),
        }
    }
}
