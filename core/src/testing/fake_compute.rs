use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::fleet::{ClaimId, InstanceId};
use crate::name::ModelName;
use crate::ports::{
    Clock, ComputeBackend, ComputeError, Exit, Instance, InstanceState, LaunchError, LaunchRequest,
};
use crate::testing::fake_cloud::{CloudInstance, FakeCloud, Lag, Order, Pool, Refusal, Shown};

/// A [`FakeCloud`] as a port: idempotent on tokens, short of capacity where told, and with a
/// [`describe`](ComputeBackend::describe) that lags behind as EC2's does.
pub struct FakeCompute {
    clock: Arc<dyn Clock>,
    settle: Duration,
    cloud: Mutex<FakeCloud<Tags>>,
}

/// The tags of a [`FakeInstance`].
#[derive(Clone, Debug)]
pub struct Tags {
    pub claim: ClaimId,
    pub model: ModelName,
}

/// An instance of [`FakeCompute`].
pub type FakeInstance = CloudInstance<Tags>;

impl FakeCompute {
    /// A cloud whose listings lag at most `settle` behind; exact where that is zero.
    pub fn new(clock: Arc<dyn Clock>, settle: Duration) -> Self {
        // Half of the time that the port allows, so that tests see both sides of it.
        let lag = Lag { listing: settle / 2, ending: settle / 4, shutdown: Duration::ZERO };
        Self { clock, settle, cloud: Mutex::new(FakeCloud::new(lag)) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut FakeCloud<Tags>) -> T) -> T {
        work(&mut self.cloud.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Of all instances there ever were, those that `wanted` picks.
    pub fn instances_where(&self, wanted: impl Fn(&FakeInstance) -> bool) -> Vec<FakeInstance> {
        self.with(|cloud| cloud.instances().filter(|one| wanted(one)).cloned().collect())
    }

    /// Lets an instance end by itself.
    pub fn end(&self, id: &InstanceId, exit: Option<Exit>) {
        let now = self.clock.now();
        self.with(|cloud| cloud.end(id, exit, now));
    }

    /// From now on, places with these labels have no capacity.
    pub fn exhaust(&self, labels: &[&str]) {
        let pools = labels.iter().map(|name| Pool::of_type(name)).collect();
        self.with(|cloud| cloud.exhaust(pools));
    }
}

#[async_trait]
impl ComputeBackend for FakeCompute {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        let now = self.clock.now();
        let order = Order {
            token: Some(request.token.as_str().to_owned()),
            fingerprint: format!("{request:?}"),
            place: request.rung.clone(),
            quota: (String::new(), 0),
            details: Tags { claim: request.claim.clone(), model: request.model.clone() },
        };
        let launched = self.with(|cloud| cloud.launch(order, now).map(|one| one.id.clone()));
        launched.map_err(|refusal| match refusal {
            Refusal::InstanceTerminated => LaunchError::TokenSpent,
            Refusal::NoCapacity => LaunchError::Capacity {
                reason: format!("no {} is to be had", request.rung.label()),
            },
            Refusal::QuotaExceeded { limit, .. } => {
                LaunchError::Quota { reason: format!("no more than {limit}") }
            }
            Refusal::ParameterMismatch => {
                unreachable!("two requests with one token differ: {request:?}")
            }
        })
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        let now = self.clock.now();
        let listed = |one: &FakeInstance| {
            let exit = || one.ended.as_ref().and_then(|(_, exit)| exit.clone());
            let state = match one.shown(now) {
                Shown::Hidden => return None,
                Shown::Running => InstanceState::Running,
                Shown::ShuttingDown => InstanceState::Stopping,
                Shown::Terminated => InstanceState::Terminated { exit: exit() },
            };
            Some(Instance {
                id: one.id.clone(),
                claim: Some(one.details.claim.clone()),
                model: Some(one.details.model.clone()),
                state,
                launched_at: Some(one.launched_at),
                addresses: Vec::new(),
            })
        };
        Ok(self.with(|cloud| cloud.instances().filter_map(listed).collect()))
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        self.end(id, None);
        Ok(())
    }

    fn settle_time(&self) -> Duration {
        self.settle
    }
}
