//! Where an agent stands beside each inference server.

use std::time::Duration;

use diogenes_core::fleet::decide::Action;
use diogenes_core::fleet::{
    AgentRules, BeatStatus, DrainReason, EndReason, FailureKind, Phase, SlotEvent,
};

use crate::fixture::{Case, at, claim, instance};

fn ready_beat() -> BeatStatus {
    BeatStatus::Ready { base_url: "http://10.0.0.0:8000".into() }
}

/// Fails closed: until EC2 has listed an address, a beat could name anybody's.
#[test]
fn where_agents_report_a_url_counts_only_at_a_listed_address() {
    let rules = AgentRules { max_lifetime: Duration::from_hours(24) };
    let case = || {
        let case = Case::new().booting(0, Phase::Warmup).held(1).now(100).beat(0, ready_beat());
        case.with(|case| case.agents = Some(rules))
    };
    let own = SlotEvent::Ready("http://10.0.0.0:8000".into());
    assert_eq!(
        case().addressed("10.0.0.0").actions(),
        [Action::Move { index: 0, event: own }],
        "listed"
    );
    for (what, case) in [("without addresses", case()), ("not at all", case().missing(0))] {
        let decision = case.decide();
        assert_eq!((decision.actions, decision.next_check), (vec![], Some(at(101))), "{what}");
    }
    let Action::Fail { kind, end, .. } = &case().now(900).actions()[0] else {
        panic!("a boot ends with its timeout")
    };
    assert_eq!((kind, end), (&FailureKind::Unavailable, &EndReason::BootTimeout));
    let actions = case().addressed("10.0.0.9").actions();
    assert!(matches!(actions[..], [Action::Fail { .. }, ..]), "another's: {actions:?}");
}

#[test]
fn agents_are_listened_to_only_on_the_claims_own_instance() {
    let from = |reporter: Option<u32>| {
        Case::new().held(1).booting(0, Phase::Boot).now(10).beat(0, ready_beat()).with(|case| {
            case.beats.get_mut(&claim(0)).unwrap().instance = reporter.map(instance);
        })
    };
    let event = SlotEvent::Ready("http://10.0.0.0:8000".into());
    let made_ready = [Action::Move { index: 0, event }];
    assert_eq!(from(None).actions(), made_ready, "a backend with one instance per claim");
    assert_eq!(from(Some(0)).actions(), made_ready, "the claim's instance");
    assert_eq!(from(Some(7)).actions(), [], "the claim's instance before");
}

#[test]
fn a_replica_with_an_agent_ends_when_that_falls_silent_and_at_the_deployments_age() {
    let rules = AgentRules { max_lifetime: Duration::from_hours(1) };
    let end = |end| Action::Move { index: 0, event: SlotEvent::End(end) };
    let drain = |reason| Action::Move { index: 0, event: SlotEvent::Drain(reason) };
    let case = || Case::new().ready(0, 0).used(0, 1, 1000).with(|case| case.agents = Some(rules));
    for (what, case, actions) in [
        ("no agents here", Case::new().ready(0, 0).used(0, 1, 1000), vec![]),
        ("silent", case(), vec![end(EndReason::Silent), Action::Claim { index: 1 }]),
        ("young, its first beat may be on its way", case().now(170), vec![]),
        ("heard of", case().beat(0, ready_beat()), vec![]),
        (
            "too old",
            case().beat(0, ready_beat()).now(3600).used(0, 1, 3600),
            vec![drain(DrainReason::Lifetime), Action::Claim { index: 1 }],
        ),
    ] {
        assert_eq!(case.actions(), actions, "{what}");
    }
}
