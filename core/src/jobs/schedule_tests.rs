use std::time::Duration;

use pollster::block_on;

use super::testing::{World, new, world};
use super::*;
use crate::Timestamp;
use crate::ports::{Clock as _, Topic};
use crate::tenancy::{Allowed, ProjectError, ProjectId, Projects};

const MINUTE: Duration = Duration::from_mins(1);

fn every_minute(overlaps: bool) -> NewSchedule {
    let cron = Cron { expression: "* * * * *".into(), time_zone: "UTC".into() };
    NewSchedule { name: "tick".parse().unwrap(), cron, overlaps, job: new(1) }
}

fn at(text: &str) -> Timestamp {
    format!("2026-11-28T{text}Z").parse().unwrap()
}

impl World {
    fn apply(&self, new: NewSchedule) -> Schedule {
        block_on(self.jobs.apply_schedule(&Allowed::operator(), new)).unwrap()
    }

    fn schedule(&self) -> Schedule {
        let (by, name) = (Allowed::operator(), "tick".parse().unwrap());
        block_on(self.jobs.schedule(&by, &ProjectId::default(), &name)).unwrap()
    }

    fn pause(&self, pause: bool) -> Schedule {
        let (by, name) = (Allowed::operator(), "tick".parse().unwrap());
        block_on(self.jobs.pause_schedule(&by, &ProjectId::default(), &name, pause)).unwrap()
    }

    /// The times of the jobs that are there, oldest first.
    fn times(&self) -> Vec<Timestamp> {
        let (by, project, filter) =
            (Allowed::operator(), ProjectId::default(), JobFilter::default());
        let page = block_on(self.jobs.list(&by, &project, &filter, 100, None)).unwrap();
        let mut times: Vec<_> = page.jobs.into_iter().map(|job| job.run_at).collect();
        times.sort();
        times
    }
}

fn ended(claim: &mut Claim) {
    block_on(claim.finish(JobOutcome::Completed { result: None }, None, &[])).unwrap();
}

#[test]
fn a_job_that_ends_is_followed_by_the_next() {
    let world = world();
    let schedule = world.apply(every_minute(false));
    assert_eq!(schedule.next.unwrap().at, at("00:01:00"));
    assert_eq!(world.claim("w", 9).len(), 0, "its time has not come");
    world.clock.advance(MINUTE);
    let mut claim = world.claim("w", 9).remove(0);
    assert_eq!(
        (claim.job().kind.as_str(), claim.arguments()["number"].as_u64()),
        ("noop", Some(1))
    );
    assert_eq!(claim.job().schedule, Some("tick".parse().unwrap()));
    // Two times come while it is at work: they are left out.
    world.clock.advance(MINUTE * 2 + Duration::from_secs(30));
    assert_eq!(world.claim("w", 9).len(), 0);
    ended(&mut claim);
    assert_eq!(world.schedule().next.unwrap().at, at("00:04:00"));
    assert_eq!(world.times(), [at("00:01:00"), at("00:04:00")]);
    // The worker was away for an hour: the one that waits is done once, late.
    world.clock.advance(MINUTE * 60);
    ended(&mut world.claim("w", 9).remove(0));
    assert_eq!(world.schedule().next.unwrap().at, at("01:04:00"));
}

#[test]
fn jobs_that_overlap_follow_when_one_begins() {
    let world = world();
    world.apply(every_minute(true));
    let mut claims = Vec::new();
    for _ in 0..3 {
        world.clock.advance(MINUTE);
        claims.extend(world.claim("w", 9));
    }
    assert_eq!(claims.len(), 3);
    claims.iter_mut().for_each(ended);
    assert_eq!(world.times(), [at("00:01:00"), at("00:02:00"), at("00:03:00"), at("00:04:00")]);
}

#[test]
fn a_lost_worker_and_failed_attempts_are_one_job_of_a_schedule() {
    let world = world();
    world.apply(every_minute(false));
    world.clock.advance(MINUTE);
    let dead = world.claim("dead", 9);
    world.clock.advance(LEASE);
    assert_eq!((world.rescue(), dead.len()), (1, 1));
    let mut second = world.claim("second", 9).remove(0);
    let failed = JobOutcome::Failed { message: "no".into(), is_final: false };
    block_on(second.finish(failed, None, &[])).unwrap();
    assert_eq!(world.times().len(), 1, "it is still the first one");
    world.clock.advance(MINUTE);
    ended(&mut world.claim("third", 9).remove(0));
    assert_eq!(world.times().len(), 2);
}

#[test]
fn one_that_is_cancelled_is_followed_too() {
    let world = world();
    let next = world.apply(every_minute(false)).next.unwrap();
    let by = Allowed::operator();
    world.clock.advance(Duration::from_secs(30));
    block_on(world.jobs.cancel(&by, &ProjectId::default(), next.job.as_str())).unwrap();
    let following = world.schedule().next.unwrap();
    assert_eq!((following.at, following.job == next.job), (at("00:02:00"), false), "left out");
    // A retry of it brings no third.
    block_on(world.jobs.retry(&by, &ProjectId::default(), next.job.as_str())).unwrap();
    ended(&mut world.claim("w", 1).remove(0));
    assert_eq!(world.schedule().next.unwrap(), following);
}

#[test]
fn a_changed_schedule_replaces_the_job_that_waits() {
    let world = world();
    let first = world.apply(every_minute(false));
    let cron = Cron { expression: "@hourly".into(), time_zone: "UTC".into() };
    let changed = world.apply(NewSchedule { cron, job: new(2), ..every_minute(false) });
    assert_eq!((changed.created_at, world.times()), (first.created_at, vec![at("01:00:00")]));
    world.clock.advance(MINUTE * 60);
    let mut claim = world.claim("w", 9).remove(0);
    assert_eq!(claim.arguments()["number"], 2);
    // Changed while one is at work: that one goes on, and the next follows its end.
    world.apply(every_minute(false));
    assert_eq!(world.times().len(), 1);
    ended(&mut claim);
    assert_eq!(world.schedule().next.unwrap().at, at("01:01:00"));
}

#[test]
fn nothing_comes_of_a_paused_schedule() {
    let world = world();
    world.apply(every_minute(false));
    assert_eq!((world.pause(true).next, world.times()), (None, vec![]));
    world.clock.advance(MINUTE * 5);
    assert_eq!(world.claim("w", 9).len(), 0);
    assert_eq!(world.pause(false).next.unwrap().at, at("00:06:00"));
    // Paused and resumed while a job is at work: there is still one at a time.
    world.clock.advance(MINUTE);
    let mut claim = world.claim("w", 9).remove(0);
    world.pause(true);
    world.pause(false);
    assert_eq!(world.times().len(), 1);
    ended(&mut claim);
    assert_eq!(world.times().len(), 2);
    world.clock.advance(MINUTE);
    let mut claim = world.claim("w", 9).remove(0);
    world.pause(true);
    ended(&mut claim);
    assert_eq!((world.schedule().next, world.times().len()), (None, 2));
}

#[test]
fn a_schedule_of_an_archived_project_is_paused() {
    let world = world();
    let clock = world.clock.clone();
    let projects = Projects::new(world.store.clone(), clock.clone());
    let by = Allowed::operator();
    block_on(projects.create(&by, "team".parse().unwrap(), String::new())).unwrap();
    let project: ProjectId = "team".parse().unwrap();
    let job = NewJob { project: project.clone(), ..new(1) };
    let name: ScheduleName = "tick".parse().unwrap();
    world.apply(NewSchedule { job: job.clone(), ..every_minute(false) });
    clock.advance(MINUTE);
    let mut claim = world.claim("w", 9).remove(0);
    block_on(projects.archive(&Allowed::operator(), &project)).unwrap();
    ended(&mut claim);
    let schedule = block_on(world.jobs.schedule(&Allowed::operator(), &project, &name)).unwrap();
    assert_eq!((schedule.paused_at, schedule.next), (Some(clock.now()), None));
    let made = block_on(world.jobs.create(&Allowed::operator(), job)).unwrap_err();
    assert!(matches!(made, JobError::Project(ProjectError::Archived(_))), "{made}");
}

#[test]
fn a_deleted_schedule_leaves_nothing_but_what_is_at_work() {
    let world = world();
    world.apply(every_minute(true));
    world.clock.advance(MINUTE);
    let mut claim = world.claim("w", 9).remove(0);
    let (by, project, name) = (Allowed::operator(), ProjectId::default(), "tick".parse().unwrap());
    block_on(world.jobs.delete_schedule(&by, &project, &name)).unwrap();
    assert_eq!(world.times(), [at("00:01:00")]);
    ended(&mut claim);
    assert_eq!(world.times().len(), 1);
    let error = block_on(world.jobs.delete_schedule(&by, &project, &name)).unwrap_err();
    assert!(error.to_string().contains("schedule `tick` does not exist"), "{error}");
    assert_eq!(block_on(world.jobs.schedules(&Allowed::operator(), &project)).unwrap(), []);
}

#[test]
fn bad_schedules_are_refused_with_the_field() {
    let world = world();
    let base = || every_minute(false);
    let cron = |expression: &str| Cron { expression: expression.into(), time_zone: "UTC".into() };
    for (schedule, field) in [
        (NewSchedule { cron: cron("0 0 31 6 *"), ..base() }, "cron"),
        (NewSchedule { job: NewJob { max_attempts: 0, ..new(1) }, ..base() }, "max_attempts"),
        (
            NewSchedule { job: NewJob { unique_key: Some("u".into()), ..new(1) }, ..base() },
            "unique_key",
        ),
    ] {
        let error =
            block_on(world.jobs.apply_schedule(&Allowed::operator(), schedule)).unwrap_err();
        assert!(matches!(&error, JobError::Invalid { field: of, .. } if *of == field), "{error}");
    }
    assert_eq!(world.times(), []);
}

/// Where nothing looks at queues by itself, somebody has to be told before each commit that makes
/// something due.
#[test]
fn what_follows_an_end_is_looked_at_in_its_own_queue() {
    let world = world();
    let mut new = every_minute(false);
    new.job.queue = "before".parse().unwrap();
    let first = world.apply(new.clone()).next.unwrap();
    world.clock.advance(MINUTE);
    let mut claim =
        block_on(world.jobs.claim(&"before".parse().unwrap(), "w", 1)).unwrap().remove(0);
    assert_eq!(claim.job().id, first.job);
    // While it is at work its schedule gets another queue, and a receiver.
    (new.job.queue, new.cron.expression) = ("after".parse().unwrap(), "0 12 * * *".into());
    world.apply(new);
    world.wake.take_looks();
    ended(&mut claim);
    let topic = |queue: &str| Topic::Queue(queue.parse().unwrap());
    assert_eq!(world.wake.take_looks(), [(topic("after"), at("12:00:00"))]);

    let mut told = super::testing::new(2);
    told.callback = Some(Callback { url: "https://example.com".into() });
    world.create(told);
    world.wake.take_looks();
    ended(&mut world.claim("w", 1).remove(0));
    let soon = world.clock.now() + Duration::from_mins(2);
    assert_eq!(world.wake.take_looks(), [(topic("webhook"), soon)]);
}
