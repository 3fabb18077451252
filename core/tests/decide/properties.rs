#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::collections::BTreeSet;

use diogenes_core::fleet::decide::Action;
use diogenes_core::fleet::{BeatStatus, DrainReason, EndReason, Phase, SlotState};
use proptest::prelude::*;

use crate::fixture::{Case, at, instance};

fn phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(Phase::ALL[..5].to_vec())
}

fn state(index: u32) -> impl Strategy<Value = SlotState> {
    let base_url = format!("http://10.0.0.{index}:8000");
    let draining_url = base_url.clone();
    prop_oneof![
        Just(SlotState::Launching),
        (0..2000_i64, phase()).prop_map(move |(second, phase)| SlotState::Booting {
            instance: instance(index),
            launched_at: at(second),
            phase,
        }),
        (0..2000_i64).prop_map(move |second| SlotState::Ready {
            instance: instance(index),
            base_url: base_url.clone(),
            ready_at: at(second),
        }),
        (0..2000_i64).prop_map(move |second| SlotState::Draining {
            instance: instance(index),
            base_url: draining_url.clone(),
            since: at(second),
            reason: DrainReason::Idle,
        }),
        (0..2000_i64, any::<bool>()).prop_map(move |(second, known)| SlotState::Terminating {
            instance: known.then(|| instance(index)),
            since: at(second),
            reason: EndReason::Lost,
        }),
    ]
}

fn beat() -> impl Strategy<Value = Option<BeatStatus>> {
    prop_oneof![
        Just(None),
        phase().prop_map(|phase| Some(BeatStatus::Booting { phase })),
        Just(Some(BeatStatus::Ready { base_url: "http://10.0.0.0:8000".into() })),
        Just(Some(BeatStatus::Unhealthy { reason: "hung".into() })),
        Just(Some(BeatStatus::Interrupted { reason: "spot".into() })),
    ]
}

prop_compose! {
    fn slot()(index in 0..5_u32)(
        index in Just(index),
        state in state(index),
        beat in beat(),
        sight in 0..3_u8,
        running in 0..6_u32,
        used in 0..2000_i64,
    ) -> (u32, SlotState, Option<BeatStatus>, u8, u32, i64) {
        (index, state, beat, sight, running, used)
    }
}

prop_compose! {
    fn case()(
        slots in prop::collection::vec(slot(), 0..5),
        held in 0..20_u32,
        now in 0..4000_i64,
        max in 1..5_u32,
        min in 0..3_u32,
        pinned in any::<bool>(),
        deleted in prop::bool::weighted(0.1),
        down in prop::option::weighted(0.2, 0..4000_i64),
        up in prop::option::weighted(0.2, 0..4000_i64),
        exact in any::<bool>(),
    ) -> Case {
        let mut case = Case::new().now(now).held(held);
        case.spec().max_replicas = max;
        case.spec().min_replicas = min.min(max);
        case.control.pinned = pinned;
        case.control.down_at = down.map(at);
        case.control.up_at = up.map(at);
        if exact {
            case.settle = std::time::Duration::ZERO;
        }
        if deleted {
            case.model.as_mut().unwrap().deleted_at = Some(at(1));
        }
        let mut taken = BTreeSet::new();
        for (index, state, beat, sight, running, used) in slots {
            if !taken.insert(index) {
                continue;
            }
            case = case.slot(index, state).used(index, running, used);
            if let Some(beat) = beat {
                case = case.beat(index, beat);
            }
            let known = case.slots.last().is_some_and(|slot| slot.instance().is_some());
            case = match sight {
                0 => case.missing(index),
                1 if known => case.ended(index, None),
                _ => case,
            };
        }
        case
    }
}

/// The slot that an action is about.
fn about(action: &Action) -> Option<u32> {
    match action {
        Action::Claim { index }
        | Action::Launch { index }
        | Action::Move { index, .. }
        | Action::Fail { index, .. }
        | Action::Free { index } => Some(*index),
        Action::Terminate { .. } | Action::TerminateOrphan { .. } | Action::ForgetModel => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_action_fits_its_slot(case in case()) {
        let mut seen = BTreeSet::new();
        for action in case.actions() {
            let Some(index) = about(&action) else { continue };
            let slot = case.slots.iter().find(|slot| slot.index == index);
            match (&action, slot) {
                (Action::Claim { .. }, None) => {}
                (Action::Launch { .. }, Some(slot)) => prop_assert_eq!(&slot.state, &SlotState::Launching),
                (Action::Move { event, .. }, Some(slot)) => {
                    prop_assert!(slot.after(event.clone(), case.now).is_ok(), "{action:?}");
                }
                (Action::Fail { end, .. }, Some(slot)) => {
                    let event = diogenes_core::fleet::SlotEvent::End(end.clone());
                    prop_assert!(slot.after(event, case.now).is_ok(), "{action:?}");
                }
                (Action::Free { .. }, Some(slot)) => {
                    let terminating = matches!(slot.state, SlotState::Terminating { .. });
                    prop_assert!(terminating);
                }
                _ => prop_assert!(false, "{action:?} of {slot:?}"),
            }
            prop_assert!(seen.insert(index), "two actions for slot {index}");
        }
    }

    #[test]
    fn claims_stay_within_the_cap_and_the_demand(case in case()) {
        let decision = case.decide();
        let cap = case.model.as_ref().map_or(0, diogenes_core::fleet::Model::max_replicas);
        prop_assert!(decision.desired <= cap);
        let claims = decision.actions.iter().filter(|action| matches!(action, Action::Claim { .. }));
        for claim in claims.clone() {
            prop_assert!(about(claim).unwrap() < cap);
        }
        prop_assert!(claims.count() <= decision.desired as usize);
    }

    #[test]
    fn a_replica_in_use_is_not_ended_for_idleness(case in case()) {
        for action in case.actions() {
            if let Action::Move { index, event: diogenes_core::fleet::SlotEvent::Drain(DrainReason::Idle) } = action {
                let slot = case.slots.iter().find(|slot| slot.index == index).unwrap();
                prop_assert_eq!(case.demand.of(&slot.claim).in_flight(), 0);
            }
        }
    }

    #[test]
    fn a_living_instance_keeps_its_record(case in case()) {
        for action in case.actions() {
            if let Action::Free { index } = action {
                let slot = case.slots.iter().find(|slot| slot.index == index).unwrap();
                let lives = case.observed.iter().any(|seen| {
                    seen.claim.as_ref() == Some(&slot.claim)
                        && !matches!(seen.state, diogenes_core::ports::InstanceState::Terminated { .. })
                });
                prop_assert!(!lives);
            }
        }
    }

    #[test]
    fn the_same_situation_gets_the_same_decision(case in case()) {
        prop_assert_eq!(case.decide(), case.decide());
    }
}
