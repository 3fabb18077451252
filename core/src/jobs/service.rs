use std::sync::Arc;
use std::time::Duration;

use super::records::{JobArguments, LogPart, Queue, UniqueName};
use super::search::Searches;
use super::{
    Job, JobEvent, JobId, JobKind, JobState, JobStatus, NewJob, QueueName, ScheduleName, WEBHOOK,
    Waits,
};
use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::later;
use crate::ports::{
    Bound, Clock, Conflict, Cursor, Direction, Entropy, Expect, StateStore, StoreError, Topic,
    Wake, Write,
};
use crate::tenancy::{Allowed, Principal, ProjectError, ProjectId, in_use, may, reached};

/// How much later than its wake-up a queue is looked at in any case.
const FORESIGHT: Duration = Duration::from_mins(2);
/// The most headers that one page of a filtered listing reads.
const MOST_READS: usize = 500;

/// Creates jobs, shows them, and ends them.
#[derive(Clone)]
pub struct Jobs {
    pub(super) store: Arc<dyn StateStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    wake: Arc<dyn Wake>,
    pub(super) searches: Arc<Searches>,
}

/// Which jobs to show. An absent field does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub status: Option<JobStatus>,
    pub kind: Option<JobKind>,
    pub queue: Option<QueueName>,
}

/// A page of jobs.
#[derive(Debug)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// Where the next page starts. A page may be short, even empty; only this ends the listing.
    pub next: Option<Cursor>,
}

/// Why nothing came of a request about jobs.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("job `{0}` does not exist; list the jobs with `diogenes job list`")]
    NotFound(String),
    /// A field makes no sense.
    #[error("`{field}` {problem}")]
    Invalid { field: &'static str, problem: String },
    /// Another job has the name.
    #[error("job `{job}` has the unique key `{key}` and has not finished")]
    NotUnique { key: String, job: JobId },
    /// What was asked for makes no sense in its state.
    #[error("job `{id}` is {status}; {next}")]
    WrongState { id: JobId, status: JobStatus, next: &'static str },
    #[error("schedule `{0}` does not exist; list the schedules with `diogenes schedule list`")]
    ScheduleNotFound(ScheduleName),
    /// The project of the job.
    #[error(transparent)]
    Project(ProjectError),
    /// The store failed.
    #[error("the jobs could not be read or written")]
    Store(#[from] StoreError),
}

impl From<ProjectError> for JobError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Store(error) => Self::Store(error),
            error => Self::Project(error),
        }
    }
}

impl Jobs {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        wake: Arc<dyn Wake>,
    ) -> Self {
        Self { store, clock, entropy, wake, searches: Arc::default() }
    }

    /// The job and the writes that create it, for the commit of what causes it. Whoever commits them
    /// calls [`announce`](Self::announce) afterwards.
    pub fn enqueue(&self, new: NewJob) -> Result<(Job, Vec<Write>), JobError> {
        if let Some((field, problem)) = new.problem() {
            return Err(JobError::Invalid { field, problem });
        }
        Ok(self.written(new)?)
    }

    /// The same for a job that was checked before.
    pub(super) fn written(&self, new: NewJob) -> Result<(Job, Vec<Write>), StoreError> {
        let now = self.clock.now();
        let job = Job {
            id: JobId::new(now, &*self.entropy),
            project: new.project,
            kind: new.kind,
            queue: new.queue,
            priority: new.priority,
            created_at: now,
            created_by: new.created_by,
            state: JobState::Waiting { why: Waits::Start },
            run_at: new.run_at.unwrap_or(now),
            attempt: 0,
            max_attempts: new.max_attempts,
            timeout: new.timeout,
            needs: new.needs,
            started_at: None,
            finished_at: None,
            cancel_requested_at: None,
            progress: None,
            failure: None,
            result: None,
            cleans_up: new.cleans_up,
            unique_key: new.unique_key,
            tags: new.tags,
            schedule: new.schedule,
            callback: new.callback,
        };
        let arguments = JobArguments {
            project: job.project.clone(),
            job: job.id.clone(),
            arguments: new.arguments,
            until: None,
        };
        let mut writes = vec![job.put(Expect::Absent)?, arguments.put(Expect::Absent)?];
        writes.extend(unique(&job).map(|name| name.put(Expect::Absent)).transpose()?);
        Ok((job, writes))
    }

    /// Has a queue looked at soon after `at`, before something is committed that is due then: even if
    /// this process ends before it can [`announce`](Self::announce) it.
    pub async fn foresee(&self, queue: &QueueName, at: Timestamp) {
        let at = at.max(later(self.clock.now(), FORESIGHT));
        if let Err(error) = self.wake.wake_at(&Topic::Queue(queue.clone()), at).await {
            tracing::warn!(
                queue = %queue, error = &error as &dyn std::error::Error,
                "a later look at a queue could not be arranged"
            );
        }
    }

    /// Lets the workers of a queue look; one that is not told looks a little later.
    pub async fn announce(&self, queue: &QueueName) {
        if let Err(error) = self.wake.wake(&Topic::Queue(queue.clone())).await {
            tracing::warn!(
                queue = %queue, error = &error as &dyn std::error::Error,
                "the workers of a queue could not be woken"
            );
        }
    }

    /// Lets workers look at what the end of a job brings: a place in its queue, and its webhook.
    pub(super) async fn announce_end(&self, job: &Job) {
        self.announce(&job.queue).await;
        if job.callback.is_some() && job.is_finished() {
            self.announce(&QueueName::from(&WEBHOOK)).await;
        }
    }

    /// Creates a job.
    pub async fn create(&self, by: &Allowed<may::JobsWrite>, new: NewJob) -> Result<Job, JobError> {
        self.reaches(by, &new.project).await?;
        in_use(&*self.store, &new.project).await?;
        let (job, mut writes) = self.enqueue(new)?;
        writes.push(change(&job, Action::job_create()).write(&Actor::from(by), job.created_at)?);
        self.foresee(&job.queue, job.run_at).await;
        match self.store.commit(&writes).await {
            Ok(_) => {}
            Err(StoreError::Conflict(conflict)) => {
                let not_unique = not_unique(&job, &conflict);
                return Err(not_unique.unwrap_or_else(|| StoreError::Conflict(conflict).into()));
            }
            Err(error) => return Err(error.into()),
        }
        self.announce(&job.queue).await;
        Ok(job)
    }

    /// A job, and what it is to do.
    pub async fn get(
        &self,
        by: &Allowed<may::JobsRead>,
        project: &ProjectId,
        id: &str,
    ) -> Result<(Job, Option<JobArguments>), JobError> {
        let job = self.read(by, project, id).await?.value;
        let arguments = JobArguments::key_of(project, &job.id);
        let arguments = self.store.load::<JobArguments>(&arguments).await?;
        Ok((job, arguments.map(|arguments| arguments.value)))
    }

    /// One page of the jobs of a project, newest first.
    pub async fn list(
        &self,
        by: &Allowed<may::JobsRead>,
        project: &ProjectId,
        filter: &JobFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<JobPage, JobError> {
        self.reaches(by, project).await?;
        let now = self.clock.now();
        let (mut jobs, mut next) = (Vec::new(), cursor);
        let mut reads = 0;
        loop {
            let mut query = JobArguments::of_project(project);
            query.direction = Direction::Descending;
            // One row too many would be lost: the store's cursors stand between its pages.
            query.limit = limit.saturating_sub(jobs.len());
            query.cursor = next.take();
            let (page, after) = self.store.load_page::<JobArguments>(&query).await?;
            reads += page.len();
            for arguments in page {
                let key = Job::key_of(project, &arguments.value.job);
                // The index may lag behind: what is gone is left out.
                let job = self.store.load::<Job>(&key).await?.map(|job| job.value);
                jobs.extend(job.filter(|job| filter.takes(job, now)));
            }
            next = after;
            if next.is_none() || jobs.len() >= limit || reads >= MOST_READS {
                return Ok(JobPage { jobs, next });
            }
        }
    }

    /// A page of a job's log, from its beginning or from what follows the part `after`.
    pub async fn log(
        &self,
        by: &Allowed<may::JobsRead>,
        project: &ProjectId,
        id: &str,
        after: Option<u32>,
        cursor: Option<Cursor>,
    ) -> Result<(Vec<LogPart>, Option<Cursor>), JobError> {
        let job = self.read(by, project, id).await?.value;
        let mut query = LogPart::all_of(project, &job.id);
        query.limit = 100;
        query.cursor = cursor.or_else(|| {
            let last = LogPart::key_of(project, &job.id, after?);
            Some(Cursor::after(&query, &last.sort, &last))
        });
        let (parts, next) = self.store.load_page::<LogPart>(&query).await?;
        Ok((parts.into_iter().map(|part| part.value).collect(), next))
    }

    /// Asks for the end of a job. One that waits ends at once; of one that runs, its worker is told
    /// with its next beat. A repeat call changes nothing and succeeds.
    pub async fn cancel(
        &self,
        by: &Allowed<may::JobsWrite>,
        project: &ProjectId,
        id: &str,
    ) -> Result<Job, JobError> {
        loop {
            let stored = self.read(by, project, id).await?;
            if stored.value.cancel_requested_at.is_some() {
                return Ok(stored.value);
            }
            let now = self.clock.now();
            let (job, mut writes) = self.cancelled(&stored, now).await?;
            writes.push(change(&job, Action::job_cancel()).write(&Actor::from(by), now)?);
            self.foresee(&job.queue, now).await;
            if self.store.committed(&writes).await? {
                self.announce_end(&job).await;
                return Ok(job);
            }
        }
    }

    /// The job after a request for its end, and the writes of that.
    pub async fn cancelled(
        &self,
        stored: &Stored<Job>,
        now: Timestamp,
    ) -> Result<(Job, Vec<Write>), JobError> {
        let job = stored.value.after(&JobEvent::CancelRequested, now);
        let job = job.map_err(|_| JobError::WrongState {
            id: stored.value.id.clone(),
            status: stored.value.status(now),
            next: "only a job that has not finished can be cancelled",
        })?;
        let writes = self.moved(stored, &job, None).await?;
        Ok((job, writes))
    }

    /// Begins again with a job that was cancelled or discarded.
    pub async fn retry(
        &self,
        by: &Allowed<may::JobsWrite>,
        project: &ProjectId,
        id: &str,
    ) -> Result<Job, JobError> {
        loop {
            let stored = self.read(by, project, id).await?;
            let now = self.clock.now();
            let job = stored.value.after(&JobEvent::Retried, now);
            let job = job.map_err(|_| JobError::WrongState {
                id: stored.value.id.clone(),
                status: stored.value.status(now),
                next: "only a job that was cancelled or discarded can be retried",
            })?;
            let mut writes = self.moved(&stored, &job, None).await?;
            writes.extend(unique(&job).map(|name| name.put(Expect::Absent)).transpose()?);
            writes.push(change(&job, Action::job_retry()).write(&Actor::from(by), now)?);
            self.foresee(&job.queue, now).await;
            match self.store.commit(&writes).await {
                Ok(_) => {
                    self.announce(&job.queue).await;
                    return Ok(job);
                }
                Err(StoreError::Conflict(conflict)) => {
                    if let Some(error) = not_unique(&job, &conflict) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a caller may see the jobs of a project, which is there.
    pub async fn reaches(&self, by: &Principal, project: &ProjectId) -> Result<(), JobError> {
        Ok(reached(&*self.store, by, project).await?)
    }

    /// A job by its id, whoever asks.
    pub async fn load(
        &self,
        project: &ProjectId,
        id: &JobId,
    ) -> Result<Option<Stored<Job>>, StoreError> {
        self.store.load(&Job::key_of(project, id)).await
    }

    async fn read(
        &self,
        by: &Principal,
        project: &ProjectId,
        id: &str,
    ) -> Result<Stored<Job>, JobError> {
        if !by.reaches(project) {
            return Err(ProjectError::NotFound(project.clone()).into());
        }
        let not_found = || JobError::NotFound(id.chars().take(64).collect());
        let id = JobId::from_caller(id).ok_or_else(not_found)?;
        self.load(project, &id).await?.ok_or_else(not_found)
    }

    /// The writes that take a job from one state to the next: its header, its queue's counter, and,
    /// at its end, its unique name, how long its arguments are kept, and what follows it. Whoever has
    /// what follows done is told beforehand when to look.
    pub(super) async fn moved(
        &self,
        from: &Stored<Job>,
        to: &Job,
        arguments: Option<&JobArguments>,
    ) -> Result<Vec<Write>, StoreError> {
        let mut writes = vec![to.put(from.unchanged())?];
        if from.value.is_counted() && !to.is_counted() {
            writes.push(Write::Add {
                key: Queue::places(&to.queue),
                delta: -1,
                bound: Bound::None,
                expires_at: None,
            });
        }
        if from.value.is_finished() == to.is_finished() {
            return Ok(writes);
        }
        if to.is_finished() {
            let name = unique(to);
            writes.extend(name.map(|name| Write::Delete { key: name.key(), expect: Expect::Any }));
            let now = self.clock.now();
            writes.extend(self.follow(to, true, now).await?);
            if let Some(webhook) = to.told(now) {
                self.foresee(&webhook.queue, now).await;
                writes.extend(self.written(webhook)?.1);
            }
        }
        let arguments = if let Some(arguments) = arguments {
            Some(arguments.clone())
        } else {
            let key = JobArguments::key_of(&to.project, &to.id);
            self.store.load::<JobArguments>(&key).await?.map(|stored| stored.value)
        };
        if let Some(arguments) = arguments {
            let kept = JobArguments { until: to.expires_at(), ..arguments };
            writes.push(kept.put(Expect::Any)?);
        }
        Ok(writes)
    }
}

impl JobFilter {
    fn takes(&self, job: &Job, now: Timestamp) -> bool {
        self.status.is_none_or(|status| job.status(now) == status)
            && self.kind.as_ref().is_none_or(|kind| job.kind == *kind)
            && self.queue.as_ref().is_none_or(|queue| job.queue == *queue)
    }
}

/// The unique name of a job, if it has one.
fn unique(job: &Job) -> Option<UniqueName> {
    let name = job.unique_key.clone()?;
    let (project, kind) = (job.project.clone(), job.kind.clone());
    Some(UniqueName { project, kind, name, job: job.id.clone() })
}

/// That another job has the unique name of `job`, if that is what a commit has met.
fn not_unique(job: &Job, conflict: &Conflict) -> Option<JobError> {
    let name = unique(job)?;
    if conflict.key != name.key() {
        return None;
    }
    let standing = Stored::<UniqueName>::from_item(conflict.standing.clone()?).ok()?;
    Some(JobError::NotUnique { key: name.name, job: standing.value.job })
}

fn change(job: &Job, action: Action) -> Change {
    Change {
        project: job.project.clone(),
        action,
        target: format!("job/{}", job.id),
        summary: format!("{} in queue {}", job.kind, job.queue),
    }
}
