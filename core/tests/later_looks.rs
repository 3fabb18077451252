//! A queue is looked at later even if whoever creates a job cannot say so.
#![expect(clippy::unwrap_used, reason = "fixtures are not test functions")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::jobs::{Creator, Job, JobId, Jobs, NewJob, QueueName};
use diogenes_core::keys::KeyId;
use diogenes_core::ports::{Clock as _, Query, StateStore, Table, Topic, Wake, WakeError};
use diogenes_core::tenancy::{Allowed, ProjectId, Subject};
use diogenes_core::testing::{ManualClock, MemoryStore, SeededEntropy};
use pollster::block_on;

/// Notes when a look was arranged, and how many jobs waited in the store at that moment.
struct Noted {
    store: Arc<MemoryStore>,
    looks: Mutex<Vec<(Timestamp, usize)>>,
}

#[async_trait]
impl Wake for Noted {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        Err(WakeError::NoReceiver { topic: topic.clone(), reason: "it is lost".into() })
    }

    async fn wake_at(&self, topic: &Topic, at: Timestamp) -> Result<(), WakeError> {
        assert_eq!(*topic, Topic::Queue(queue()));
        let waiting = Query::new(Table::Index, "READY#nightly#2", "");
        let waiting = self.store.load_all::<Job>(waiting).await.unwrap();
        self.looks.lock().unwrap().push((at, waiting.len()));
        Ok(())
    }
}

fn queue() -> QueueName {
    "nightly".parse().unwrap()
}

struct World {
    clock: Arc<ManualClock>,
    noted: Arc<Noted>,
    jobs: Jobs,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let noted = Arc::new(Noted { store: store.clone(), looks: Mutex::default() });
        let store: Arc<dyn StateStore> = store;
        let entropy = Arc::new(SeededEntropy::new(1));
        let jobs = Jobs::new(store, clock.clone(), entropy, noted.clone());
        Self { clock, noted, jobs }
    }

    fn create(&self, run_at: Option<Timestamp>) -> JobId {
        let creator = Creator::new(&Subject::new("a@b.c"), &KeyId::from_caller("k"));
        let kind = "nightly".parse().unwrap();
        let mut new = NewJob::new(ProjectId::default(), kind, serde_json::Value::Null, creator);
        new.run_at = run_at;
        block_on(self.jobs.create(&Allowed::operator(), new)).unwrap().id
    }

    fn looks(&self) -> Vec<(Timestamp, usize)> {
        std::mem::take(&mut self.noted.looks.lock().unwrap())
    }
}

#[test]
fn a_look_is_arranged_before_a_job_is_there() {
    let world = World::new();
    let now = world.clock.now();
    world.create(None);
    assert_eq!(world.looks(), [(now + Duration::from_mins(2), 0)]);
    let tonight = now + Duration::from_hours(9);
    world.create(Some(tonight));
    assert_eq!(world.looks(), [(tonight, 1)]);
}

#[test]
fn a_look_is_arranged_for_whatever_makes_a_job_due() {
    let world = World::new();
    let (project, by) = (ProjectId::default(), Allowed::operator());
    let id = world.create(Some(world.clock.now() + Duration::from_hours(9)));
    world.looks();
    let soon = world.clock.now() + Duration::from_mins(2);
    block_on(world.jobs.cancel(&by, &project, id.as_str())).unwrap();
    assert_eq!(world.looks(), [(soon, 1)]);
    block_on(world.jobs.retry(&by, &project, id.as_str())).unwrap();
    assert_eq!(world.looks(), [(soon, 0)]);
    let operator = Allowed::operator();
    block_on(world.jobs.pause(&operator, &queue(), true)).unwrap();
    assert_eq!(world.looks(), [(soon, 1)]);
}
