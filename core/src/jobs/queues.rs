//! Queues as operators see them.

use super::records::Queue;
use super::service::JobError;
use super::{Job, Jobs, Priority, QueueName};
use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::ports::{Expect, StoreError};
use crate::tenancy::{Allowed, may};

/// The most jobs of a queue that are counted.
pub const MOST_COUNTED: usize = 1_000;

/// How much there is to do in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    pub queue: Queue,
    /// Jobs whose time has come; at most [`MOST_COUNTED`] are counted.
    pub available: usize,
    /// Jobs that wait for their time; at most [`MOST_COUNTED`] are counted.
    pub waiting: usize,
    /// Jobs that run; at most [`MOST_COUNTED`] are counted.
    pub running: usize,
    /// Since when the oldest available one could have begun.
    pub oldest: Option<Timestamp>,
}

impl Jobs {
    /// How a queue is worked on.
    pub async fn queue(&self, name: &QueueName) -> Result<Queue, StoreError> {
        Ok(self.stored_queue(name).await?.map_or_else(|| Queue::new(name.clone()), |q| q.value))
    }

    async fn stored_queue(&self, name: &QueueName) -> Result<Option<Stored<Queue>>, StoreError> {
        self.store.load(&Queue::key_of(name)).await
    }

    /// How much there is to do in the queues of `known`, and in those that were configured.
    pub async fn depths(
        &self,
        _: &Allowed<may::JobsRead>,
        known: &[QueueName],
    ) -> Result<Vec<QueueDepth>, JobError> {
        let configured = self.store.load_all::<Queue>(Queue::all()).await?;
        let mut queues: Vec<_> = configured.into_iter().map(|queue| queue.value).collect();
        let unknown = |name: &&QueueName| queues.iter().all(|queue| queue.name != **name);
        let rest: Vec<_> = known.iter().filter(unknown).cloned().map(Queue::new).collect();
        queues.extend(rest);
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        let mut depths = Vec::with_capacity(queues.len());
        for queue in queues {
            depths.push(self.depth(queue).await?);
        }
        Ok(depths)
    }

    /// How much there is to do in a queue.
    pub async fn depth(&self, queue: Queue) -> Result<QueueDepth, StoreError> {
        let now = self.clock.now();
        let (mut available, mut waiting, mut oldest) = (0, 0, None::<Timestamp>);
        for priority in Priority::ALL {
            let (jobs, _) =
                self.store.load_page::<Job>(&Job::waiting(&queue.name, priority)).await?;
            let due = jobs.iter().take_while(|job| job.value.run_at <= now).count();
            available += due;
            waiting += jobs.len() - due;
            let first = jobs.first().map(|job| job.value.run_at).filter(|at| *at <= now);
            oldest = first.into_iter().chain(oldest).min();
        }
        let (running, _) = self.store.load_page::<Job>(&Job::running(&queue.name)).await?;
        Ok(QueueDepth {
            available: available.min(MOST_COUNTED),
            waiting: waiting.min(MOST_COUNTED),
            running: running.len(),
            oldest,
            queue,
        })
    }

    /// Stops or resumes the beginning of a queue's jobs. What runs goes on. A repeat call changes
    /// nothing and succeeds.
    pub async fn pause(
        &self,
        by: &Allowed<may::QueuesWrite>,
        name: &QueueName,
        pause: bool,
    ) -> Result<Queue, JobError> {
        let action = if pause { Action::queue_pause() } else { Action::queue_resume() };
        self.configure(by, name, action, |queue, now| {
            queue.paused_at = pause.then(|| queue.paused_at.unwrap_or(now));
        })
        .await
    }

    /// Bounds how many jobs of a queue run at once, over all workers; `None` for as many as they take.
    /// What runs already is not counted.
    pub async fn bound(
        &self,
        by: &Allowed<may::QueuesWrite>,
        name: &QueueName,
        most: Option<u32>,
    ) -> Result<Queue, JobError> {
        self.configure(by, name, Action::queue_bound(), |queue, _| queue.max_running = most).await
    }

    async fn configure(
        &self,
        by: &Allowed<may::QueuesWrite>,
        name: &QueueName,
        action: Action,
        change: impl Fn(&mut Queue, Timestamp),
    ) -> Result<Queue, JobError> {
        loop {
            let stored = self.stored_queue(name).await?;
            let expect = stored.as_ref().map_or(Expect::Absent, Stored::unchanged);
            let before = stored.map_or_else(|| Queue::new(name.clone()), |stored| stored.value);
            let (mut queue, now) = (before.clone(), self.clock.now());
            change(&mut queue, now);
            if queue == before {
                return Ok(queue);
            }
            let audit = Change::of_installation(action.clone(), format!("queue/{name}"), "");
            let writes = [queue.put(expect)?, audit.write(&Actor::from(by), now)?];
            self.foresee(name, now).await;
            if self.store.committed(&writes).await? {
                self.announce(name).await;
                return Ok(queue);
            }
        }
    }
}
