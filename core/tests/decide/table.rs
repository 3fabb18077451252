use std::time::Duration;

use diogenes_core::fleet::decide::Action;
use diogenes_core::fleet::{
    BeatStatus, DrainReason, EndReason, FailureKind, Phase, SlotEvent, SlotState,
};
use diogenes_core::ports::{Exit, Instance, InstanceState};

use crate::fixture::{Case, at, claim, failure, instance};

fn moved(index: u32, event: SlotEvent) -> Action {
    Action::Move { index, event }
}

fn drained(index: u32, reason: DrainReason) -> Action {
    moved(index, SlotEvent::Drain(reason))
}

fn ended(index: u32, reason: EndReason) -> Action {
    moved(index, SlotEvent::End(reason))
}

fn draining(since: i64) -> SlotState {
    SlotState::Draining {
        instance: instance(0),
        base_url: "http://10.0.0.0:8000".into(),
        since: at(since),
        reason: DrainReason::Idle,
    }
}

fn terminating(id: bool, since: i64) -> SlotState {
    SlotState::Terminating {
        instance: id.then(|| instance(0)),
        since: at(since),
        reason: EndReason::Lost,
    }
}

fn ready_beat() -> BeatStatus {
    BeatStatus::Ready { base_url: "http://10.0.0.0:8000".into() }
}

#[test]
fn scaling_out() {
    let claims = |indices: &[u32]| -> Vec<Action> {
        indices.iter().map(|index| Action::Claim { index: *index }).collect()
    };
    let used = |case: Case| case.used(0, 4, 1000);
    for (what, case, actions) in vec![
        ("nobody asks", Case::new(), vec![]),
        ("one asks", Case::new().held(1), claims(&[0])),
        ("as many as one replica takes", Case::new().held(4), claims(&[0])),
        ("one more", Case::new().held(5), claims(&[0, 1])),
        ("more than the cap allows", Case::new().held(100), claims(&[0, 1])),
        ("one is on its way", Case::new().held(3).booting(0, Phase::Boot).now(10), vec![]),
        ("a ready one is full", used(Case::new().ready(0, 0).held(1)), claims(&[1])),
        ("min_replicas", Case::new().with(|case| case.spec().min_replicas = 2), claims(&[0, 1])),
        ("a pin", Case::new().with(|case| case.control.pinned = true), claims(&[0])),
        ("an up", Case::new().with(|case| case.control.up_at = Some(at(999))), claims(&[0])),
        (
            "background work",
            Case::new().with(|case| case.demand.leased.until = Some(at(1001))),
            claims(&[0]),
        ),
        (
            "background work after a down",
            Case::new().with(|case| {
                case.demand.leased.until = Some(at(1001));
                case.control.down_at = Some(at(1));
            }),
            vec![],
        ),
        (
            "background work during a failure",
            Case::new().with(|case| {
                case.demand.leased.until = Some(at(1001));
                case.control.failure = Some(failure(1001));
            }),
            vec![],
        ),
        ("an old up", Case::new().with(|case| case.control.up_at = Some(at(1))), vec![]),
        (
            "a request that was turned away lately",
            Case::new().with(|case| case.demand.last_request_at = Some(at(990))),
            claims(&[0]),
        ),
        (
            "a down after the last request",
            Case::new().held(1).with(|case| case.control.down_at = Some(at(1000))),
            vec![],
        ),
        (
            "a request after a down",
            Case::new().held(1).with(|case| case.control.down_at = Some(at(999))),
            claims(&[0]),
        ),
        (
            "a request that goes on after a down",
            Case::new().held(1).with(|case| {
                case.demand.last_arrival_at = Some(at(998));
                case.control.down_at = Some(at(999));
            }),
            vec![],
        ),
        (
            "a failure that still counts",
            Case::new().held(1).with(|case| case.control.failure = Some(failure(1001))),
            vec![],
        ),
        (
            "a failure that is over",
            Case::new().held(1).with(|case| case.control.failure = Some(failure(1000))),
            claims(&[0]),
        ),
        (
            "a failure of another engine",
            Case::new().held(1).with(|case| {
                case.control.failure = Some(failure(2000));
                case.spec().command.push("--new".into());
            }),
            claims(&[0]),
        ),
        (
            "a failure since the last request",
            Case::new().with(|case| {
                case.demand.last_request_at = Some(at(899));
                case.control.failure = Some(failure(950));
            }),
            vec![],
        ),
        (
            "a deleted model",
            Case::new().held(1).with(|case| case.model.as_mut().unwrap().deleted_at = Some(at(1))),
            vec![Action::ForgetModel],
        ),
        ("no model", Case::new().held(1).with(|case| case.model = None), vec![]),
    ] {
        assert_eq!(case.actions(), actions, "{what}");
    }
}

#[expect(clippy::large_stack_arrays, reason = "a table reads best in one piece")]
#[test]
fn booting() {
    let case = || Case::new().booting(0, Phase::Weights).held(1).now(100);
    let fail =
        |kind, reason: &str, end| Action::Fail { index: 0, kind, reason: reason.into(), end };
    let booting = |phase| BeatStatus::Booting { phase };
    let ready_at = |base_url: &str| BeatStatus::Ready { base_url: base_url.into() };
    let strange = |base_url: &str| {
        let reason = format!("it reported the URL {base_url}, which is not one of its addresses");
        fail(FailureKind::Exited, &reason, EndReason::Unhealthy)
    };
    for (what, case, actions) in [
        ("goes on", case(), vec![]),
        (
            "the next phase",
            case().beat(0, booting(Phase::Warmup)),
            vec![moved(0, SlotEvent::Phase(Phase::Warmup))],
        ),
        ("never back", case().beat(0, booting(Phase::Boot)), vec![]),
        (
            "ready",
            case().beat(0, ready_beat()),
            vec![moved(0, SlotEvent::Ready("http://10.0.0.0:8000".into()))],
        ),
        (
            "ready at its own address",
            case().addressed("10.0.0.7").beat(0, ready_at("http://10.0.0.7:8000")),
            vec![moved(0, SlotEvent::Ready("http://10.0.0.7:8000".into()))],
        ),
        (
            "ready at the address of another",
            case().addressed("10.0.0.7").beat(0, ready_at("http://10.0.0.8:8000")),
            vec![strange("http://10.0.0.8:8000")],
        ),
        (
            "ready at a name that begins like its address",
            case().addressed("10.0.0.7").beat(0, ready_at("http://10.0.0.7.example:80")),
            vec![strange("http://10.0.0.7.example:80")],
        ),
        (
            "ready at another, with its address as the user",
            case().addressed("10.0.0.7").beat(0, ready_at("http://10.0.0.7:8000@10.0.0.8:80")),
            vec![strange("http://10.0.0.7:8000@10.0.0.8:80")],
        ),
        (
            "an exit",
            case().ended(0, Some(Exit::Code(7))),
            vec![fail(
                FailureKind::Exited,
                "the inference server exited with code 7",
                EndReason::Exited(Some(Exit::Code(7))),
            )],
        ),
        (
            "an exit that the agent reports",
            case().beat(0, BeatStatus::Unhealthy { reason: "the server exited".into() }),
            vec![fail(FailureKind::Exited, "the server exited", EndReason::Exited(None))],
        ),
        (
            "on its way out",
            case().stopping(0),
            vec![fail(
                FailureKind::Exited,
                "the instance ended while it booted",
                EndReason::Exited(None),
            )],
        ),
        ("missing, but young", case().missing(0), vec![]),
        (
            "missing for long",
            case().missing(0).now(301),
            vec![fail(
                FailureKind::Exited,
                "the instance vanished while it booted",
                EndReason::Lost,
            )],
        ),
        (
            "too slow",
            case().now(900),
            vec![fail(
                FailureKind::BootTimeout,
                "it was not ready 15m after its launch",
                EndReason::BootTimeout,
            )],
        ),
        (
            "taken down",
            case().with(|case| {
                case.control.down_at = Some(at(100));
                case.demand.last_request_at = Some(at(50));
                case.demand.last_arrival_at = Some(at(50));
            }),
            vec![ended(0, EndReason::Cancelled(DrainReason::Down))],
        ),
        (
            "interrupted, as the provider says",
            case().with(|case| case.interrupted = Some(instance(0))),
            vec![
                ended(0, EndReason::Cancelled(DrainReason::Interrupted)),
                Action::Claim { index: 1 },
            ],
        ),
        (
            "interrupted",
            case().beat(0, BeatStatus::Interrupted { reason: "spot".into() }),
            vec![
                ended(0, EndReason::Cancelled(DrainReason::Interrupted)),
                Action::Claim { index: 1 },
            ],
        ),
    ] {
        assert_eq!(case.actions(), actions, "{what}");
    }
}

#[expect(clippy::large_stack_arrays, reason = "a table reads best in one piece")]
#[test]
fn ready() {
    let busy = || Case::new().ready(0, 0).used(0, 1, 1000);
    for (what, case, actions) in [
        ("in use", busy(), vec![]),
        ("used lately", Case::new().ready(0, 0).used(0, 0, 401), vec![]),
        ("idle", Case::new().ready(0, 0).used(0, 0, 400), vec![drained(0, DrainReason::Idle)]),
        ("never used", Case::new().ready(0, 400), vec![drained(0, DrainReason::Idle)]),
        (
            "kept by background work",
            Case::new().ready(0, 0).with(|case| {
                case.demand.leased.until = Some(at(1001));
                case.demand.leased.last_at = Some(at(1000));
            }),
            vec![],
        ),
        (
            "left by background work, and used by nobody else",
            Case::new().ready(0, 900).with(|case| case.demand.leased.last_at = Some(at(999))),
            vec![drained(0, DrainReason::Idle)],
        ),
        (
            "left by background work, and used lately by others",
            Case::new().ready(0, 900).used(0, 0, 950).with(|case| {
                case.demand.leased.last_at = Some(at(999));
            }),
            vec![],
        ),
        (
            "ready since background work has ended",
            Case::new().ready(0, 900).with(|case| case.demand.leased.last_at = Some(at(899))),
            vec![],
        ),
        ("pinned", Case::new().ready(0, 0).with(|case| case.control.pinned = true), vec![]),
        (
            "one of two is enough",
            Case::new().ready(0, 0).ready(1, 0).used(0, 1, 1000).used(1, 0, 100),
            vec![drained(1, DrainReason::Idle)],
        ),
        (
            "a changed engine",
            busy().with(|case| case.spec().command.push("--new".into())),
            vec![drained(0, DrainReason::SpecChanged), Action::Claim { index: 1 }],
        ),
        (
            "another change needs no new instance",
            busy().with(|case| case.spec().max_held = 7),
            vec![],
        ),
        (
            "a lowered cap",
            Case::new().ready(1, 0).used(1, 1, 1000).with(|case| case.spec().max_replicas = 1),
            vec![drained(1, DrainReason::AboveCap), Action::Claim { index: 0 }],
        ),
        (
            "old age",
            busy().with(|case| case.spec().max_lifetime = Some(Duration::from_secs(1000))),
            vec![drained(0, DrainReason::Lifetime), Action::Claim { index: 1 }],
        ),
        (
            "a spot notice",
            busy().beat(0, BeatStatus::Interrupted { reason: "spot".into() }),
            vec![drained(0, DrainReason::Interrupted), Action::Claim { index: 1 }],
        ),
        (
            "the provider said so",
            busy().with(|case| case.interrupted = Some(instance(0))),
            vec![drained(0, DrainReason::Interrupted), Action::Claim { index: 1 }],
        ),
        (
            "the provider said so of another",
            busy().with(|case| case.interrupted = Some(instance(1))),
            vec![],
        ),
        (
            "hung",
            busy().beat(0, BeatStatus::Unhealthy { reason: "no answer".into() }),
            vec![ended(0, EndReason::Unhealthy), Action::Claim { index: 1 }],
        ),
        (
            "crashed",
            busy().ended(0, Some(Exit::Signal(9))),
            vec![ended(0, EndReason::Exited(Some(Exit::Signal(9)))), Action::Claim { index: 1 }],
        ),
        (
            "stopped by somebody, or on its way out",
            busy().beat(0, ready_beat()).stopping(0),
            vec![ended(0, EndReason::Exited(None)), Action::Claim { index: 1 }],
        ),
        ("vanished", Case::new().ready(0, 999).missing(0), vec![ended(0, EndReason::Lost)]),
    ] {
        assert_eq!(case.actions(), actions, "{what}");
    }
}

#[test]
fn draining_ends_at_zero_running_or_at_its_timeout() {
    let end = || vec![ended(0, EndReason::Drained(DrainReason::Idle))];
    for (what, case, actions) in [
        ("routers may not know yet", Case::new().slot(0, draining(999)), vec![]),
        ("nothing runs", Case::new().slot(0, draining(998)), end()),
        ("something runs", Case::new().slot(0, draining(998)).used(0, 1, 1000), vec![]),
        ("for too long", Case::new().slot(0, draining(700)).used(0, 1, 1000), end()),
        (
            "for too long, but routers may not know yet",
            Case::new()
                .slot(0, draining(999))
                .used(0, 1, 1000)
                .with(|case| case.spec().drain_timeout = Duration::ZERO),
            vec![],
        ),
        (
            "long ago, but nobody was told",
            Case::new().slot(0, draining(700)).with(|case| case.unpublished = [claim(0)].into()),
            vec![],
        ),
        (
            "hung",
            Case::new()
                .slot(0, draining(998))
                .used(0, 1, 1000)
                .beat(0, BeatStatus::Unhealthy { reason: "no answer".into() }),
            end(),
        ),
        (
            "on its way out",
            Case::new().slot(0, draining(998)).used(0, 1, 1000).stopping(0),
            vec![ended(0, EndReason::Exited(None))],
        ),
    ] {
        assert_eq!(case.actions(), actions, "{what}");
    }
}

#[test]
fn a_drain_is_looked_at_again_when_routers_know_of_it() {
    let young = Case::new().slot(0, draining(999)).decide();
    assert_eq!(young.next_check, Some(at(1001)));
    let known = Case::new().slot(0, draining(998)).used(0, 1, 1000).decide();
    assert_eq!(known.next_check, Some(at(1001)), "every second while something runs");
}

#[test]
fn a_slot_is_freed_only_when_its_instance_is_gone() {
    let terminate = || Action::Terminate { instance: instance(0) };
    let free = || Action::Free { index: 0 };
    let known = || Case::new().slot(0, terminating(true, 900));
    let unknown = || Case::new().slot(0, terminating(false, 900));
    let stray = Instance {
        id: instance(7),
        claim: Some(claim(0)),
        model: None,
        state: InstanceState::Running,
        launched_at: None,
        addresses: Vec::new(),
    };
    for (what, case, actions) in [
        ("it lives", known(), vec![terminate()]),
        ("it was stopped, and still costs", known().stopping(0).now(9000), vec![terminate()]),
        ("it has ended", known().ended(0, None), vec![terminate(), free()]),
        ("it is missing, but not for long", known().missing(0), vec![terminate()]),
        ("it is missing for long", known().missing(0).now(1201), vec![free()]),
        ("its launch was never confirmed", unknown(), vec![]),
        ("nor is it listed for long", unknown().now(1201), vec![free()]),
        (
            "its launch was refused",
            Case::new().slot(
                0,
                SlotState::Terminating {
                    instance: None,
                    since: at(900),
                    reason: EndReason::LaunchFailed,
                },
            ),
            vec![free()],
        ),
        (
            "the launch had worked after all",
            unknown().with(|case| case.observed.push(stray)),
            vec![Action::Terminate { instance: instance(7) }],
        ),
    ] {
        assert_eq!(case.actions(), actions, "{what}");
    }
}
