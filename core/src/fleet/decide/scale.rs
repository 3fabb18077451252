//! How many replicas there shall be.

use super::{Action, Decision, Situation};
use crate::Timestamp;
use crate::fleet::eta::{later, since};
use crate::fleet::{Control, DrainReason, ModelSpec, SlotEvent, SlotState};

/// How many replicas callers and operators ask for, within the model's bounds.
pub(super) fn desired(situation: &Situation<'_>) -> u32 {
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
    let wanted = requests.div_ceil(spec.requests_per_replica());
    let asked = situation.control.pinned
        || situation.demand.leased.until.is_some()
        || asked_until(situation, spec).is_some();
    let least = spec.min_replicas.max(u32::from(asked));
    wanted.max(least).min(spec.max_replicas)
}

/// Until when the model counts as asked for: by a caller, also one that was turned away and will
/// come back, or by an operator. A scale-up that failed since has answered them: one request must
/// not launch again and again.
fn asked_until(situation: &Situation<'_>, spec: &ModelSpec) -> Option<Timestamp> {
    let failed_at = situation.control.failure.as_ref().map(|failure| failure.at);
    [situation.demand.last_request_at, situation.control.up_at]
        .into_iter()
        .flatten()
        .filter(|at| {
            since(*at, situation.now) < spec.idle_timeout
                && failed_at.is_none_or(|failed| failed < *at)
        })
        .max()
        .map(|at| later(at, spec.idle_timeout))
}

/// Whether the last word was an operator's `down`.
fn held_down(situation: &Situation<'_>) -> bool {
    let Control { up_at, down_at, pinned, .. } = situation.control;
    down_at.is_some_and(|down_at| {
        !pinned
            && up_at.is_none_or(|up_at| up_at < down_at)
            && situation.demand.last_arrival_at.is_none_or(|arrival| arrival <= down_at)
    })
}

pub(super) fn scale_in(situation: &Situation<'_>, live: &mut u32, decision: &mut Decision) {
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
        if moved {
            continue;
        }
        let use_of_it = situation.demand.of(&slot.claim);
        let last_use = if use_of_it.in_flight() > 0 {
            // Nobody tells when a request ends; idle it is this much later at the earliest.
            situation.now
        } else {
            // One that background work has had is not kept for callers that never came.
            let was_leased = situation.demand.leased.last_at.is_some_and(|at| at >= *ready_at);
            let began = if was_leased { Timestamp::MIN } else { *ready_at };
            [use_of_it.last_used_at, situation.control.up_at]
                .into_iter()
                .flatten()
                .fold(began, Timestamp::max)
        };
        if since(last_use, situation.now) < model.spec.idle_timeout {
            decision.look_again(later(last_use, model.spec.idle_timeout));
        } else if *live > decision.desired {
            let event = SlotEvent::Drain(DrainReason::Idle);
            decision.act(Action::Move { index: slot.index, event });
            *live -= 1;
        } else {
            let asked = asked_until(situation, &model.spec);
            let until = asked.into_iter().chain(situation.demand.leased.until).max();
            if let Some(until) = until {
                decision.look_again(until);
            }
        }
    }
}

pub(super) fn scale_out(situation: &Situation<'_>, live: u32, decision: &mut Decision) {
    let Some(model) = situation.model else { return };
    let mut missing = decision.desired.saturating_sub(live);
    if missing == 0 {
        return;
    }
    if let Some(failure) = situation.control.backing_off(&model.spec.launch_hash(), situation.now) {
        decision.notes.push("backing off after a failed scale-up");
        decision.look_again(failure.until);
        return;
    }
    let failing = decision.actions.iter().any(|action| matches!(action, Action::Fail { .. }));
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
