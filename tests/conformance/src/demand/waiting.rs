//! Requests that wait for a replica.

use super::{Fixture, model};

/// Each request counts as held from its arrival until it waits no longer.
pub async fn waiting_requests_are_held(f: &Fixture) {
    for held in [1, 2] {
        f.callers.arrive(&model()).await;
        let demand = f.until(&model(), |demand| demand.held == held).await;
        assert_eq!(demand.total(), held, "{demand:?}");
    }
    for held in [1, 0] {
        f.callers.give_up(&model()).await;
        f.until(&model(), |demand| demand.held == held).await;
    }
}

/// One that finds no replica is both the newest request and the newest arrival.
pub async fn waiting_request_is_an_arrival(f: &Fixture) {
    for _ in 0..2 {
        f.callers.arrive(&model()).await;
        let demand = f.until(&model(), |demand| f.is_now(demand.last_request_at)).await;
        assert!(f.is_now(demand.last_arrival_at), "{demand:?}");
        f.pass(30);
    }
}

/// That a caller has gone away takes nothing back: the model was asked for.
pub async fn arrival_outlives_its_request(f: &Fixture) {
    f.callers.arrive(&model()).await;
    let before = f.until(&model(), |demand| demand.held == 1).await;
    f.pass(30);
    f.callers.give_up(&model()).await;
    let after = f.until(&model(), |demand| demand.held == 0).await;
    assert!(after.last_request_at >= before.last_request_at, "{before:?} {after:?}");
    assert_eq!(after.last_arrival_at, before.last_arrival_at);
}
