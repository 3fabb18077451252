//! What a slot needs, apart from how many of them there shall be.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Action, Decision, Situation};
use crate::Timestamp;
use crate::fleet::eta::{later, since};
use crate::fleet::{
    AgentRules, BeatStatus, DrainReason, EndReason, FailureKind, InstanceId, Model, Phase, Slot,
    SlotEvent, SlotState,
};
use crate::ports::{Instance, InstanceState};

/// Decides about one slot; returns whether it goes on counting against the demand.
pub(super) fn tend(situation: &Situation<'_>, slot: &Slot, decision: &mut Decision) -> bool {
    match &slot.state {
        SlotState::Launching => tend_launching(situation, slot, decision),
        SlotState::Booting { instance, launched_at, phase } => {
            let seen = sight(situation, instance, *launched_at);
            tend_booting(situation, slot, *phase, &seen, decision)
        }
        SlotState::Ready { instance, .. } => {
            let seen = sight(situation, instance, slot.launched_at());
            tend_ready(situation, slot, &seen, decision)
        }
        SlotState::Draining { instance, since: began, reason, .. } => {
            tend_draining(situation, slot, instance, (*began, *reason), decision);
            false
        }
        SlotState::Terminating { instance, since: began, reason } => {
            // Nothing was launched, so there is nothing whose listing could lag.
            let refused = instance.is_none() && *reason == EndReason::LaunchFailed;
            tend_terminating(situation, slot, instance.as_ref(), *began, refused, decision);
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
    let timeout = situation.model.map_or(Duration::ZERO, |model| model.spec.boot_timeout);
    if since(slot.claimed_at, situation.now) >= timeout {
        decision.act(Action::Fail {
            index,
            kind: FailureKind::Unavailable,
            reason: "the compute backend did not confirm a launch in time".into(),
            end: EndReason::LaunchUnconfirmed,
        });
        return false;
    }
    let taken_over_at = later(slot.launch.asked_at, situation.launch_patience);
    if situation.own.contains(&slot.claim) || situation.now >= taken_over_at {
        decision.act(Action::Launch { index });
        decision.look_again(later(slot.claimed_at, timeout));
    } else {
        decision.look_again(taken_over_at);
    }
    true
}

fn tend_booting(
    situation: &Situation<'_>,
    slot: &Slot,
    phase: Phase,
    seen: &Sight<'_>,
    decision: &mut Decision,
) -> bool {
    let index = slot.index;
    let fail = |kind, reason, end| Action::Fail { index, kind, reason, end };
    match seen {
        Sight::Ended(state) => {
            let reason = match state {
                // As its beat says it, whichever is heard first.
                InstanceState::Terminated { exit: Some(exit) } => {
                    format!("the inference server {exit}")
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
    let timeout = situation.model.map_or(Duration::ZERO, |model| model.spec.boot_timeout);
    let deadline = later(slot.launched_at(), timeout);
    match beat(situation, slot) {
        Some(BeatStatus::Ready { base_url }) => match whose(situation, slot, base_url) {
            Whose::Own => {
                let event = SlotEvent::Ready(base_url.clone());
                decision.act(Action::Move { index, event });
                return true;
            }
            Whose::Foreign => {
                let reason =
                    format!("it reported the URL {base_url}, which is not one of its addresses");
                decision.act(fail(FailureKind::Exited, reason, EndReason::Unhealthy));
                return false;
            }
            Whose::Unlisted if situation.now < deadline => {
                decision.notes.push("the addresses of a replica are not listed yet");
                decision.look_again(later(situation.now, Duration::from_secs(1)));
                return true;
            }
            Whose::Unlisted => {
                let reason = "the compute backend did not list its addresses in time".into();
                decision.act(fail(FailureKind::Unavailable, reason, EndReason::BootTimeout));
                return false;
            }
        },
        _ if situation.now >= deadline => {
            let after = crate::duration::format(timeout);
            let reason = format!("it was not ready {after} after its launch");
            decision.act(fail(FailureKind::BootTimeout, reason, EndReason::BootTimeout));
            return false;
        }
        // An agent says so of a server that has ended; its instance lives on for a while.
        Some(BeatStatus::Unhealthy { reason }) => {
            decision.act(fail(FailureKind::Exited, reason.clone(), EndReason::Exited(None)));
            return false;
        }
        Some(BeatStatus::Booting { phase: reached }) if *reached > phase => {
            let event = SlotEvent::Phase(*reached);
            decision.act(Action::Move { index, event });
        }
        Some(BeatStatus::Booting { .. } | BeatStatus::Interrupted { .. }) | None => {}
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
        (Sight::Alive | Sight::Unsettled, None) if is_silent(situation, slot) => {
            Some(EndReason::Silent)
        }
        (Sight::Alive | Sight::Unsettled, _) => None,
    };
    if let Some(end) = end {
        decision.act(Action::Move { index, event: SlotEvent::End(end) });
        return false;
    }
    let of_model = situation.model.and_then(|model| model.spec.max_lifetime);
    let of_all = situation.agents.map(|agents| agents.max_lifetime);
    let lifetime = of_model.into_iter().chain(of_all).min();
    let expired = lifetime.is_some_and(|most| since(slot.claimed_at, situation.now) >= most);
    let reason = unwanted(situation, slot).or(expired.then_some(DrainReason::Lifetime));
    if let Some(reason) = reason {
        decision.act(Action::Move { index, event: SlotEvent::Drain(reason) });
        return false;
    }
    if let Some(most) = lifetime {
        decision.look_again(later(slot.claimed_at, most));
    }
    true
}

fn tend_draining(
    situation: &Situation<'_>,
    slot: &Slot,
    instance: &InstanceId,
    (began, reason): (Timestamp, DrainReason),
    decision: &mut Decision,
) {
    let timeout = situation.model.map_or(Duration::ZERO, |model| model.spec.drain_timeout);
    let known_at = later(began, situation.router_lag);
    // Until then a router may send it a request, which its end would break.
    let known = situation.now >= known_at && !situation.unpublished.contains(&slot.claim);
    let end = match sight(situation, instance, slot.launched_at()) {
        Sight::Ended(state) => Some(exited(state)),
        Sight::Missing => Some(EndReason::Lost),
        Sight::Alive | Sight::Unsettled => {
            let hung = matches!(beat(situation, slot), Some(BeatStatus::Unhealthy { .. }));
            let unused = situation.demand.of(&slot.claim).in_flight() == 0;
            let over = since(began, situation.now) >= timeout;
            (hung || (known && (unused || over))).then_some(EndReason::Drained(reason))
        }
    };
    if let Some(end) = end {
        decision.act(Action::Move { index: slot.index, event: SlotEvent::End(end) });
    } else if known {
        let soon = later(situation.now, Duration::from_secs(1));
        decision.look_again(later(began, timeout).min(soon));
    } else {
        decision.look_again(known_at.max(situation.now));
    }
}

fn tend_terminating(
    situation: &Situation<'_>,
    slot: &Slot,
    instance: Option<&InstanceId>,
    began: Timestamp,
    refused: bool,
    decision: &mut Decision,
) {
    let mut alive = false;
    for seen in situation.observed {
        let ours = instance == Some(&seen.id) || seen.claim.as_ref() == Some(&slot.claim);
        if ours {
            // Also of an ended one: it lets the backend forget it.
            decision.act(Action::Terminate { instance: seen.id.clone() });
            alive |= !matches!(seen.state, InstanceState::Terminated { .. });
        }
    }
    let listed = situation.observed.iter().any(|seen| instance == Some(&seen.id));
    let settled = listed
        || refused
        || (began < situation.observed_at
            && since(began, situation.observed_at) >= situation.settle);
    if !alive && settled {
        decision.act(Action::Free { index: slot.index });
        return;
    }
    if let Some(instance) = instance.filter(|_| !listed) {
        decision.act(Action::Terminate { instance: instance.clone() });
    }
    decision.look_again(later(situation.now, Duration::from_secs(1)));
}

/// Why a slot must not go on serving, apart from idleness.
fn unwanted(situation: &Situation<'_>, slot: &Slot) -> Option<DrainReason> {
    let max = situation.model.map_or(0, Model::max_replicas);
    if slot.index >= max {
        return Some(DrainReason::AboveCap);
    }
    if situation.control.down_at.is_some_and(|down_at| slot.claimed_at <= down_at) {
        return Some(DrainReason::Down);
    }
    if situation.spec.is_some_and(|spec| *spec != slot.launch.spec) {
        return Some(DrainReason::SpecChanged);
    }
    let told = situation.interrupted.is_some_and(|instance| slot.instance() == Some(instance));
    let reported = matches!(beat(situation, slot), Some(BeatStatus::Interrupted { .. }));
    (told || reported).then_some(DrainReason::Interrupted)
}

/// The newest report on the slot's instance. A claim can have had another instance before: what
/// its agent still says counts for nothing.
fn beat<'a>(situation: &Situation<'a>, slot: &Slot) -> Option<&'a BeatStatus> {
    let beat = situation.beats.get(&slot.claim)?;
    let stranger = match (&beat.instance, slot.instance()) {
        (Some(reporter), Some(instance)) => reporter != instance,
        _ => false,
    };
    (!stranger).then_some(&beat.status)
}

/// Whose address a base URL names.
enum Whose {
    Own,
    Foreign,
    /// The backend has not listed the instance's addresses yet.
    Unlisted,
}

/// Whether a base URL is one of the slot's instance. Whoever breaks into an inference server can
/// write its beats: they must not lead requests, and the upstream key with them, to anybody else.
/// So where agents report, a URL counts only once the backend has listed the address. Where the
/// backend itself reports, it lists none.
fn whose(situation: &Situation<'_>, slot: &Slot, base_url: &str) -> Whose {
    let seen = situation.observed.iter().find(|seen| Some(&seen.id) == slot.instance());
    let addresses = seen.map_or(&[][..], |seen| &seen.addresses);
    let authority = base_url.strip_prefix("http://");
    let address = authority.and_then(|authority| authority.parse::<SocketAddr>().ok());
    match address {
        _ if addresses.is_empty() && situation.agents.is_none() => Whose::Own,
        _ if addresses.is_empty() => Whose::Unlisted,
        Some(address) if addresses.contains(&address.ip()) => Whose::Own,
        Some(_) | None => Whose::Foreign,
    }
}

/// Whether a replica whose agent should report has not been heard of for too long.
fn is_silent(situation: &Situation<'_>, slot: &Slot) -> bool {
    let ready_at = slot.phases.began(Phase::Ready).unwrap_or(slot.claimed_at);
    situation.agents.is_some() && since(ready_at, situation.now) >= AgentRules::SILENCE
}

/// How the backend sees the instance of a slot.
enum Sight<'a> {
    Alive,
    /// Ended, or on its way there.
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
        // One on its way out serves nobody any more, and one that somebody stopped never comes
        // back by itself. Its claim ends; the terminating slot then sees to its end.
        Some(Instance {
            state: ended @ (InstanceState::Stopping | InstanceState::Terminated { .. }),
            ..
        }) => Sight::Ended(ended),
        Some(Instance { state: InstanceState::Running, .. }) => Sight::Alive,
        // Strictly older than the listing: one launched while it ran is not in it.
        None if missing_counts_from < situation.observed_at
            && since(missing_counts_from, situation.observed_at) >= situation.settle =>
        {
            Sight::Missing
        }
        None => Sight::Unsettled,
    }
}

fn exited(state: &InstanceState) -> EndReason {
    match state {
        InstanceState::Terminated { exit } => EndReason::Exited(exit.clone()),
        // How it ends is not known yet.
        InstanceState::Running | InstanceState::Stopping => EndReason::Exited(None),
    }
}
