use std::time::Duration;

use pollster::block_on;
use serde_json::json;

use super::testing::{new, world};
use super::*;
use crate::entity::Entity;
use crate::ports::{Clock as _, Expect, Key, StateStore, StoreError, Write};
use crate::tenancy::{Allowed, ProjectId};

fn numbers(claims: &[Claim]) -> Vec<u64> {
    claims.iter().map(|claim| claim.arguments()["number"].as_u64().unwrap()).collect()
}

#[test]
fn the_most_urgent_and_oldest_due_job_is_taken_first() {
    let world = world();
    let later = world.clock.now() + Duration::from_mins(1);
    for (number, priority, run_at) in
        [(1, 3, None), (2, 2, None), (3, 1, Some(later)), (4, 2, None), (5, 1, None)]
    {
        let priority = Priority::try_from(priority).unwrap();
        world.create(NewJob { priority, run_at, ..new(number) });
        world.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(numbers(&world.claim("w", 3)), [5, 2, 4]);
    assert_eq!(numbers(&world.claim("w", 3)), [1]);
    let due = block_on(world.jobs.next_due(&"noop".parse().unwrap())).unwrap();
    assert_eq!(due, Some(later), "before the leases end");
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(numbers(&world.claim("w", 3)), [3]);
}

#[test]
fn a_lost_workers_job_is_taken_again_and_its_writes_change_nothing() {
    let world = world();
    let job = world.create(new(1));
    let mut dead = world.claim("dead", 1).remove(0);
    world.clock.advance(LEASE.saturating_sub(Duration::from_secs(1)));
    assert_eq!(world.rescue(), 0, "it may live");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!((world.rescue(), world.rescue()), (1, 0));
    assert_eq!(world.status(&job.id), JobStatus::Retryable);
    let mut second = world.claim("second", 1).remove(0);
    assert_eq!(second.job().attempt, 2);

    let put = Write::Put {
        key: Key::new("x", "y"),
        document: json!(1),
        index: None,
        expires_at: None,
        expect: Expect::Any,
    };
    let lost = block_on(dead.commit(std::slice::from_ref(&put))).unwrap_err();
    assert!(matches!(lost, ClaimError::Lost), "{lost}");
    let lost = block_on(dead.beat(None)).unwrap_err();
    assert!(matches!(lost, ClaimError::Lost), "{lost}");
    let completed = || JobOutcome::Completed { result: Some(json!("done")) };
    let lost = block_on(dead.finish(completed(), None, std::slice::from_ref(&put))).unwrap_err();
    assert!(matches!(lost, ClaimError::Lost), "{lost}");
    assert_eq!(block_on(world.store.get(&Key::new("x", "y"))).unwrap(), None);

    block_on(second.finish(completed(), None, &[put])).unwrap();
    assert_eq!(world.status(&job.id), JobStatus::Completed);
    assert!(block_on(world.store.get(&Key::new("x", "y"))).unwrap().is_some());
}

#[test]
fn a_beat_keeps_a_job_and_carries_its_progress() {
    let world = world();
    let job = world.create(new(1));
    let mut claim = world.claim("w", 1).remove(0);
    for done in 1..=10 {
        world.clock.advance(BEAT);
        let progress = Progress { done, total: 10, message: "going".into() };
        block_on(claim.beat(Some(progress))).unwrap();
        assert_eq!(world.rescue(), 0);
    }
    let stored = block_on(world.jobs.load(&ProjectId::default(), &job.id)).unwrap().unwrap();
    assert_eq!(stored.value.progress.unwrap().done, 10);
}

#[test]
fn a_worker_hears_of_a_cancel_with_its_next_write() {
    let world = world();
    let job = world.create(new(1));
    let mut claim = world.claim("w", 1).remove(0);
    let by = Allowed::operator();
    block_on(world.jobs.cancel(&by, &job.project, job.id.as_str())).unwrap();
    assert!(!claim.is_cancelled());
    block_on(claim.beat(None)).unwrap();
    assert!(claim.is_cancelled());
    block_on(claim.finish(JobOutcome::Cancelled, None, &[])).unwrap();
    assert_eq!(world.status(&job.id), JobStatus::Cancelled);
    let again = block_on(world.jobs.cancel(&by, &job.project, job.id.as_str())).unwrap();
    assert_eq!(again.status(world.clock.now()), JobStatus::Cancelled);
    block_on(world.jobs.retry(&by, &job.project, job.id.as_str())).unwrap();
    assert_eq!(numbers(&world.claim("w", 1)), [1]);
    let error = block_on(world.jobs.retry(&by, &job.project, job.id.as_str())).unwrap_err();
    assert!(error.to_string().contains("is running; only a job that was"), "{error}");
}

#[test]
fn a_unique_key_is_free_again_once_its_job_has_ended() {
    let world = world();
    let unique = |number| NewJob { unique_key: Some("nightly".into()), ..new(number) };
    let first = world.create(unique(1));
    let error = block_on(world.jobs.create(&Allowed::operator(), unique(2))).unwrap_err();
    let JobError::NotUnique { job, .. } = &error else { panic!("{error}") };
    assert_eq!(*job, first.id);
    let mut claim = world.claim("w", 1).remove(0);
    block_on(claim.finish(JobOutcome::Completed { result: None }, None, &[])).unwrap();
    let second = world.create(unique(3));
    block_on(world.jobs.cancel(&Allowed::operator(), &second.project, second.id.as_str())).unwrap();
    world.create(unique(4));
    // The name is another's by now.
    let again =
        block_on(world.jobs.retry(&Allowed::operator(), &second.project, second.id.as_str()));
    assert!(matches!(again, Err(JobError::NotUnique { .. })), "{again:?}");
}

#[test]
fn a_bounded_queue_runs_no_more_at_once_and_loses_no_place() {
    let world = world();
    let (by, queue) = (Allowed::operator(), "noop".parse().unwrap());
    block_on(world.jobs.bound(&by, &queue, Some(2))).unwrap();
    for number in 0..6 {
        world.create(new(number));
    }
    let mut claims = world.claim("w", 6);
    assert_eq!(claims.len(), 2);
    assert_eq!(world.claim("x", 6).len(), 0);
    block_on(claims[0].finish(JobOutcome::Completed { result: None }, None, &[])).unwrap();
    assert_eq!(world.claim("x", 6).len(), 1);
    // A lost worker's place is given back with its job.
    world.clock.advance(LEASE);
    assert_eq!(world.rescue(), 2);
    assert_eq!(world.claim("y", 6).len(), 2);
}

#[test]
fn nothing_begins_in_a_paused_queue() {
    let world = world();
    let (by, queue) = (Allowed::operator(), "noop".parse().unwrap());
    world.create(new(1));
    let paused = block_on(world.jobs.pause(&by, &queue, true)).unwrap();
    assert_eq!(world.claim("w", 1).len(), 0);
    assert_eq!(block_on(world.jobs.next_due(&queue)).unwrap(), None);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(block_on(world.jobs.pause(&by, &queue, true)).unwrap(), paused);
    block_on(world.jobs.pause(&by, &queue, false)).unwrap();
    assert_eq!(world.claim("w", 1).len(), 1);
}

#[test]
fn what_has_ended_goes_away_by_itself() {
    let world = world();
    let job = world.create(new(1));
    let mut claim = world.claim("w", 1).remove(0);
    block_on(claim.log(vec!["one".into(), "two".into()])).unwrap();
    block_on(claim.log(vec!["three".into()])).unwrap();
    block_on(claim.finish(JobOutcome::Completed { result: None }, None, &[])).unwrap();
    let by = Allowed::operator();
    let log = |after| {
        let page = block_on(world.jobs.log(&by, &job.project, job.id.as_str(), after, None));
        page.unwrap().0.into_iter().map(|part| (part.number, part.lines)).collect::<Vec<_>>()
    };
    let all = [(0, vec!["one".to_owned(), "two".into()]), (1, vec!["three".into()])];
    assert_eq!((log(None), log(Some(0)), log(Some(1))), (all.to_vec(), all[1..].to_vec(), vec![]));
    world.clock.advance(RETENTION);
    assert!(block_on(world.store.get(&job.key())).unwrap().is_none());
    let arguments = JobArguments::key_of(&job.project, &job.id);
    assert!(block_on(world.store.get(&arguments)).unwrap().is_none());
    let page = block_on(world.jobs.list(&by, &job.project, &JobFilter::default(), 10, None));
    assert_eq!(page.unwrap().jobs, []);
}

#[test]
fn jobs_are_listed_newest_first_by_what_they_are() {
    let world = world();
    for number in 0..30 {
        let kind = if number % 3 == 0 { "noop" } else { "other" };
        let kind: JobKind = kind.parse().unwrap();
        let queue = "noop".parse().unwrap();
        world.create(NewJob { kind, queue, ..new(number) });
        world.clock.advance(Duration::from_millis(1));
    }
    let by = Allowed::operator();
    let filter = JobFilter { kind: Some("noop".parse().unwrap()), ..JobFilter::default() };
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page =
            block_on(world.jobs.list(&by, &ProjectId::default(), &filter, 4, cursor)).unwrap();
        found.extend(page.jobs);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 10);
    assert!(found.is_sorted_by(|a, b| a.created_at > b.created_at));
}

#[test]
fn bad_jobs_are_refused_with_the_field() {
    let world = world();
    let tags = (0..17).map(|n| (n.to_string(), String::new())).collect();
    for (bad, field) in [
        (NewJob { arguments: json!("x".repeat(MAX_ARGUMENTS)), ..new(1) }, "arguments"),
        (NewJob { max_attempts: 0, ..new(1) }, "max_attempts"),
        (NewJob { max_attempts: MAX_ATTEMPTS + 1, ..new(1) }, "max_attempts"),
        (NewJob { unique_key: Some(String::new()), ..new(1) }, "unique_key"),
        (NewJob { tags, ..new(1) }, "tags"),
    ] {
        let error = block_on(world.jobs.create(&Allowed::operator(), bad)).unwrap_err();
        assert!(matches!(&error, JobError::Invalid { field: f, .. } if *f == field), "{error}");
    }
    let error = block_on(world.jobs.get(&Allowed::operator(), &ProjectId::default(), "x/../y"));
    assert!(matches!(error, Err(JobError::NotFound(_))));
    let absent = NewJob { project: "nowhere".parse().unwrap(), ..new(1) };
    let error = block_on(world.jobs.create(&Allowed::operator(), absent)).unwrap_err();
    assert!(matches!(error, JobError::Project(_)), "{error}");
    let _: Option<StoreError> = None;
}

#[test]
fn what_does_not_fit_is_passed_over() {
    let world = world();
    let large = Needs { gpu: 1, ..Needs::default() };
    for number in 1..=30 {
        world.create(NewJob { needs: large.clone(), ..new(number) });
        world.clock.advance(Duration::from_millis(1));
    }
    let mut foreign = new(31);
    foreign.project = "team".parse().unwrap();
    let by = Allowed::operator();
    let projects = crate::tenancy::Projects::new(world.store.clone(), world.clock.clone());
    block_on(projects.create(&by, foreign.project.clone(), String::new())).unwrap();
    world.create(foreign);
    world.create(new(32));
    let kinds = ["noop".parse().unwrap()];
    let fit = |capacity| {
        JobFit::of_worker(kinds.clone().into(), capacity).in_project(ProjectId::default())
    };
    let claim = |fit: &JobFit| {
        let queue = "noop".parse().unwrap();
        numbers(&block_on(world.jobs.claim_fitting(&queue, "w", 2, fit)).unwrap())
    };
    assert_eq!(claim(&JobFit::of_worker([].into(), Capacity::default())), [0_u64; 0]);
    assert_eq!(claim(&fit(Capacity::default())), [32]);
    // What is taken is not there for the next.
    assert_eq!(claim(&fit(Capacity { gpu: 1, ..Capacity::default() })), [1]);
    assert_eq!(claim(&fit(Capacity { gpu: 9, ..Capacity::default() })), [2, 3]);
}

#[test]
fn what_fits_is_found_behind_any_number_that_does_not() {
    let world = world();
    let large = Needs { gpu: 1, ..Needs::default() };
    for number in 1..=2_300 {
        world.create(NewJob { needs: large.clone(), ..new(number) });
    }
    world.clock.advance(Duration::from_millis(1));
    world.create(new(3_000));
    let fit = fit_of(Capacity::default());
    let claim = |worker: &str, fit: &JobFit| {
        let queue = "noop".parse().unwrap();
        numbers(&block_on(world.jobs.claim_fitting(&queue, worker, 1, fit)).unwrap())
    };
    let calls = (1..=4).find(|_| claim("small", &fit) == [3_000]).unwrap();
    assert!(calls > 1, "one call reads no more than a bound");
    // The search begins anew, and that of one worker is not another's.
    world.create(new(3_001));
    assert!((1..=4).any(|_| claim("small", &fit) == [3_001]));
    assert_eq!(claim("small", &fit), [0_u64; 0]);
    let capable = fit_of(Capacity { gpu: 1, ..Capacity::default() });
    assert!(claim("large", &capable)[0] <= 2_300);
}

fn fit_of(left: Capacity) -> JobFit {
    JobFit::of_worker(["noop".parse().unwrap()].into(), left)
}

#[test]
fn a_claim_is_taken_up_again_by_its_token() {
    let world = world();
    let job = world.create(new(1));
    let token = world.claim("w", 1).remove(0).token().clone();
    let by = Allowed::operator();
    let mut again = block_on(world.jobs.resume(&by, &job.id, &token)).unwrap();
    assert_eq!(again.arguments()["number"], 1);
    let end = JobOutcome::Completed { result: None };
    block_on(again.finish(end, None, &[])).unwrap();
    let lost = block_on(world.jobs.resume(&by, &job.id, &token)).err().unwrap();
    assert!(matches!(lost, ClaimError::Lost), "{lost}");
}

#[test]
fn an_end_is_told_by_a_job_of_the_same_commit() {
    let world = world();
    let callback = Some(Callback { url: "https://example.com/done".into() });
    let told = || {
        let webhooks = block_on(world.jobs.claim(&QueueName::from(&WEBHOOK), "w", 9)).unwrap();
        let told = |claim: Claim| {
            let webhook: Webhook = serde_json::from_value(claim.arguments().clone()).unwrap();
            assert_eq!(webhook.url, "https://example.com/done");
            (webhook.payload["type"].clone(), webhook.payload["data"]["id"].clone())
        };
        webhooks.into_iter().map(told).collect::<Vec<_>>()
    };
    let done = world.create(NewJob { callback: callback.clone(), ..new(1) });
    let mut claim = world.claim("w", 1).remove(0);
    let failed = JobOutcome::Failed { message: "no".into(), is_final: false };
    block_on(claim.finish(failed, None, &[])).unwrap();
    assert_eq!(told(), [], "another attempt follows");
    world.clock.advance(Duration::from_secs(2));
    let mut claim = world.claim("w", 1).remove(0);
    let large = json!("x".repeat(100_000));
    block_on(claim.finish(JobOutcome::Completed { result: Some(large) }, None, &[])).unwrap();
    assert_eq!(told(), [(json!("job.completed"), json!(done.id))]);

    let lost = world.create(NewJob { callback, max_attempts: 1, ..new(2) });
    assert_eq!(world.claim("dead", 1).len(), 1);
    world.clock.advance(LEASE);
    assert_eq!(world.rescue(), 1);
    assert_eq!(told(), [(json!("job.discarded"), json!(lost.id))]);
}
