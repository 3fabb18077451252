//! Jobs beside a model of them that is plain to see: after whatever is done, both say the same.

use std::collections::BTreeMap;
use std::time::Duration;

use pollster::block_on;
use proptest::prelude::*;

use super::testing::{World, new, world};
use super::*;
use crate::Timestamp;
use crate::ports::Clock as _;
use crate::tenancy::{Allowed, ProjectId};

/// Something that is done to jobs, by numbers that are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create { priority: u8, delay: u64, max_attempts: u32, unique: Option<u8> },
    Claim { most: usize },
    Beat(usize),
    End(usize, End),
    Rescue,
    Pass(u64),
    Cancel(usize),
    Retry(usize),
    Pause(bool),
    Bound(Option<u32>),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Completed,
    Failed { is_final: bool },
    Snoozed(u64),
    Released,
    Cancelled,
}

/// A job as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    priority: u8,
    run_at: Timestamp,
    max_attempts: u32,
    unique: Option<u8>,
    status: Phase,
    attempt: u32,
    cancel: bool,
    /// Which claim has it, until when, and whether it takes a place of its queue.
    held: Option<(usize, Timestamp, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fresh,
    Retryable,
    Snoozed,
    Running,
    Completed,
    Cancelled,
    Discarded,
}

impl Known {
    fn waits(&self) -> bool {
        matches!(self.status, Phase::Fresh | Phase::Retryable | Phase::Snoozed)
    }

    fn has_ended(&self) -> bool {
        !self.waits() && self.status != Phase::Running
    }

    fn status(&self, now: Timestamp) -> JobStatus {
        match self.status {
            Phase::Fresh if self.run_at > now => JobStatus::Scheduled,
            Phase::Fresh => JobStatus::Available,
            Phase::Retryable => JobStatus::Retryable,
            Phase::Snoozed => JobStatus::Snoozed,
            Phase::Running => JobStatus::Running,
            Phase::Completed => JobStatus::Completed,
            Phase::Cancelled => JobStatus::Cancelled,
            Phase::Discarded => JobStatus::Discarded,
        }
    }

    fn leaves(&mut self, status: Phase) {
        (self.status, self.held) = (status, None);
    }
}

struct Beside {
    world: World,
    known: BTreeMap<JobId, Known>,
    /// Every claim that there ever was, and its job.
    claims: Vec<(Claim, JobId)>,
    is_paused: bool,
    bound: Option<u32>,
}

impl Beside {
    fn new() -> Self {
        let (known, claims) = (BTreeMap::new(), Vec::new());
        Self { world: world(), known, claims, is_paused: false, bound: None }
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn queue() -> QueueName {
        "noop".parse().unwrap()
    }

    fn counted(&self) -> usize {
        self.known.values().filter(|job| matches!(job.held, Some((_, _, true)))).count()
    }

    /// The model's job that a claim has, if it still has one.
    fn held(&mut self, claim: usize) -> Option<&mut Known> {
        let job = self.known.get_mut(&self.claims[claim].1)?;
        matches!(job.held, Some((holder, ..)) if holder == claim).then_some(job)
    }

    fn is_taken(&self, unique: Option<u8>) -> bool {
        let is_it = |job: &Known| job.unique == unique && !job.has_ended();
        unique.is_some() && self.known.values().any(is_it)
    }

    fn step(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::Create { priority, delay, max_attempts, unique } => {
                let run_at = now + Duration::from_secs(delay);
                let wanted = NewJob {
                    priority: Priority::try_from(priority).unwrap(),
                    run_at: Some(run_at),
                    max_attempts,
                    unique_key: unique.map(|unique| unique.to_string()),
                    ..new(1)
                };
                let made = block_on(self.world.jobs.create(&Allowed::operator(), wanted));
                assert_eq!(made.is_err(), self.is_taken(unique), "{made:?}");
                if let Ok(job) = made {
                    let known = Known {
                        priority,
                        run_at,
                        max_attempts,
                        unique,
                        status: Phase::Fresh,
                        attempt: 0,
                        cancel: false,
                        held: None,
                    };
                    self.known.insert(job.id, known);
                }
            }
            Step::Claim { most } => self.claim(most, now),
            Step::Beat(claim) if !self.claims.is_empty() => {
                let claim = claim % self.claims.len();
                let until = now + LEASE;
                let expected = self.held(claim).map(|job| {
                    let (holder, _, counted) = job.held.unwrap();
                    job.held = Some((holder, until, counted));
                });
                let beaten = block_on(self.claims[claim].0.beat(None));
                assert_eq!(beaten.is_ok(), expected.is_some(), "{beaten:?}");
            }
            Step::End(claim, end) if !self.claims.is_empty() => {
                self.end(claim % self.claims.len(), end, now);
            }
            Step::Rescue => {
                let mut lost = 0;
                for job in self.known.values_mut() {
                    let is_lost = matches!(job.held, Some((_, until, _)) if until <= now);
                    if !is_lost {
                        continue;
                    }
                    lost += 1;
                    if job.cancel {
                        job.leaves(Phase::Cancelled);
                    } else if job.attempt >= job.max_attempts {
                        job.leaves(Phase::Discarded);
                    } else {
                        job.run_at = now;
                        job.leaves(Phase::Retryable);
                    }
                }
                assert_eq!(self.world.rescue(), lost);
            }
            Step::Pass(seconds) => self.world.clock.advance(Duration::from_secs(seconds)),
            Step::Cancel(job) if !self.known.is_empty() => {
                let id = self.nth(job);
                let (by, project) = (Allowed::operator(), ProjectId::default());
                let told = block_on(self.world.jobs.cancel(&by, &project, id.as_str()));
                let job = self.known.get_mut(&id).unwrap();
                assert_eq!(told.is_ok(), job.cancel || !job.has_ended(), "{told:?}");
                if told.is_ok() && !job.cancel {
                    job.cancel = true;
                    if job.waits() {
                        job.leaves(Phase::Cancelled);
                    }
                }
            }
            Step::Retry(job) if !self.known.is_empty() => {
                let id = self.nth(job);
                let (by, project) = (Allowed::operator(), ProjectId::default());
                let told = block_on(self.world.jobs.retry(&by, &project, id.as_str()));
                let job = &self.known[&id];
                let is_dead = matches!(job.status, Phase::Cancelled | Phase::Discarded);
                assert_eq!(told.is_ok(), is_dead && !self.is_taken(job.unique), "{told:?}");
                if told.is_ok() {
                    let job = self.known.get_mut(&id).unwrap();
                    job.leaves(Phase::Fresh);
                    (job.run_at, job.attempt, job.cancel) = (now, 0, false);
                }
            }
            Step::Pause(pause) => {
                let by = Allowed::operator();
                block_on(self.world.jobs.pause(&by, &Self::queue(), pause)).unwrap();
                self.is_paused = pause;
            }
            Step::Bound(most) => {
                let by = Allowed::operator();
                block_on(self.world.jobs.bound(&by, &Self::queue(), most)).unwrap();
                self.bound = most;
            }
            Step::Beat(_) | Step::End(..) | Step::Cancel(_) | Step::Retry(_) => {}
        }
    }

    fn nth(&self, number: usize) -> JobId {
        self.known.keys().nth(number % self.known.len()).unwrap().clone()
    }

    fn claim(&mut self, most: usize, now: Timestamp) {
        let mut due: Vec<_> = self
            .known
            .iter()
            .filter(|(_, job)| job.waits() && job.run_at <= now)
            .map(|(id, job)| (job.priority, job.run_at, id.clone()))
            .collect();
        due.sort();
        let counted = u32::try_from(self.counted()).unwrap();
        let places = self.bound.map_or(most, |bound| bound.saturating_sub(counted) as usize);
        due.truncate(if self.is_paused { 0 } else { most.min(places) });
        let claims = self.world.claim("w", most);
        let taken: Vec<_> = claims.iter().map(|claim| claim.job().id.clone()).collect();
        let wanted: Vec<_> = due.into_iter().map(|(.., id)| id).collect();
        assert_eq!(taken, wanted);
        for claim in claims {
            let id = claim.job().id.clone();
            let job = self.known.get_mut(&id).unwrap();
            job.status = Phase::Running;
            job.attempt += 1;
            job.held = Some((self.claims.len(), now + LEASE, self.bound.is_some()));
            self.claims.push((claim, id));
        }
    }

    fn end(&mut self, claim: usize, end: End, now: Timestamp) {
        let outcome = match end {
            End::Completed => JobOutcome::Completed { result: None },
            End::Failed { is_final } => JobOutcome::Failed { message: "no".into(), is_final },
            End::Snoozed(seconds) => {
                JobOutcome::Snoozed { until: now + Duration::from_secs(seconds), what: "x".into() }
            }
            End::Released => JobOutcome::Released,
            End::Cancelled => JobOutcome::Cancelled,
        };
        let told = block_on(self.claims[claim].0.finish(outcome, None, &[]));
        let run_at = self.claims[claim].0.job().run_at;
        let Some(job) = self.held(claim) else {
            assert!(matches!(told, Err(ClaimError::Lost)), "{told:?}");
            return;
        };
        told.unwrap();
        match end {
            End::Completed => job.leaves(Phase::Completed),
            End::Cancelled => job.leaves(Phase::Cancelled),
            End::Failed { is_final } if is_final || job.attempt >= job.max_attempts => {
                job.leaves(Phase::Discarded);
            }
            End::Failed { .. } => {
                // Which tenth more or less is left to chance.
                let base = f64::from(job.attempt).powi(4);
                let waits = run_at.duration_since(now).as_secs_f64();
                assert!((base * 0.9..=base * 1.1).contains(&waits), "{waits} of {base}");
                job.run_at = run_at;
                job.leaves(Phase::Retryable);
            }
            End::Snoozed(seconds) => {
                job.run_at = now + Duration::from_secs(seconds);
                job.attempt -= 1;
                job.leaves(Phase::Snoozed);
            }
            End::Released => {
                job.run_at = now;
                job.attempt -= 1;
                job.leaves(Phase::Fresh);
            }
        }
    }

    /// Whether both say the same of everything.
    fn compare(&self) {
        let now = self.now();
        for (id, known) in &self.known {
            let job = block_on(self.world.jobs.load(&ProjectId::default(), id)).unwrap().unwrap();
            let job = job.value;
            assert_eq!(
                (job.status(now), job.attempt, job.cancel_requested_at.is_some()),
                (known.status(now), known.attempt, known.cancel),
                "{known:?}"
            );
        }
        let waits = self.known.values().filter(|job| job.waits() && !self.is_paused);
        let runs = self.known.values().filter_map(|job| Some(job.held?.1));
        let due = waits.map(|job| job.run_at).chain(runs).min();
        assert_eq!(block_on(self.world.jobs.next_due(&Self::queue())).unwrap(), due);
        let places = records::Queue::places(&Self::queue());
        let counted = block_on(crate::ports::StateStore::count(&*self.world.store, &places));
        assert_eq!(counted.unwrap(), i64::try_from(self.counted()).unwrap());
    }
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        3 => Just(End::Completed),
        3 => any::<bool>().prop_map(|is_final| End::Failed { is_final }),
        2 => (0..90_u64).prop_map(End::Snoozed),
        1 => Just(End::Released),
        1 => Just(End::Cancelled),
    ];
    prop_oneof![
        4 => (1..=4_u8, 0..60_u64, 1..4_u32, prop::option::weighted(0.3, 0..3_u8)).prop_map(
            |(priority, delay, max_attempts, unique)| Step::Create {
                priority,
                delay,
                max_attempts,
                unique,
            }
        ),
        4 => (1..4_usize).prop_map(|most| Step::Claim { most }),
        2 => any::<usize>().prop_map(Step::Beat),
        5 => (any::<usize>(), end).prop_map(|(claim, end)| Step::End(claim, end)),
        2 => Just(Step::Rescue),
        4 => (0..40_u64).prop_map(Step::Pass),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Retry),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => prop::option::of(1..3_u32).prop_map(Step::Bound),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn jobs_do_what_a_plain_model_of_them_does(steps in prop::collection::vec(step(), 1..120)) {
        let mut beside = Beside::new();
        for step in steps {
            beside.step(step);
            beside.compare();
        }
    }
}
