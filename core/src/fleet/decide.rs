//! The decision: what to do about one model, given all that is known of it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Timestamp;
use crate::fleet::eta::since;
use crate::fleet::{
    Beat, BeatStatus, ClaimId, Control, DrainReason, EndReason, FailureKind, InstanceId, Model,
    ModelSpec, Slot, SlotEvent, SlotState, SpecHash,
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
    /// The reports from beside the inference servers.
    pub beats: &'a BTreeMap<ClaimId, Beat>,
    /// What callers want.
    pub demand: &'a Demand,
    /// The time.
    pub now: Timestamp,
    /// [`ComputeBackend::settle_time`](crate::ports::ComputeBackend::settle_time).
    pub settle: Duration,
    /// How long a router may still send to a replica that it has not seen draining.
    pub router_lag: Duration,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a free slot.
    Claim {
        /// Which.
        index: u32,
    },
    /// Ask the backend for the instance of a slot that is launching.
    Launch {
        /// Of which slot.
        index: u32,
    },
    /// Write the slot after an event.
    Move {
        /// Of which slot.
        index: u32,
        /// What happened to it.
        event: SlotEvent,
    },
    /// End a claim that never served, and back off.
    Fail {
        /// Of which slot.
        index: u32,
        /// What kind of failure it is.
        kind: FailureKind,
        /// What to tell callers.
        reason: String,
        /// Why the claim ends.
        end: EndReason,
    },
    /// Ask the backend to end an instance of a terminating slot.
    Terminate {
        /// Which.
        instance: InstanceId,
    },
    /// Remove the record of a slot whose instance is gone.
    Free {
        /// Of which slot.
        index: u32,
    },
    /// Ask the backend to end an instance that no record owns.
    TerminateOrphan {
        /// Which.
        instance: InstanceId,
    },
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
    let mut decision = Decision {
        desired: desired(situation),
        ..Decision::default()
    };
    let mut live = 0;
    for slot in situation.slots {
        if tend(situation, slot, &mut decision) {
            live += 1;
        }
    }
    scale_in(situation, &mut live, &mut decision);
    scale_out(situation, live, &mut decision);
    end_orphans(situation, &mut decision);
    let deleted = situation
        .model
        .is_some_and(|model| model.deleted_at.is_some());
    if deleted && situation.slots.is_empty() && decision.actions.is_empty() {
        decision.act(Action::ForgetModel);
    }
    decision
}

/// How many replicas callers and operators ask for, within the model's bounds.
fn desired(situation: &Situation<'_>) -> u32 {
    let Some(model) = situation.model else {
        return 0;
    };
    if model.deleted_at.is_some() || held_down(situation) {
        return 0;
    }
    let spec = &model.spec;
    // What a draining replica still works on needs no other replica.
    let live = situation.slots.iter().filter(|slot| slot.is_live());
    let in_flight = live.map(|slot| situation.demand.of(&slot.claim).in_flight());
    let requests = in_flight.fold(situation.demand.held, u32::saturating_add);
    let wanted = requests.div_ceil(spec.target_concurrency.max(1));
    let least = spec.min_replicas.max(u32::from(
        situation.control.pinned || asked_for(situation, spec),
    ));
    wanted.max(least).min(spec.max_replicas)
}

/// Whether somebody asked for the model lately: a caller, also one that was turned away and will
/// come back, or an operator. A scale-up that failed since has answered them: one request must
/// not launch again and again.
fn asked_for(situation: &Situation<'_>, spec: &ModelSpec) -> bool {
    let failed_at = situation.control.failure.as_ref().map(|failure| failure.at);
    [situation.demand.last_request_at, situation.control.up_at]
        .into_iter()
        .flatten()
        .any(|at| {
            since(at, situation.now) < spec.idle_timeout
                && failed_at.is_none_or(|failed| failed < at)
        })
}

/// Whether the last word was an operator's `down`.
fn held_down(situation: &Situation<'_>) -> bool {
    let Control {
        up_at,
        down_at,
        pinned,
        ..
    } = situation.control;
    down_at.is_some_and(|down_at| {
        !pinned
            && up_at.is_none_or(|up_at| up_at < down_at)
            && situation
                .demand
                .last_request_at
                .is_none_or(|request| request <= down_at)
    })
}

/// Why a slot must not go on serving, apart from idleness.
fn unwanted(situation: &Situation<'_>, slot: &Slot) -> Option<DrainReason> {
    let max = situation.model.map_or(0, Model::max_replicas);
    if slot.index >= max {
        return Some(DrainReason::AboveCap);
    }
    if situation
        .control
        .down_at
        .is_some_and(|down_at| slot.claimed_at <= down_at)
    {
        return Some(DrainReason::Down);
    }
    if situation
        .model
        .is_some_and(|model| model.spec.hash() != slot.launch.spec)
    {
        return Some(DrainReason::SpecChanged);
    }
    if let Some(BeatStatus::Interrupted { .. }) = beat(situation, slot) {
        return Some(DrainReason::Interrupted);
    }
    None
}

fn beat<'a>(situation: &Situation<'a>, slot: &Slot) -> Option<&'a BeatStatus> {
    situation.beats.get(&slot.claim).map(|beat| &beat.status)
}

/// How the backend sees the instance of a slot.
enum Sight<'a> {
    Alive,
    Ended(&'a InstanceState),
    /// Missing, and too young for that to mean anything.
    Unsettled,
    Missing,
}

fn sight<'a>(
    situation: &Situation<'a>,
    instance: &InstanceId,
    missing_counts_from: Timestamp,
) -> Sight<'a> {
    match situation.observed.iter().find(|seen| seen.id == *instance) {
        Some(Instance {
            state: ended @ InstanceState::Terminated { .. },
            ..
        }) => Sight::Ended(ended),
        Some(Instance {
            state: InstanceState::Running | InstanceState::Stopping,
            ..
        }) => Sight::Alive,
        // Strictly older than the listing: one launched while it ran is not in it.
        None if missing_counts_from < situation.observed_at
            && since(missing_counts_from, situation.observed_at) >= situation.settle =>
        {
            Sight::Missing
        }
        None => Sight::Unsettled,
    }
}

/// Decides about one slot; returns whether it goes on counting against the demand.
fn tend(situation: &Situation<'_>, slot: &Slot, decision: &mut Decision) -> bool {
    let index = slot.index;
    match &slot.state {
        SlotState::Launching => tend_launching(situation, slot, decision),
        SlotState::Booting {
            instance,
            launched_at,
            phase,
        } => {
            let seen = sight(situation, instance, *launched_at);
            tend_booting(situation, slot, *phase, &seen, decision)
        }
        SlotState::Ready { instance, .. } => {
            let seen = sight(situation, instance, slot.launched_at());
            tend_ready(situation, slot, &seen, decision)
        }
        SlotState::Draining {
            instance,
            since: began,
            reason,
            ..
        } => {
            let timeout = situation
                .model
                .map_or(Duration::ZERO, |model| model.spec.drain_timeout);
            let drained = since(*began, situation.now) >= situation.router_lag
                && situation.demand.of(&slot.claim).in_flight() == 0;
            let end = match sight(situation, instance, slot.launched_at()) {
                Sight::Ended(state) => Some(exited(state)),
                Sight::Missing => Some(EndReason::Lost),
                Sight::Alive | Sight::Unsettled => {
                    let hung = matches!(beat(situation, slot), Some(BeatStatus::Unhealthy { .. }));
                    let over = hung || since(*began, situation.now) >= timeout;
                    (drained || over).then_some(EndReason::Drained(*reason))
                }
            };
            match end {
                Some(end) => decision.act(Action::Move {
                    index,
                    event: SlotEvent::End(end),
                }),
                None => decision.look_again(
                    later(*began, timeout).min(later(situation.now, Duration::from_secs(1))),
                ),
            }
            false
        }
        SlotState::Terminating {
            instance,
            since: began,
            ..
        } => {
            tend_terminating(situation, slot, instance.as_ref(), *began, decision);
            false
        }
    }
}

fn tend_launching(situation: &Situation<'_>, slot: &Slot, decision: &mut Decision) -> bool {
    let index = slot.index;
    if let Some(reason) = unwanted(situation, slot) {
        let event = SlotEvent::End(EndReason::Cancelled(reason));
        decision.act(Action::Move { index, event });
        return false;
    }
    let timeout = situation
        .model
        .map_or(Duration::ZERO, |model| model.spec.boot_timeout);
    if since(slot.claimed_at, situation.now) >= timeout {
        decision.act(Action::Fail {
            index,
            kind: FailureKind::Unavailable,
            reason: "the compute backend did not confirm a launch in time".into(),
            end: EndReason::LaunchFailed,
        });
        return false;
    }
    decision.act(Action::Launch { index });
    decision.look_again(later(slot.claimed_at, timeout));
    true
}

fn tend_booting(
    situation: &Situation<'_>,
    slot: &Slot,
    phase: crate::fleet::Phase,
    seen: &Sight<'_>,
    decision: &mut Decision,
) -> bool {
    let index = slot.index;
    let fail = |kind, reason, end| Action::Fail {
        index,
        kind,
        reason,
        end,
    };
    match seen {
        Sight::Ended(state) => {
            let reason = match state {
                InstanceState::Terminated { exit: Some(exit) } => {
                    format!("the inference server {exit} while it booted")
                }
                _ => "the instance ended while it booted".into(),
            };
            decision.act(fail(FailureKind::Exited, reason, exited(state)));
            return false;
        }
        Sight::Missing => {
            let reason = "the instance vanished while it booted".into();
            decision.act(fail(FailureKind::Exited, reason, EndReason::Lost));
            return false;
        }
        Sight::Alive | Sight::Unsettled => {}
    }
    if let Some(reason) = unwanted(situation, slot) {
        let event = SlotEvent::End(EndReason::Cancelled(reason));
        decision.act(Action::Move { index, event });
        return false;
    }
    let timeout = situation
        .model
        .map_or(Duration::ZERO, |model| model.spec.boot_timeout);
    let deadline = later(slot.launched_at(), timeout);
    match beat(situation, slot) {
        Some(BeatStatus::Ready { base_url }) => {
            let event = SlotEvent::Ready(base_url.clone());
            decision.act(Action::Move { index, event });
            return true;
        }
        _ if situation.now >= deadline => {
            let after = crate::duration::format(timeout);
            let reason = format!("it was not ready {after} after its launch");
            decision.act(fail(
                FailureKind::BootTimeout,
                reason,
                EndReason::BootTimeout,
            ));
            return false;
        }
        Some(BeatStatus::Booting { phase: reached }) if *reached > phase => {
            let event = SlotEvent::Phase(*reached);
            decision.act(Action::Move { index, event });
        }
        Some(
            BeatStatus::Booting { .. }
            | BeatStatus::Unhealthy { .. }
            | BeatStatus::Interrupted { .. },
        )
        | None => {}
    }
    decision.look_again(deadline);
    true
}

fn tend_ready(
    situation: &Situation<'_>,
    slot: &Slot,
    seen: &Sight<'_>,
    decision: &mut Decision,
) -> bool {
    let index = slot.index;
    let end = match (seen, beat(situation, slot)) {
        (Sight::Ended(state), _) => Some(exited(state)),
        (Sight::Missing, _) => Some(EndReason::Lost),
        (Sight::Alive | Sight::Unsettled, Some(BeatStatus::Unhealthy { .. })) => {
            Some(EndReason::Unhealthy)
        }
        (Sight::Alive | Sight::Unsettled, _) => None,
    };
    if let Some(end) = end {
        decision.act(Action::Move {
            index,
            event: SlotEvent::End(end),
        });
        return false;
    }
    let lifetime = situation.model.and_then(|model| model.spec.max_lifetime);
    let expired = lifetime.is_some_and(|most| since(slot.claimed_at, situation.now) >= most);
    let reason = unwanted(situation, slot).or(expired.then_some(DrainReason::Lifetime));
    if let Some(reason) = reason {
        decision.act(Action::Move {
            index,
            event: SlotEvent::Drain(reason),
        });
        return false;
    }
    if let Some(most) = lifetime {
        decision.look_again(later(slot.claimed_at, most));
    }
    true
}

fn tend_terminating(
    situation: &Situation<'_>,
    slot: &Slot,
    instance: Option<&InstanceId>,
    began: Timestamp,
    decision: &mut Decision,
) {
    let mut alive = false;
    for seen in situation.observed {
        let ours = instance == Some(&seen.id) || seen.claim.as_ref() == Some(&slot.claim);
        if ours {
            // Also of an ended one: it lets the backend forget it.
            decision.act(Action::Terminate {
                instance: seen.id.clone(),
            });
            alive |= !matches!(seen.state, InstanceState::Terminated { .. });
        }
    }
    let listed = situation
        .observed
        .iter()
        .any(|seen| instance == Some(&seen.id));
    let settled = listed
        || (began < situation.observed_at
            && since(began, situation.observed_at) >= situation.settle);
    if !alive && settled {
        decision.act(Action::Free { index: slot.index });
        return;
    }
    if let Some(instance) = instance.filter(|_| !listed) {
        decision.act(Action::Terminate {
            instance: instance.clone(),
        });
    }
    decision.look_again(later(situation.now, Duration::from_secs(1)));
}

fn exited(state: &InstanceState) -> EndReason {
    match state {
        InstanceState::Terminated { exit } => EndReason::Exited(exit.clone()),
        InstanceState::Running | InstanceState::Stopping => EndReason::Lost,
    }
}

fn scale_in(situation: &Situation<'_>, live: &mut u32, decision: &mut Decision) {
    let Some(model) = situation.model else { return };
    // The newest slots go first: routing fills the oldest first.
    for slot in situation.slots.iter().rev() {
        let SlotState::Ready { ready_at, .. } = &slot.state else {
            continue;
        };
        let moved = decision
            .actions
            .iter()
            .any(|action| matches!(action, Action::Move { index, .. } if *index == slot.index));
        let use_of_it = situation.demand.of(&slot.claim);
        if moved || use_of_it.in_flight() > 0 || *live <= decision.desired {
            continue;
        }
        let last_use = [use_of_it.last_used_at, situation.control.up_at]
            .into_iter()
            .flatten()
            .fold(*ready_at, Timestamp::max);
        if since(last_use, situation.now) >= model.spec.idle_timeout {
            let event = SlotEvent::Drain(DrainReason::Idle);
            decision.act(Action::Move {
                index: slot.index,
                event,
            });
            *live -= 1;
        } else {
            decision.look_again(later(last_use, model.spec.idle_timeout));
        }
    }
}

fn scale_out(situation: &Situation<'_>, live: u32, decision: &mut Decision) {
    let Some(model) = situation.model else { return };
    let mut missing = decision.desired.saturating_sub(live);
    if missing == 0 {
        return;
    }
    if let Some(failure) = situation
        .control
        .backing_off(&model.spec.hash(), situation.now)
    {
        decision.notes.push("backing off after a failed scale-up");
        decision.look_again(failure.until);
        return;
    }
    let failing = decision
        .actions
        .iter()
        .any(|action| matches!(action, Action::Fail { .. }));
    if failing {
        decision.notes.push("a scale-up has just failed");
        return;
    }
    for index in 0..model.max_replicas() {
        if missing == 0 {
            return;
        }
        if situation.slots.iter().all(|slot| slot.index != index) {
            decision.act(Action::Claim { index });
            missing -= 1;
        }
    }
    if missing > 0 {
        decision.notes.push("every slot is taken");
    }
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
        let asked = decision.actions.contains(&Action::Terminate {
            instance: seen.id.clone(),
        });
        let ended = matches!(seen.state, InstanceState::Terminated { .. });
        if !owned && !asked && !ended {
            decision.act(Action::TerminateOrphan {
                instance: seen.id.clone(),
            });
        }
    }
}

/// `from` plus `duration`, or the end of time.
fn later(from: Timestamp, duration: Duration) -> Timestamp {
    from.checked_add(duration).unwrap_or(Timestamp::MAX)
}
