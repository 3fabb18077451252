//! The fleet: models, their slots, and what keeps both as they should be.
//!
//! A model has slots `0..max_replicas`. A slot's record is claimed by a conditional write, so of
//! many concurrent scale-ups exactly one launches, and the cap holds without a lock.
//! [`decide`](decide::decide) is pure; [`Reconciler`] reads, decides, writes the intent and acts.

mod beat;
mod beat_logs;
mod control;
mod cost;
pub mod decide;
mod env;
pub mod eta;
mod held;
pub(crate) mod ids;
mod invocation;
mod lease;
mod model;
mod name_claim;
pub mod phase;
mod placement;
mod port;
mod reader;
mod reconcile;
mod registry;
mod serving;
mod slot;
mod stamp;
mod stored_demand;
mod use_lease;
mod view;

pub use beat::{Beat, BeatStatus, Load, MAX_LOG_LINES};
pub use beat_logs::BeatLogs;
pub use control::{Control, Failure, FailureKind, PreferredRung};
pub use cost::{InstanceDay, InstanceTime};
pub use env::{Env, EnvValue};
pub use eta::{BootHistory, PhaseTimes};
pub use held::HeldCounter;
pub use ids::{ClaimId, DeploymentId, InstanceId, LaunchToken};
pub use invocation::{Invocation, Secrets, Uninvocable};
pub use lease::Lease;
pub use model::{Engine, Model, ModelSpec, Source, SpecError, SpecHash};
pub use name_claim::{NameClaim, NameHolder};
pub(crate) use name_claim::{RouteName, name_for_route, owner_of, release_by_route};
pub use phase::Phase;
pub use placement::{InvalidPrice, Placement, Price};
pub use reader::read_view;
pub use reconcile::{
    AgentRules, FleetEvent, Outcome, ReconcileError, Reconciled, Reconciler, Retire, Round,
};
pub use registry::{Order, Registry, RegistryError, SpecRule};
pub use serving::{Affinity, ColdStart, ResponsesApi};
pub use slot::{DrainReason, EndReason, InvalidTransition, Launch, Slot, SlotEvent, SlotState};
pub use stamp::UseStamp;
pub use stored_demand::StoredDemand;
pub use use_lease::{Leased, UseLease};
pub use view::{ModelView, Progress, ReplicaView, SlotView, Standing};
