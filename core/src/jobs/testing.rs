use std::collections::BTreeMap;
use std::sync::Arc;

use pollster::block_on;
use serde_json::json;

use super::{
    Claim, ClaimToken, Creator, Job, JobId, JobState, JobStatus, Jobs, Needs, NewJob, Priority,
    Waits,
};
use crate::Timestamp;
use crate::keys::KeyId;
use crate::ports::Clock as _;
use crate::tenancy::{Allowed, ProjectId, Subject};
use crate::testing::{CountingWake, ManualClock, MemoryStore, SeededEntropy};

/// The time `seconds` after the epoch.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(super) fn token(number: u64) -> ClaimToken {
    ClaimToken::from_caller(&format!("{number:032x}")).unwrap()
}

/// A job that may begin at the epoch.
pub(super) fn job(number: u64) -> Job {
    Job {
        id: JobId::from_caller(&format!("{number:032x}")).unwrap(),
        project: ProjectId::default(),
        kind: "noop".parse().unwrap(),
        queue: "default".parse().unwrap(),
        priority: Priority::default(),
        created_at: at(0),
        created_by: Creator { subject: "operator".into(), key: KeyId::from_caller("") },
        state: JobState::Waiting { why: Waits::Start },
        run_at: at(0),
        attempt: 0,
        max_attempts: 5,
        timeout: None,
        needs: Needs::default(),
        started_at: None,
        finished_at: None,
        cancel_requested_at: None,
        progress: None,
        failure: None,
        result: None,
        cleans_up: false,
        unique_key: None,
        tags: BTreeMap::new(),
        schedule: None,
        callback: None,
    }
}

pub(super) struct World {
    pub(super) jobs: Jobs,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) wake: Arc<CountingWake>,
}

pub(super) fn world() -> World {
    let clock = Arc::new(ManualClock::new("2026-11-28T00:00:00Z".parse().unwrap()));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let (entropy, wake) = (Arc::new(SeededEntropy::new(1)), Arc::new(CountingWake::default()));
    let jobs = Jobs::new(store.clone(), clock.clone(), entropy, wake.clone());
    World { jobs, clock, store, wake }
}

pub(super) fn new(number: u64) -> NewJob {
    let creator = Creator::new(&Subject::new("a@b.c"), &KeyId::from_caller("k"));
    NewJob::new(ProjectId::default(), "noop".parse().unwrap(), json!({ "number": number }), creator)
}

impl World {
    pub(super) fn create(&self, new: NewJob) -> Job {
        block_on(self.jobs.create(&Allowed::operator(), new)).unwrap()
    }

    pub(super) fn claim(&self, worker: &str, most: usize) -> Vec<Claim> {
        block_on(self.jobs.claim(&"noop".parse().unwrap(), worker, most)).unwrap()
    }

    pub(super) fn status(&self, id: &JobId) -> JobStatus {
        let stored = block_on(self.jobs.load(&ProjectId::default(), id)).unwrap().unwrap();
        stored.value.status(self.clock.now())
    }

    pub(super) fn rescue(&self) -> usize {
        block_on(self.jobs.rescue(&"noop".parse().unwrap(), None)).unwrap()
    }
}
