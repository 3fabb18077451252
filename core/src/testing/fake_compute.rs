use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::Timestamp;
use crate::fleet::{ClaimId, InstanceId, LaunchToken, Rung};
use crate::name::ModelName;
use crate::ports::{
    Clock, ComputeBackend, ComputeError, Exit, Instance, InstanceState, LaunchError, LaunchRequest,
};

/// A cloud in memory: idempotent on tokens, short of capacity where told, and with a
/// [`describe`](ComputeBackend::describe) that lags behind as EC2's does.
pub struct FakeCompute {
    clock: Arc<dyn Clock>,
    settle: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    instances: BTreeMap<InstanceId, FakeInstance>,
    by_token: BTreeMap<LaunchToken, InstanceId>,
    /// Instance types that none is to be had of.
    exhausted: Vec<String>,
    next_id: u64,
}

/// An instance of [`FakeCompute`].
#[derive(Clone, Debug)]
pub struct FakeInstance {
    /// Its id.
    pub id: InstanceId,
    /// Its claim tag.
    pub claim: ClaimId,
    /// Its model tag.
    pub model: ModelName,
    /// Where it was launched.
    pub rung: Rung,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// When `describe` begins to list it.
    pub listed_from: Timestamp,
    /// When it ended, and how.
    pub ended: Option<(Timestamp, Option<Exit>)>,
    /// Until when `describe` goes on calling it running.
    pub running_until: Timestamp,
}

impl FakeInstance {
    /// Whether it costs money.
    pub fn is_alive(&self) -> bool {
        self.ended.is_none()
    }
}

impl FakeCompute {
    /// A cloud whose listings lag at most `settle` behind; exact where that is zero.
    pub fn new(clock: Arc<dyn Clock>, settle: Duration) -> Self {
        Self { clock, settle, inner: Mutex::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Of all instances there ever were, those that `wanted` picks.
    pub fn instances_where(&self, wanted: impl Fn(&FakeInstance) -> bool) -> Vec<FakeInstance> {
        self.with(|inner| {
            inner.instances.values().filter(|instance| wanted(instance)).cloned().collect()
        })
    }

    /// Lets an instance end by itself.
    pub fn end(&self, id: &InstanceId, exit: Option<Exit>) {
        let now = self.clock.now();
        let lag = self.settle / 4;
        self.with(|inner| {
            if let Some(instance) = inner.instances.get_mut(id)
                && instance.ended.is_none()
            {
                instance.ended = Some((now, exit));
                instance.running_until = now.saturating_add(lag).unwrap_or(Timestamp::MAX);
            }
        });
    }

    /// From now on there is no capacity of these instance types.
    pub fn exhaust(&self, instance_types: &[&str]) {
        let types = instance_types.iter().map(|name| (*name).to_owned()).collect();
        self.with(|inner| inner.exhausted = types);
    }
}

#[async_trait]
impl ComputeBackend for FakeCompute {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        let now = self.clock.now();
        self.with(|inner| {
            if let Some(id) = inner.by_token.get(&request.token) {
                let alive = inner.instances.get(id).is_some_and(FakeInstance::is_alive);
                return if alive { Ok(id.clone()) } else { Err(LaunchError::TokenSpent) };
            }
            if inner.exhausted.contains(&request.rung.instance_type) {
                let reason = format!("no {} is to be had", request.rung.instance_type);
                return Err(LaunchError::Capacity { reason });
            }
            inner.next_id += 1;
            let id = InstanceId::new(format!("i-{:08}", inner.next_id));
            // Half of the time that the port allows, so that tests see both sides of it.
            let lag = self.settle / 2;
            inner.instances.insert(
                id.clone(),
                FakeInstance {
                    id: id.clone(),
                    claim: request.claim.clone(),
                    model: request.model.clone(),
                    rung: request.rung.clone(),
                    launched_at: now,
                    listed_from: now.saturating_add(lag).unwrap_or(Timestamp::MAX),
                    ended: None,
                    running_until: Timestamp::MAX,
                },
            );
            inner.by_token.insert(request.token.clone(), id.clone());
            Ok(id)
        })
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        const REMEMBERED: Duration = Duration::from_hours(1);
        let now = self.clock.now();
        Ok(self.with(|inner| {
            inner
                .instances
                .values()
                .filter(|instance| instance.listed_from <= now)
                .filter(|instance| {
                    instance
                        .ended
                        .as_ref()
                        .is_none_or(|(at, _)| crate::fleet::eta::since(*at, now) < REMEMBERED)
                })
                .map(|instance| Instance {
                    id: instance.id.clone(),
                    claim: Some(instance.claim.clone()),
                    model: Some(instance.model.clone()),
                    state: match &instance.ended {
                        Some((_, exit)) if instance.running_until <= now => {
                            InstanceState::Terminated { exit: exit.clone() }
                        }
                        Some(_) | None => InstanceState::Running,
                    },
                    launched_at: Some(instance.launched_at),
                })
                .collect()
        }))
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        self.end(id, None);
        Ok(())
    }

    fn settle_time(&self) -> Duration {
        self.settle
    }
}
