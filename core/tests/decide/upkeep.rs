use std::time::Duration;

use diogenes_core::fleet::decide::Action;
use diogenes_core::fleet::{Phase, SlotState};
use diogenes_core::ports::{Instance, InstanceState};

use crate::fixture::{Case, at, claim, failure, instance};

#[test]
fn an_instance_without_a_record_is_an_orphan() {
    let stray = |claim: Option<_>, state| Instance {
        id: instance(9),
        claim,
        model: Some("demo".parse().unwrap()),
        state,
        launched_at: None,
        addresses: Vec::new(),
    };
    let orphan = || vec![Action::TerminateOrphan { instance: instance(9) }];
    let running = || InstanceState::Running;
    let case = |seen| Case::new().ready(0, 500).with(|case| case.observed.push(seen));
    for (what, case, actions) in [
        ("no claim", case(stray(None, running())), orphan()),
        ("another claim", case(stray(Some(claim(9)), running())), orphan()),
        ("a second one of a claim", case(stray(Some(claim(0)), running())), orphan()),
        ("one that has ended", case(stray(None, InstanceState::Terminated { exit: None })), vec![]),
    ] {
        assert_eq!(case.actions(), actions, "{what}");
    }
    let launching = Case::new()
        .held(1)
        .now(10)
        .slot(0, SlotState::Launching)
        .with(|case| case.observed.push(stray(Some(claim(0)), running())));
    assert_eq!(launching.actions(), [Action::Launch { index: 0 }], "launched, the answer was lost");
}

#[test]
fn a_launch_is_left_to_whoever_began_it_for_a_while() {
    let launching = |seconds| Case::new().held(1).now(seconds).slot(0, SlotState::Launching);
    let launch = [Action::Launch { index: 0 }];
    let young = launching(4).decide();
    assert_eq!((young.actions, young.next_check), (vec![], Some(at(5))), "not counted as missing");
    assert_eq!(launching(5).actions(), launch, "given up");
    let own = launching(4).with(|case| case.own = [claim(0)].into());
    assert_eq!(own.actions(), launch, "its own");
    let next_rung = launching(7).with(|case| case.slots[0].launch.asked_at = at(3));
    assert_eq!(next_rung.actions(), [], "still at it");
    let down = launching(4).with(|case| case.control.down_at = Some(at(1)));
    assert!(matches!(down.actions()[..], [Action::Move { .. }, ..]), "ended whoever is at it");
}

#[test]
fn the_next_check_is_the_next_moment_at_which_time_alone_changes_something() {
    let busy = Case::new().ready(0, 0).used(0, 1, 1000);
    for (what, case, next) in [
        ("asleep", Case::new(), None),
        ("idle at 600", Case::new().ready(0, 0).used(0, 0, 500), Some(1100)),
        ("boot timeout", Case::new().booting(0, Phase::Boot).now(100), Some(900)),
        (
            "back-off",
            Case::new().held(1).with(|case| case.control.failure = Some(failure(1234))),
            Some(1234),
        ),
        (
            "lifetime",
            Case::new()
                .ready(0, 0)
                .used(0, 1, 1000)
                .with(|case| case.spec().max_lifetime = Some(Duration::from_secs(1300))),
            Some(1300),
        ),
        ("in use: idle 600 s from now at the earliest", busy, Some(1600)),
        (
            "wanted, though nothing came of it",
            Case::new().ready(0, 0).with(|case| case.demand.last_request_at = Some(at(700))),
            Some(1300),
        ),
        ("kept by a pin", Case::new().ready(0, 0).with(|case| case.control.pinned = true), None),
    ] {
        assert_eq!(case.decide().next_check, next.map(at), "{what}");
    }
}
