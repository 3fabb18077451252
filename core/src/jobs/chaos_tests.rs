//! Many jobs, workers that die, hang and come back, clocks that disagree by minutes, an index that
//! lags by a minute, and looks that come too often or never: no job is lost, and none is committed
//! twice.

use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use serde_json::{Value, json};

use super::*;
use crate::Timestamp;
use crate::keys::KeyId;
use crate::ports::{Expect, Key, Query, StateStore, Table, Write};
use crate::tenancy::{Allowed, ProjectId, Subject};
use crate::testing::{CountingWake, LaggingStore, ManualClock, SeededEntropy};

/// A worker with a clock of its own, and the jobs that it has or believes to have.
struct Worker {
    name: String,
    jobs: Jobs,
    clock: Arc<ManualClock>,
    skew: i64,
    claims: Vec<Claim>,
}

struct Chaos {
    dice: Arc<SeededEntropy>,
    /// The true time, by which the store goes.
    clock: Arc<ManualClock>,
    store: Arc<LaggingStore>,
    workers: Vec<Worker>,
    now: Timestamp,
    created: usize,
    commits: usize,
    refused: usize,
}

const QUEUE: &str = "noop";

impl Chaos {
    fn new(seed: u64, lag: Duration) -> Self {
        let dice = Arc::new(SeededEntropy::new(seed));
        let now: Timestamp = "2026-11-28T00:00:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let store = Arc::new(LaggingStore::new(clock.clone(), lag));
        let worker = |number: i64| {
            // Up to three minutes off.
            let skew = (number - 3) * 60;
            let clock = Arc::new(ManualClock::new(now));
            let wake = Arc::new(CountingWake::default());
            let jobs = Jobs::new(store.clone(), clock.clone(), dice.clone(), wake);
            Worker { name: format!("w{number}"), jobs, clock, skew, claims: Vec::new() }
        };
        let workers = (0..7).map(worker).collect();
        let (created, commits, refused) = (0, 0, 0);
        let mut chaos = Self { dice, clock, store, workers, now, created, commits, refused };
        chaos.pass(0);
        chaos
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.clock.set(self.now);
        for worker in &self.workers {
            let skew = jiff::SignedDuration::from_secs(worker.skew);
            worker.clock.set(self.now + skew);
        }
    }

    fn create(&mut self, jobs: usize) {
        let creator = Creator::new(&Subject::new("a@b.c"), &KeyId::from_caller("k"));
        for _ in 0..jobs {
            let kind = QUEUE.parse().unwrap();
            let mut new = NewJob::new(ProjectId::default(), kind, Value::Null, creator.clone());
            new.max_attempts = MAX_ATTEMPTS;
            new.priority = Priority::ALL[usize::try_from(self.roll(4)).unwrap()];
            let (_, writes) = self.workers[0].jobs.enqueue(new).unwrap();
            block_on(self.store.commit(&writes)).unwrap();
            self.created += 1;
        }
    }

    /// One of the workers does something.
    fn step(&mut self) {
        let (who, what) = (self.roll(7), self.roll(20));
        let at = usize::try_from(who).unwrap();
        let queue = QUEUE.parse().unwrap();
        let until = self.now + Duration::from_secs(self.roll(90));
        let worker = &mut self.workers[at];
        match what {
            0..=5 => {
                let claims = block_on(worker.jobs.claim(&queue, &worker.name, 4)).unwrap();
                worker.claims.extend(claims);
            }
            6 => {
                block_on(worker.jobs.rescue(&queue, None)).unwrap();
            }
            // It dies, and another of its name begins.
            7 => {
                worker.claims.clear();
                block_on(worker.jobs.rescue(&queue, Some(&worker.name))).unwrap();
            }
            // It dies for good, or hangs.
            8 => worker.claims.clear(),
            9..=11 => {
                for claim in &mut worker.claims {
                    // One that has lost its job hears so here or at its end.
                    let _ = block_on(claim.beat(None));
                }
            }
            _ => {
                let Some(mut claim) = worker.claims.pop() else { return };
                let (outcome, writes) = match what {
                    12 => (JobOutcome::Snoozed { until, what: "a GPU".into() }, vec![]),
                    13 => (JobOutcome::Failed { message: "no".into(), is_final: false }, vec![]),
                    14 => (JobOutcome::Released, vec![]),
                    _ => {
                        let done = Write::Put {
                            key: Key::new("DONE", claim.job().id.as_str()),
                            document: json!(worker.name),
                            index: None,
                            expires_at: None,
                            // A second commit of one job would fail here, and be told.
                            expect: Expect::Absent,
                        };
                        (JobOutcome::Completed { result: None }, vec![done])
                    }
                };
                let is_completed = matches!(outcome, JobOutcome::Completed { .. });
                match block_on(claim.finish(outcome, None, &writes)) {
                    Ok(()) => self.commits += usize::from(is_completed),
                    Err(ClaimError::Lost) => self.refused += 1,
                    Err(error) => panic!("{error}: a job was committed twice"),
                }
            }
        }
    }

    /// The jobs that are not completed.
    fn unfinished(&self) -> Vec<Job> {
        let (by, project, filter) =
            (Allowed::operator(), ProjectId::default(), JobFilter::default());
        let (mut unfinished, mut next) = (Vec::new(), None);
        loop {
            let page = self.workers[3].jobs.list(&by, &project, &filter, 100, next);
            let page = block_on(page).unwrap();
            let found = page.jobs.into_iter().filter(|job| job.state != JobState::Completed);
            unfinished.extend(found);
            next = page.next;
            if next.is_none() {
                return unfinished;
            }
        }
    }

    /// How many are completed.
    fn completed(&self) -> usize {
        let mut query = Query::new(Table::Main, "DONE", "");
        let mut completed = 0;
        loop {
            let page = block_on(self.store.list(&query)).unwrap();
            completed += page.items.len();
            query.cursor = page.next;
            if query.cursor.is_none() {
                return completed;
            }
        }
    }
}

fn run(seed: u64, jobs: usize, lag: Duration) -> Chaos {
    let mut chaos = Chaos::new(seed, lag);
    let mut left = jobs;
    while left > 0 {
        let some = left.min(usize::try_from(chaos.roll(8)).unwrap());
        chaos.create(some);
        left -= some;
        for _ in 0..6 {
            chaos.step();
        }
        let seconds = chaos.roll(20);
        chaos.pass(seconds);
    }
    // What is left is done in the end, whoever had it.
    let queue = QUEUE.parse().unwrap();
    // The index may not know of some yet.
    let mut quiet = Duration::ZERO;
    for _ in 0..1_000 * jobs {
        let is_quiet = block_on(chaos.workers[3].jobs.next_due(&queue)).unwrap().is_none();
        let seconds = chaos.roll(30);
        quiet = if is_quiet { quiet + Duration::from_secs(seconds) } else { Duration::ZERO };
        if quiet > lag {
            break;
        }
        chaos.step();
        chaos.pass(seconds);
        block_on(chaos.workers[3].jobs.rescue(&queue, None)).unwrap();
    }
    chaos
}

/// How many jobs there are; `DIOGENES_JOBS` for long runs.
fn jobs() -> usize {
    std::env::var("DIOGENES_JOBS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

#[test]
fn no_job_is_lost_or_committed_twice() {
    let mut refused = 0;
    for (seed, lag) in [(0, 0), (1, 1), (2, 10), (3, 60)] {
        let chaos = run(seed, jobs() / 4, Duration::from_secs(lag));
        assert_eq!(chaos.completed(), chaos.commits, "seed {seed}");
        let rest = chaos.unfinished();
        assert_eq!(chaos.commits + rest.len(), chaos.created, "seed {seed}");
        // So many workers die here that some jobs use up what they have.
        let is_used_up =
            |job: &Job| job.state == JobState::Discarded && job.attempt == job.max_attempts;
        assert!(rest.iter().all(is_used_up), "seed {seed}: {rest:?}");
        assert!(rest.len() * 10 < chaos.created, "seed {seed}: {} used up", rest.len());
        refused += chaos.refused;
    }
    assert!(refused > 0, "no worker outlived its lease: the test tests nothing");
}
