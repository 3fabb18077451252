use std::time::Duration;

use crate::Timestamp;
use crate::fleet::{FailureKind, InvalidTransition, ModelView};
use crate::ports::{ComputeError, StoreError};

/// What a reconcile found and left behind.
#[derive(Debug)]
pub struct Outcome {
    /// The model as it stands now; `None` when it has no record.
    pub view: Option<ModelView>,
    /// When to look again though nothing happens.
    pub next_check: Option<Timestamp>,
    /// How many replicas the demand asks for.
    pub desired: u32,
    /// What happened in it, in this order.
    pub events: Vec<FleetEvent>,
    /// When the oldest of the model's instances that have not ended was launched, as the compute
    /// backend lists them; also one that no record knows.
    pub oldest_launch: Option<Timestamp>,
    /// What the backend refused to do; the rest was done.
    pub refused: Option<ReconcileError>,
}

/// What whoever watches a fleet wants to count. A reconcile that stops half-way tells of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetEvent {
    /// A replica became ready.
    Ready {
        /// The time since its claim.
        cold_start: Duration,
    },
    /// A scale-up came to nothing.
    LaunchFailed { kind: FailureKind },
    /// An instance is gone, and its slot is free.
    Freed,
}

/// Why a reconcile stopped half-way; the next one goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The store failed.
    #[error("the state of the fleet could not be read or written")]
    Store(#[from] StoreError),
    /// The backend failed. Everything stays as it is recorded.
    #[error("{}", match .0 {
        ComputeError::Denied { .. } => "the compute backend refused what the fleet needs",
        ComputeError::Transient { .. } => "the compute backend could not be asked",
    })]
    Compute(#[from] ComputeError),
    /// It took too long.
    #[error("reconciling did not finish within {}", crate::duration::format(*limit))]
    TimedOut { limit: Duration },
    /// A slot was asked for the impossible: a bug.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
}
