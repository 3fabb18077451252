use diogenes_core::fleet::{BeatStatus, Load};

use super::machine::{Machine, WAIT, long_request, reason};

#[tokio::test]
async fn a_spot_notice_is_told_and_the_load_goes_on_being_told() {
    let mut machine = Machine::serving(WAIT, |_| {}).await;
    let request = long_request(machine.mock.addr(), 1000).await;
    machine.beat(|beat| beat.load.running == 1).await;

    machine.imds.set(
        "meta-data/spot/instance-action",
        r#"{"action": "terminate", "time": "2026-11-21T08:22:00Z"}"#,
    );
    let is_interrupted = |status: &BeatStatus| matches!(status, BeatStatus::Interrupted { .. });
    let beat = machine.beat(|beat| is_interrupted(&beat.status)).await;
    assert_eq!(
        reason(&beat),
        "spot interruption: the instance will terminate at 2026-11-21T08:22:00Z"
    );

    // The fleet sees when it is drained.
    drop(request);
    machine.beat(|beat| is_interrupted(&beat.status) && beat.load == Load::default()).await;
    assert!(!machine.is_shut_down());
    machine.stop().await;
}

#[tokio::test]
async fn a_recommendation_to_rebalance_changes_nothing() {
    let mut machine = Machine::serving(WAIT, |_| {}).await;
    machine.imds.set(
        "meta-data/events/recommendations/rebalance",
        r#"{"noticeTime": "2026-11-21T08:22:00Z"}"#,
    );
    let seen = machine.store.beats().len();
    super::machine::until(|| Some(()).filter(|()| machine.store.beats().len() > seen + 3).ok_or(0))
        .await;
    assert!(matches!(machine.last().status, BeatStatus::Ready { .. }));
    machine.stop().await;
}
