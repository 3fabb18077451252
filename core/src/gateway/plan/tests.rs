use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fleet::{Control, FailureKind, Model, Source};

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

fn view() -> ModelView {
    let model = Model {
        name: "demo".parse().unwrap(),
        spec: ModelSpec::new(["x", "{port}"]),
        source: Source::Api,
        created_at: at(-1000),
        updated_at: at(-1000),
        deleted_at: None,
    };
    let control = Control::new(model.name.clone());
    ModelView::new(Arc::new(model), Vec::new(), control, None)
}

fn change(view: &mut ModelView, change: impl FnOnce(&mut Model)) {
    let mut model = Model::clone(&view.model);
    change(&mut model);
    view.launch = model.spec.launch_hash();
    view.model = Arc::new(model);
}

fn failure(view: &ModelView, failed: i64, until: i64) -> Failure {
    Failure {
        kind: FailureKind::Exited,
        reason: "it exited".into(),
        at: at(failed),
        until: at(until),
        attempts: 1,
        spec: view.launch.clone(),
        claim: None,
    }
}

fn health(view: &ModelView) -> ModelHealth<'_> {
    ModelHealth { view, reachable: false, busy: false, neglected: false, casualties: 0 }
}

/// What is decided for targets that are all models.
fn next_of(
    while_cold: WhileCold,
    models: &[ModelHealth<'_>],
    attempts: &[Attempted],
    waiting: &Waiting,
) -> Step {
    let health: Vec<_> = models.iter().copied().map(Health::Model).collect();
    next(while_cold, &health, attempts, waiting, at(0))
}

fn attempted(target: usize, outcome: Outcome) -> Attempted {
    Attempted { target, outcome }
}

/// A request that has waited for `waited` seconds.
fn waiting(stream: bool, waited: u64) -> Waiting {
    Waiting {
        patience: Patience { stream, prefer_wait: None },
        since: at(-i64::try_from(waited).unwrap()),
        waited: Duration::from_secs(waited),
        closing: false,
    }
}

fn step(health: ModelHealth<'_>, waiting: &Waiting) -> Step {
    next_of(WhileCold::Next, &[health], &[], waiting)
}

fn attempt(target: usize) -> Step {
    Step::Attempt { target, warm: None, instead_of: None }
}

/// An attempt while the first choice has no replica.
fn instead(target: usize, warm: Option<usize>) -> Step {
    Step::Attempt { target, warm, instead_of: Some(0) }
}

fn why(step: Step) -> GiveUp {
    match step {
        Step::GiveUp(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replica_in_rotation_serves_whatever_else_is_said_of_the_model() {
    let mut view = view();
    view.control.failure = Some(failure(&view, -1, 60));
    view.control.down_at = Some(at(0));
    let health = ModelHealth { reachable: true, neglected: true, ..health(&view) };
    let waiting = Waiting { closing: true, ..waiting(false, 10) };
    assert_eq!(step(health, &waiting), attempt(0));
}

#[test]
fn the_wait_is_bounded_by_the_spec_and_by_the_callers_wish() {
    let view = view();
    let hold = view.model.spec.hold_timeout;
    let wait = |stream, wish: Option<u64>| {
        let prefer_wait = wish.map(Duration::from_secs);
        let waiting = Waiting { patience: Patience { stream, prefer_wait }, ..waiting(stream, 0) };
        step(health(&view), &waiting)
    };
    let most = |most| Step::Wait { target: 0, most };
    assert_eq!(wait(false, None), most(Some(hold)));
    assert_eq!(wait(true, None), most(None));
    assert_eq!(wait(true, Some(7)), most(Some(Duration::from_secs(7))));
    assert_eq!(wait(false, Some(7)), most(Some(Duration::from_secs(7))));
    // Too long to be added to the time.
    assert_eq!(wait(true, Some(u64::MAX)), most(None));
    assert_eq!(wait(false, Some(u64::MAX)), most(Some(hold)));
    assert!(matches!(why(wait(true, Some(0))), GiveUp::Warming(_)));
    assert!(matches!(why(wait(false, Some(0))), GiveUp::Warming(_)));
}

#[test]
fn a_model_that_turns_cold_requests_away_holds_none() {
    let mut view = view();
    change(&mut view, |model| model.spec.cold_start = ColdStart::Reject);
    for stream in [false, true] {
        assert!(matches!(why(step(health(&view), &waiting(stream, 0))), GiveUp::Warming(_)));
    }
}

#[test]
fn a_wait_ends_with_its_time_and_not_before() {
    let view = view();
    let hold = view.model.spec.hold_timeout.as_secs();
    assert!(matches!(step(health(&view), &waiting(false, hold - 1)), Step::Wait { .. }));
    assert!(matches!(why(step(health(&view), &waiting(false, hold))), GiveUp::Warming(_)));
    assert!(matches!(step(health(&view), &waiting(true, 10 * hold)), Step::Wait { .. }));
}

#[test]
fn a_failure_ends_a_wait_if_it_is_new_or_still_keeps_the_model_back() {
    let mut view = view();
    for (failed, until, ends) in [
        // It keeps the next scale-up back, whenever it happened.
        (-100, 10, true),
        // It is over, and came while the request waited.
        (-5, -1, true),
        // It is over, and came before the request.
        (-100, -50, false),
    ] {
        view.control.failure = Some(failure(&view, failed, until));
        let step = step(health(&view), &waiting(true, 10));
        assert_eq!(matches!(step, Step::GiveUp(GiveUp::Failed(_))), ends, "{failed} {until}");
    }
}

#[test]
fn the_failure_of_another_spec_keeps_nobody_back() {
    let mut view = view();
    view.control.failure = Some(failure(&view, -100, 10));
    change(&mut view, |model| model.spec.command.push("--fixed".into()));
    assert!(matches!(step(health(&view), &waiting(true, 0)), Step::Wait { .. }));
}

#[test]
fn only_a_down_during_the_wait_ends_it() {
    let mut view = view();
    for (down, ends) in [(-11, false), (-10, true), (0, true)] {
        view.control.down_at = Some(at(down));
        let step = step(health(&view), &waiting(true, 10));
        assert_eq!(step == Step::GiveUp(GiveUp::Down), ends, "{down}");
    }
}

#[test]
fn the_end_of_the_server_the_store_and_the_model_end_a_wait() {
    let mut view = view();
    let closing = Waiting { closing: true, ..waiting(true, 10) };
    assert_eq!(why(step(health(&view), &closing)), GiveUp::ShuttingDown);
    let neglected = ModelHealth { neglected: true, ..health(&view) };
    assert!(matches!(step(neglected, &waiting(true, 2)), Step::Wait { .. }));
    assert_eq!(why(step(neglected, &waiting(true, 3))), GiveUp::Neglected);
    change(&mut view, |model| model.deleted_at = Some(at(0)));
    assert_eq!(why(step(health(&view), &waiting(true, 10))), GiveUp::Deleted);
    let reachable = ModelHealth { reachable: true, ..health(&view) };
    assert_eq!(why(step(reachable, &waiting(true, 10))), GiveUp::Deleted);
}

#[test]
fn a_request_waits_for_its_turn_and_is_told_when_it_does_not_come() {
    fn busy(view: &ModelView) -> ModelHealth<'_> {
        ModelHealth { reachable: true, busy: true, ..health(view) }
    }
    let mut view = view();
    assert!(matches!(step(busy(&view), &waiting(true, 10)), Step::Wait { most: None, .. }));
    assert_eq!(why(step(busy(&view), &waiting(false, 1000))), GiveUp::Busy);
    change(&mut view, |model| model.spec.cold_start = ColdStart::Reject);
    assert_eq!(why(step(busy(&view), &waiting(true, 0))), GiveUp::Busy);
}

#[test]
fn a_request_that_left_is_never_sent_again() {
    let view = view();
    let reachable = ModelHealth { reachable: true, ..health(&view) };
    let step = |outcomes: &[Outcome]| {
        let attempts: Vec<_> = outcomes.iter().map(|outcome| attempted(0, *outcome)).collect();
        next_of(WhileCold::Next, &[reachable], &attempts, &waiting(false, 0))
    };
    assert_eq!(step(&[Outcome::Unsent, Outcome::Unsent]), attempt(0));
    assert_eq!(step(&[Outcome::Unsent, Outcome::Sent]), Step::GiveUp(GiveUp::Attempted));
}

#[test]
fn a_request_that_brought_two_replicas_down_gets_no_third() {
    let view = view();
    let health = |casualties| ModelHealth { reachable: true, casualties, ..health(&view) };
    assert_eq!(step(health(1), &waiting(false, 0)), attempt(0));
    assert_eq!(why(step(health(2), &waiting(false, 0))), GiveUp::BringsReplicasDown);
}

#[test]
fn of_several_targets_the_first_that_serves_does_and_the_first_that_may_is_waited_for() {
    let (mut failed, cold) = (view(), view());
    failed.control.failure = Some(failure(&failed, -1, 60));
    let (failed, cold) = (health(&failed), health(&cold));
    let serves = ModelHealth { reachable: true, ..cold };
    let step = |all: &[ModelHealth<'_>]| next_of(WhileCold::Next, all, &[], &waiting(true, 0));
    // What has failed is not started again by a request that another target answers.
    assert_eq!(step(&[failed, serves]), instead(1, None));
    assert_eq!(step(&[failed, cold, serves]), instead(2, Some(1)));
    assert_eq!(step(&[cold, cold, serves]), instead(2, Some(0)));
    assert_eq!(step(&[serves, cold]), attempt(0));
    assert_eq!(step(&[failed, cold]), Step::Wait { target: 1, most: None });
    assert!(matches!(step(&[failed, failed]), Step::GiveUp(GiveUp::Failed(_))));
}

#[test]
fn a_route_that_holds_waits_for_its_first_choice_unless_that_refuses() {
    let (mut failed, cold) = (view(), view());
    failed.control.failure = Some(failure(&failed, -1, 60));
    let (failed, cold) = (health(&failed), health(&cold));
    let serves = ModelHealth { reachable: true, ..cold };
    let step = |all: &[ModelHealth<'_>]| next_of(WhileCold::Hold, all, &[], &waiting(true, 0));
    assert_eq!(step(&[cold, serves]), Step::Wait { target: 0, most: None });
    assert_eq!(step(&[failed, serves]), instead(1, None));
    assert_eq!(step(&[failed, cold, serves]), Step::Wait { target: 1, most: None });
}

#[test]
fn a_caller_who_does_not_wait_is_answered_by_the_next_target_and_warms_the_first() {
    let mut rejects = view();
    change(&mut rejects, |model| model.spec.cold_start = ColdStart::Reject);
    let cold = view();
    let serves = ModelHealth { reachable: true, ..health(&cold) };
    for while_cold in [WhileCold::Next, WhileCold::Hold] {
        let all = [health(&rejects), serves];
        let step = next_of(while_cold, &all, &[], &waiting(false, 0));
        assert_eq!(step, instead(1, Some(0)));
    }
}

const UP: Health<'_> = Health::Provider { opens_at: None };

fn failed(target: usize, until: i64) -> Attempted {
    attempted(target, Outcome::Failed { until: at(until) })
}

#[test]
fn what_may_cost_no_more_waits_for_the_model_or_is_told_of_it() {
    let (mut failed, cold) = (view(), view());
    failed.control.failure = Some(failure(&failed, -1, 60));
    let spent = [attempted(1, Outcome::Unaffordable)];
    let step = |view: &ModelView, wait: Option<u64>| {
        let mut waiting = waiting(true, 0);
        waiting.patience.prefer_wait = wait.map(Duration::from_secs);
        next(WhileCold::Next, &[Health::Model(health(view)), UP], &spent, &waiting, at(0))
    };
    assert_eq!(step(&cold, None), Step::Wait { target: 0, most: None });
    assert!(matches!(why(step(&cold, Some(0))), GiveUp::Warming(_)));
    assert!(matches!(why(step(&failed, None)), GiveUp::Failed(_)));
}

#[test]
fn a_provider_answers_while_a_model_starts_and_after_one_that_failed() {
    let cold = view();
    let cold = Health::Model(health(&cold));
    let step = |while_cold, attempts: &[Attempted]| {
        next(while_cold, &[cold, UP], attempts, &waiting(true, 0), at(0))
    };
    assert_eq!(step(WhileCold::Next, &[]), instead(1, Some(0)));
    assert_eq!(step(WhileCold::Hold, &[]), Step::Wait { target: 0, most: None });
    // What may have brought a replica down cannot bring a provider down.
    for while_cold in [WhileCold::Next, WhileCold::Hold] {
        assert_eq!(step(while_cold, &[attempted(0, Outcome::Sent)]), attempt(1));
        assert_eq!(step(while_cold, &[attempted(0, Outcome::Refused)]), attempt(1));
    }
}

#[test]
fn a_provider_that_fails_is_asked_again_unless_another_target_serves() {
    let step = |all: &[Health<'_>], attempts: &[Attempted]| {
        next(WhileCold::Next, all, attempts, &waiting(false, 0), at(0))
    };
    let given_up = Step::GiveUp(GiveUp::Attempted);
    assert_eq!(step(&[UP], &[failed(0, 1)]), Step::Pause { until: at(1) });
    assert_eq!(step(&[UP], &[failed(0, -1), failed(0, 0)]), attempt(0));
    assert_eq!(step(&[UP], &[failed(0, -2), failed(0, -1), failed(0, 0)]), given_up);
    assert_eq!(step(&[UP, UP], &[failed(0, 1)]), attempt(1));
    assert_eq!(step(&[UP, UP], &[failed(0, 2), failed(1, 1)]), Step::Pause { until: at(1) });
    // What says no for good, or for longer than a caller would wait, is not asked again.
    assert_eq!(step(&[UP], &[attempted(0, Outcome::Refused)]), given_up);
    assert_eq!(step(&[UP], &[failed(0, 60)]), given_up);
    let closing = Waiting { closing: true, ..waiting(false, 0) };
    assert_eq!(next(WhileCold::Next, &[UP], &[failed(0, 1)], &closing, at(0)), given_up);
}

#[test]
fn a_name_that_was_a_models_leads_to_no_provider() {
    let former = [attempted(1, Outcome::Former)];
    let step = |all: &[Health<'_>], attempts: &[Attempted]| {
        next(WhileCold::Next, all, attempts, &waiting(false, 0), at(0))
    };
    let deleted = Step::GiveUp(GiveUp::Deleted);
    assert_eq!(step(&[UP], &[attempted(0, Outcome::Former)]), deleted);
    assert_eq!(step(&[UP, UP], &[attempted(0, Outcome::Former)]), attempt(1));
    // The model before it is waited for.
    let cold = view();
    let cold = Health::Model(health(&cold));
    assert!(matches!(step(&[cold, UP], &former), Step::Wait { target: 0, .. }));
}

#[test]
fn a_provider_that_is_to_be_left_alone_is_passed_over() {
    let closed = |until| Health::Provider { opens_at: Some(at(until)) };
    let step = |all: &[Health<'_>]| next(WhileCold::Next, all, &[], &waiting(true, 7), at(0));
    assert_eq!(step(&[closed(60), UP]), attempt(1));
    assert_eq!(step(&[closed(0)]), attempt(0));
    assert_eq!(step(&[closed(2)]), Step::Pause { until: at(2) });
    assert_eq!(step(&[closed(60)]), Step::GiveUp(GiveUp::Unavailable { until: at(60) }));
    // A model that starts is waited for, but no longer than until the provider is back.
    let cold = view();
    let wait = |most| Step::Wait { target: 0, most: Some(Duration::from_secs(most)) };
    assert_eq!(step(&[Health::Model(health(&cold)), closed(60)]), wait(67));
}

prop_compose! {
    fn situations()(
        stream: bool,
        wish in proptest::option::of(0_u64..2000),
        waited in 0_u64..2000,
        closing: bool,
        reachable: bool,
        neglected: bool,
        casualties in 0_usize..4,
        failed in proptest::option::of((-2000_i64..=0, -100_i64..100)),
        down in proptest::option::of(-2000_i64..=0),
        deleted: bool,
        outcomes in proptest::collection::vec(any::<bool>(), 0..4),
        busy in any::<bool>(),
    ) -> (ModelView, Waiting, bool, bool, bool, usize, Vec<Outcome>) {
        let mut view = view();
        view.control.failure = failed.map(|(at, until)| failure(&view, at, until));
        view.control.down_at = down.map(at);
        if deleted {
            change(&mut view, |model| model.deleted_at = Some(at(0)));
        }
        let prefer_wait = wish.map(Duration::from_secs);
        let patience = Patience { stream, prefer_wait };
        let waiting = Waiting { patience, closing, ..waiting(stream, waited) };
        let outcomes = outcomes
            .into_iter()
            .map(|sent| if sent { Outcome::Sent } else { Outcome::Unsent })
            .collect();
        (view, waiting, reachable, busy, neglected, casualties, outcomes)
    }
}

proptest! {
    #[test]
    fn nothing_is_sent_twice_nor_to_what_is_gone_and_no_wait_passes_its_limit(
        (view, waiting, reachable, busy, neglected, casualties, outcomes) in situations()
    ) {
        let health = ModelHealth { view: &view, reachable, busy, neglected, casualties };
        let attempts: Vec<_> = outcomes.iter().map(|outcome| attempted(0, *outcome)).collect();
        match next_of(WhileCold::Next, &[health], &attempts, &waiting) {
            Step::Attempt { target, warm, instead_of } => {
                prop_assert_eq!((target, warm, instead_of), (0, None, None));
                prop_assert!(reachable && !busy && view.model.deleted_at.is_none());
                prop_assert!(!outcomes.contains(&Outcome::Sent) && casualties < 2);
            }
            Step::Wait { most, .. } => {
                prop_assert!((!reachable || busy) && !waiting.closing);
                prop_assert!(reachable || view.failure(at(0)).is_none());
                prop_assert!(most.is_none_or(|most| waiting.waited < most));
                // A plain request always has a limit.
                prop_assert!(most.is_some() || waiting.patience.stream);
            }
            Step::Pause { .. } => prop_assert!(false, "there is no provider to pause for"),
            Step::GiveUp(GiveUp::Attempted) => {
                prop_assert!(outcomes.contains(&Outcome::Sent));
            }
            Step::GiveUp(_) => {
                prop_assert!(
                    !reachable || busy || view.model.deleted_at.is_some() || casualties >= 2
                );
            }
        }
    }
}
