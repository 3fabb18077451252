//! Jobs that come again. A schedule has one job that waits for the next time. Once that job begins or
//! ends, the one after it is created in the same commit, so that none is left out or doubled, whoever
//! dies where; nobody has to watch the clock but the workers of its queue.

use super::schedule::{NewSchedule, Occurrence, Schedule};
use super::{Job, JobArguments, JobError, JobState, Jobs, NewJob, ScheduleName, Waits};
use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::ports::{Expect, StoreError, Write};
use crate::tenancy::{Allowed, Principal, ProjectError, ProjectId, in_use, may};

impl Jobs {
    /// Creates a schedule, or changes it. A job of it that is at work goes on; one that waits is
    /// replaced.
    pub async fn apply_schedule(
        &self,
        by: &Allowed<may::JobsWrite>,
        new: NewSchedule,
    ) -> Result<Schedule, JobError> {
        let project = &new.job.project;
        self.reaches(by, project).await?;
        in_use(&*self.store, project).await?;
        if let Some((field, problem)) = new.problem() {
            return Err(JobError::Invalid { field, problem });
        }
        loop {
            let now = self.clock.now();
            let stored = self.stored_schedule(project, &new.name).await?;
            let expect = stored.as_ref().map_or(Expect::Absent, Stored::unchanged);
            let before = stored.map(|stored| stored.value);
            let wanted = Schedule {
                project: project.clone(),
                name: new.name.clone(),
                cron: new.cron.clone(),
                overlaps: new.overlaps,
                job: new.job.clone(),
                created_at: before.as_ref().map_or(now, |before| before.created_at),
                changed_at: now,
                paused_at: before.as_ref().and_then(|before| before.paused_at),
                next: before.and_then(|before| before.next),
            };
            let action = Action::schedule_apply();
            if let Some(schedule) = self.replace(by, wanted, expect, action, now).await? {
                return Ok(schedule);
            }
        }
    }

    /// Stops or resumes a schedule. A job of it that is at work goes on. A repeat call changes nothing
    /// and succeeds.
    pub async fn pause_schedule(
        &self,
        by: &Allowed<may::JobsWrite>,
        project: &ProjectId,
        name: &ScheduleName,
        pause: bool,
    ) -> Result<Schedule, JobError> {
        loop {
            let now = self.clock.now();
            let stored = self.reached(by, project, name).await?;
            if stored.value.paused_at.is_some() == pause {
                return Ok(stored.value);
            }
            let expect = stored.unchanged();
            let wanted =
                Schedule { paused_at: pause.then_some(now), changed_at: now, ..stored.value };
            let action = if pause { Action::schedule_pause() } else { Action::schedule_resume() };
            if let Some(schedule) = self.replace(by, wanted, expect, action, now).await? {
                return Ok(schedule);
            }
        }
    }

    /// Deletes a schedule, and the job of it that waits. One that is at work goes on.
    pub async fn delete_schedule(
        &self,
        by: &Allowed<may::JobsWrite>,
        project: &ProjectId,
        name: &ScheduleName,
    ) -> Result<Schedule, JobError> {
        loop {
            let now = self.clock.now();
            let stored = self.reached(by, project, name).await?;
            let (mut writes, _) = self.unschedule(&stored.value).await?;
            writes.push(Write::Delete { key: stored.value.key(), expect: stored.unchanged() });
            let change = change(&stored.value, Action::schedule_delete());
            writes.push(change.write(&Actor::from(by), now)?);
            if self.store.committed(&writes).await? {
                return Ok(stored.value);
            }
        }
    }

    /// A schedule of a project.
    pub async fn schedule(
        &self,
        by: &Allowed<may::JobsRead>,
        project: &ProjectId,
        name: &ScheduleName,
    ) -> Result<Schedule, JobError> {
        Ok(self.reached(by, project, name).await?.value)
    }

    /// The schedules of a project, by their names.
    pub async fn schedules(
        &self,
        by: &Allowed<may::JobsRead>,
        project: &ProjectId,
    ) -> Result<Vec<Schedule>, JobError> {
        self.reaches(by, project).await?;
        let all = self.store.load_all::<Schedule>(Schedule::of_project(project)).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }

    /// The writes that let the next job of a schedule follow `job`, which begins or, where it `ends`,
    /// has come to its end. The queue of the next one is looked at when that is due, whatever becomes
    /// of this process.
    pub(super) async fn follow(
        &self,
        job: &Job,
        ends: bool,
        now: Timestamp,
    ) -> Result<Vec<Write>, StoreError> {
        let Some(name) = &job.schedule else { return Ok(Vec::new()) };
        let Some(stored) = self.stored_schedule(&job.project, name).await? else {
            return Ok(Vec::new());
        };
        let is_next = stored.value.next.as_ref().is_some_and(|next| next.job == job.id);
        if !is_next || !(ends || stored.value.overlaps) {
            return Ok(Vec::new());
        }
        let expect = stored.unchanged();
        // A time is taken once, also where somebody cancels its job beforehand or a clock is set back.
        let taken = stored.value.next.as_ref().map_or(now, |next| next.at.max(now));
        let mut schedule = Schedule { next: None, ..stored.value };
        if matches!(in_use(&*self.store, &job.project).await, Err(ProjectError::Archived(_))) {
            schedule.paused_at = schedule.paused_at.or(Some(now));
        }
        let mut writes = self.occur(&mut schedule, taken)?;
        if let Some(next) = &schedule.next {
            self.foresee(&schedule.job.queue, next.at).await;
        }
        writes.push(schedule.put(expect)?);
        Ok(writes)
    }

    /// Writes a schedule and the job that it waits for; `None` where somebody else was faster.
    async fn replace(
        &self,
        by: &Allowed<may::JobsWrite>,
        mut schedule: Schedule,
        expect: Expect,
        action: Action,
        now: Timestamp,
    ) -> Result<Option<Schedule>, JobError> {
        let (mut writes, at_work) = self.unschedule(&schedule).await?;
        // Unless they overlap, the next one follows when the one that is at work ends.
        if !at_work || schedule.overlaps {
            schedule.next = None;
            writes.extend(self.occur(&mut schedule, now)?);
        }
        writes.push(schedule.put(expect)?);
        writes.push(change(&schedule, action).write(&Actor::from(by), now)?);
        if let Some(next) = &schedule.next {
            self.foresee(&schedule.job.queue, next.at).await;
        }
        if !self.store.committed(&writes).await? {
            return Ok(None);
        }
        self.announce(&schedule.job.queue).await;
        Ok(Some(schedule))
    }

    /// Lets a schedule wait for its first time after this one, unless it is paused.
    fn occur(&self, schedule: &mut Schedule, after: Timestamp) -> Result<Vec<Write>, StoreError> {
        if schedule.paused_at.is_some() {
            return Ok(Vec::new());
        }
        // It was checked; should it name no time any more, there is no next job.
        let Ok(at) = schedule.cron.next_after(after) else { return Ok(Vec::new()) };
        let new = NewJob {
            run_at: Some(at),
            schedule: Some(schedule.name.clone()),
            ..schedule.job.clone()
        };
        let (job, writes) = self.written(new)?;
        schedule.next = Some(Occurrence { job: job.id, at });
        Ok(writes)
    }

    /// The writes that remove the job that a schedule waits for, and whether that job is at work
    /// instead.
    async fn unschedule(&self, schedule: &Schedule) -> Result<(Vec<Write>, bool), StoreError> {
        let Some(next) = &schedule.next else { return Ok((Vec::new(), false)) };
        let Some(stored) = self.load(&schedule.project, &next.job).await? else {
            return Ok((Vec::new(), false));
        };
        let job = &stored.value;
        let is_waiting = matches!(job.state, JobState::Waiting { why: Waits::Start });
        if job.started_at.is_some() || !is_waiting {
            return Ok((Vec::new(), !job.is_finished()));
        }
        let arguments = JobArguments::key_of(&job.project, &job.id);
        let writes = vec![
            Write::Delete { key: job.key(), expect: stored.unchanged() },
            Write::Delete { key: arguments, expect: Expect::Any },
        ];
        Ok((writes, false))
    }

    async fn stored_schedule(
        &self,
        project: &ProjectId,
        name: &ScheduleName,
    ) -> Result<Option<Stored<Schedule>>, StoreError> {
        self.store.load(&Schedule::key_of(project, name)).await
    }

    async fn reached(
        &self,
        by: &Principal,
        project: &ProjectId,
        name: &ScheduleName,
    ) -> Result<Stored<Schedule>, JobError> {
        if !by.reaches(project) {
            return Err(ProjectError::NotFound(project.clone()).into());
        }
        let stored = self.stored_schedule(project, name).await?;
        stored.ok_or_else(|| JobError::ScheduleNotFound(name.clone()))
    }
}

impl NewSchedule {
    /// The field at fault and what is wrong with it, if anything is.
    fn problem(&self) -> Option<(&'static str, String)> {
        if self.job.unique_key.is_some() {
            let problem = "makes no sense here; use `overlaps` to allow several at once";
            return Some(("unique_key", problem.into()));
        }
        self.job.problem().or_else(|| self.cron.next_after(Timestamp::UNIX_EPOCH).err())
    }
}

fn change(schedule: &Schedule, action: Action) -> Change {
    Change {
        project: schedule.project.clone(),
        action,
        target: format!("schedule/{}", schedule.name),
        summary: format!(
            "{} at `{}` {}",
            schedule.job.kind, schedule.cron.expression, schedule.cron.time_zone
        ),
    }
}
