use std::time::Duration;

use diogenes_core::fleet::BeatStatus;

use super::machine::{Machine, WAIT, orders, runs, until};
use super::store::Mood;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_renewed_lease_keeps_the_instance_and_one_that_is_not_ends_it() {
    let mut machine = Machine::serving(WAIT, |orders| orders.lease_timeout = seconds(60)).await;
    let claim = machine.last().claim;
    for _ in 0..5 {
        machine.renew_lease(&claim).await;
        machine.pass(seconds(59)).await;
        assert!(!machine.is_shut_down());
    }
    // Reading the same version once more renews nothing.
    machine.lease_is_read().await;
    machine.pass(seconds(2)).await;
    machine.shut_down().await;
    assert_eq!(machine.unhealthy().await, "the control plane did not renew the lease for 1m");
    machine.stop().await;
}

#[tokio::test]
async fn an_instance_whose_lease_was_never_seen_ends_too() {
    let mut machine = Machine::serving(WAIT, |orders| orders.lease_timeout = seconds(60)).await;
    machine.pass(seconds(59)).await;
    assert!(!machine.is_shut_down());
    machine.pass(seconds(1)).await;
    machine.shut_down().await;
    machine.stop().await;
}

#[tokio::test]
async fn the_switch_needs_no_store() {
    for mood in [Mood::Down, Mood::Hanging] {
        let mut machine = Machine::serving(WAIT, |orders| orders.lease_timeout = seconds(60)).await;
        let claim = machine.last().claim;
        machine.renew_lease(&claim).await;
        machine.store.is(mood);
        machine.pass(seconds(59)).await;
        assert!(!machine.is_shut_down(), "{mood:?}");
        machine.pass(seconds(1)).await;
        machine.shut_down().await;
        machine.stop().await;
    }
}

#[tokio::test]
async fn no_lease_outlasts_the_maximum_lifetime_from_the_boot_on() {
    let mut machine = Machine::serving(WAIT, |orders| {
        orders.max_lifetime = seconds(3600);
        orders.lease_timeout = seconds(1000);
    })
    .await;
    let claim = machine.last().claim;
    // It was booted 100 s before the agent started.
    for _ in 0..5 {
        machine.pass(seconds(690)).await;
        machine.renew_lease(&claim).await;
        assert!(!machine.is_shut_down());
    }
    machine.pass(seconds(50)).await;
    machine.shut_down().await;
    assert_eq!(machine.unhealthy().await, "the instance has reached its age of 1h");
    machine.stop().await;
}

#[tokio::test]
async fn an_instance_without_usable_orders_ends_after_a_quarter_of_an_hour() {
    for text in [None, Some("not json"), Some(r#"{"claim": 1}"#)] {
        let mut machine = Machine::new().await;
        if let Some(text) = text {
            machine.imds.set("user-data", text);
        }
        machine.start().await;
        machine.pass(seconds(899)).await;
        assert!(!machine.is_shut_down(), "{text:?}");
        machine.pass(seconds(1)).await;
        machine.shut_down().await;
        machine.stop().await;
        assert_eq!(machine.store.beats(), []);
    }
}

#[tokio::test]
async fn orders_that_come_late_are_taken() {
    let mut machine = Machine::new().await;
    machine.mock.refuse_connections(false).await;
    machine.start().await;
    machine.pass(seconds(800)).await;
    machine.order(&orders(&machine.dir, WAIT));
    machine.beat(|beat| matches!(beat.status, BeatStatus::Ready { .. })).await;
    machine.pass(seconds(99)).await;
    assert!(!machine.is_shut_down());
    machine.pass(seconds(1)).await;
    machine.shut_down().await;
    machine.stop().await;
}

#[tokio::test]
async fn a_crash_is_reported_with_the_last_words_and_the_instance_ends_a_while_later() {
    let script = "sh -c 'sleep 600' & echo $! > \"$DIR/child\"
        while [ -d \"$DIR\" ] && [ ! -e \"$DIR/crash\" ]; do sleep 0.01; done
        echo 'torch.OutOfMemoryError: CUDA out of memory' >&2; printf 'no line feed'; exit 3";
    let mut machine = Machine::serving(script, |_| {}).await;
    let child = machine.file("child").await;
    assert!(runs(&child));
    std::fs::write(machine.path("crash"), "").unwrap();
    assert_eq!(machine.unhealthy().await, "the inference server exited with code 3");
    assert_eq!(
        machine.last().log_tail,
        ["torch.OutOfMemoryError: CUDA out of memory", "no line feed"]
    );
    // What was left of its group holds the GPU no more.
    until(|| if runs(&child) { Err("the child runs") } else { Ok(()) }).await;
    assert!(!machine.is_shut_down());
    machine.pass(seconds(59)).await;
    assert!(!machine.is_shut_down());
    machine.pass(seconds(1)).await;
    machine.shut_down().await;
    machine.stop().await;
}

#[tokio::test]
async fn sigterm_ends_the_server_in_good_order_and_says_so() {
    let script = format!("trap 'echo bye; exit 0' TERM; echo up > \"$DIR/up\"; {WAIT}");
    let mut machine = Machine::serving(&script, |_| {}).await;
    // The port is that of the mock, which answers before the shell is there.
    assert_eq!(machine.file("up").await, "up");
    machine.stop().await;
    let last = machine.last();
    assert_eq!(
        last.status,
        BeatStatus::Unhealthy { reason: "the instance is shutting down".into() }
    );
    assert_eq!(last.log_tail.last().unwrap(), "bye");
    assert!(!machine.is_shut_down());
}

#[tokio::test]
async fn a_server_that_ignores_sigterm_is_killed_with_its_group() {
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; {WAIT}' & echo \"$$ $!\" > \"$DIR/pids\"; {WAIT}"
    );
    let mut machine = Machine::serving(&script, |_| {}).await;
    let pids = machine.file("pids").await;
    machine.stop().await;
    for pid in pids.split(' ') {
        until(|| if runs(pid) { Err(format!("{pid} runs")) } else { Ok(()) }).await;
    }
}
