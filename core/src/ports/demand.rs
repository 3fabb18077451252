use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::Timestamp;
use crate::fleet::{ClaimId, Leased};
use crate::name::ModelName;
use crate::ports::StoreError;

/// What callers want of one model now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Requests that wait for a replica to become ready.
    pub held: u32,
    /// The newest sign that the model is wanted: a request, served or not, or one in progress.
    pub last_request_at: Option<Timestamp>,
    /// The newest arrival of a request, as far as is told; where routers stamp, of one that found
    /// no replica. Only an arrival undoes an operator's `down`, not a request that goes on.
    pub last_arrival_at: Option<Timestamp>,
    /// The last time that a request was in flight on a replica that is gone, as far as is known.
    pub last_used_before: Option<Timestamp>,
    /// What background work wants. Whoever reconciles reads it from the store.
    pub leased: Leased,
    /// Per ready or draining replica.
    pub replicas: BTreeMap<ClaimId, ReplicaDemand>,
}

/// The use of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaDemand {
    /// Requests it works on.
    pub running: u32,
    /// Requests it has queued.
    pub waiting: u32,
    /// The last time that a request was in flight on it.
    pub last_used_at: Option<Timestamp>,
}

impl Demand {
    /// Requests held, running and waiting, over all replicas.
    pub fn total(&self) -> u32 {
        self.replicas
            .values()
            .fold(self.held, |sum, replica| sum.saturating_add(replica.in_flight()))
    }

    /// When a request last arrived or was in flight, as far as is known.
    pub fn last_used_at(&self) -> Option<Timestamp> {
        let uses = self.replicas.values().filter_map(|replica| replica.last_used_at);
        uses.chain(self.last_request_at).chain(self.last_used_before).max()
    }

    /// The use of one replica; none is known of a replica that never had a request.
    pub fn of(&self, claim: &ClaimId) -> ReplicaDemand {
        self.replicas.get(claim).copied().unwrap_or_default()
    }
}

impl ReplicaDemand {
    /// Requests that it runs or has queued.
    pub fn in_flight(&self) -> u32 {
        self.running.saturating_add(self.waiting)
    }
}

/// Knows the demand for a model: counters in memory in `serve`, stamps and beats on AWS.
#[async_trait]
pub trait DemandSource: Send + Sync {
    /// The demand for `model` now; all zero for a model that nobody asked for. What cannot be
    /// read is an error: no demand would end every replica.
    async fn demand(&self, model: &ModelName) -> Result<Demand, StoreError>;
}
