//! The decision: what to do about one model, given all that is known of it. Pure.

mod scale;
mod tend;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Timestamp;
use crate::fleet::{
    AgentRules, Beat, ClaimId, Control, EndReason, FailureKind, InstanceId, Model, Slot, SlotEvent,
    SlotState, SpecHash,
};
use crate::ports::{Demand, Instance, InstanceState};

/// All that is known of one model.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The model; `None` when its record is gone.
    pub model: Option<&'a Model>,
    /// The hash of the model's spec.
    pub spec: Option<&'a SpecHash>,
    /// What operators and past failures say.
    pub control: &'a Control,
    /// The taken slots, read after `observed`.
    pub slots: &'a [Slot],
    /// The instances that carry the model's tag or the claim of one of its slots.
    pub observed: &'a [Instance],
    /// When the listing of `observed` was begun.
    pub observed_at: Timestamp,
    /// The instance that the provider has just said it takes back, if this is about one.
    pub interrupted: Option<&'a InstanceId>,
    /// The reports from beside the inference servers.
    pub beats: &'a BTreeMap<ClaimId, Beat>,
    /// What callers want.
    pub demand: &'a Demand,
    pub now: Timestamp,
    /// [`ComputeBackend::settle_time`](crate::ports::ComputeBackend::settle_time).
    pub settle: Duration,
    /// How long a router may still send to a replica that it has not seen draining.
    pub router_lag: Duration,
    /// [`Reconciler::launch_patience`](crate::fleet::Reconciler::launch_patience).
    pub launch_patience: Duration,
    /// The claims that this reconciler launches for by itself: nobody else is waited for.
    pub own: &'a BTreeSet<ClaimId>,
    /// The claims whose draining no router can have seen yet, however long ago it began.
    pub unpublished: &'a BTreeSet<ClaimId>,
    /// [`Reconciler::agents`](crate::fleet::Reconciler::agents).
    pub agents: Option<AgentRules>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a free slot.
    Claim { index: u32 },
    /// Ask the backend for the instance of a slot that is launching.
    Launch { index: u32 },
    /// Write the slot after an event.
    Move { index: u32, event: SlotEvent },
    /// End a claim that never served, and back off.
    Fail { index: u32, kind: FailureKind, reason: String, end: EndReason },
    /// Ask the backend to end an instance of a terminating slot.
    Terminate { instance: InstanceId },
    /// Remove the record of a slot whose instance is gone.
    Free { index: u32 },
    /// Ask the backend to end an instance that no record owns.
    TerminateOrphan { instance: InstanceId },
    /// Remove the records of a deleted model that has nothing left.
    ForgetModel,
}

/// What to do, and when to look again though nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// In the order in which to do it.
    pub actions: Vec<Action>,
    /// The next time at which the passing of time alone changes the decision.
    pub next_check: Option<Timestamp>,
    /// How many replicas the demand asks for.
    pub desired: u32,
    /// Why nothing more is done, for the log.
    pub notes: Vec<&'static str>,
}

impl Decision {
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn look_again(&mut self, at: Timestamp) {
        self.next_check = Some(self.next_check.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Decides what to do about one model.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let mut decision = Decision { desired: scale::desired(situation), ..Decision::default() };
    let mut live = 0;
    for slot in situation.slots {
        if tend::tend(situation, slot, &mut decision) {
            live += 1;
        }
    }
    scale::scale_in(situation, &mut live, &mut decision);
    scale::scale_out(situation, live, &mut decision);
    end_orphans(situation, &mut decision);
    let deleted = situation.model.is_some_and(|model| model.deleted_at.is_some());
    if deleted && situation.slots.is_empty() && decision.actions.is_empty() {
        decision.act(Action::ForgetModel);
    }
    decision
}

fn end_orphans(situation: &Situation<'_>, decision: &mut Decision) {
    for seen in situation.observed {
        let owned = situation.slots.iter().any(|slot| {
            let of_claim = seen.claim.as_ref() == Some(&slot.claim);
            match (slot.instance(), &slot.state) {
                // A second instance of one claim is nobody's.
                (Some(instance), _) => *instance == seen.id,
                (None, SlotState::Launching | SlotState::Terminating { .. }) => of_claim,
                (None, _) => false,
            }
        });
        let asked = decision.actions.contains(&Action::Terminate { instance: seen.id.clone() });
        let ended = matches!(seen.state, InstanceState::Terminated { .. });
        if !owned && !asked && !ended {
            decision.act(Action::TerminateOrphan { instance: seen.id.clone() });
        }
    }
}
