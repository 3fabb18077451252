//! Requests in flight on a replica.

use diogenes_core::ports::ReplicaDemand;

use super::{Fixture, claim, model};

/// A request counts on the replica that works on it, and nowhere else.
pub async fn request_counts_on_its_replica(f: &Fixture) {
    let (a, b) = (claim("a"), claim("b"));
    f.callers.ready(&model(), &a).await;
    f.callers.begin(&model(), &a).await;
    let demand = f.until(&model(), |demand| demand.total() == 1).await;
    assert_eq!((demand.held, demand.of(&a).in_flight()), (0, 1), "{demand:?}");
    f.callers.ready(&model(), &b).await;
    assert_eq!(f.demand(&model()).await.of(&b).in_flight(), 0);
    f.callers.begin(&model(), &b).await;
    let demand = f.until(&model(), |demand| demand.total() == 2).await;
    assert_eq!((demand.of(&a).in_flight(), demand.of(&b).in_flight()), (1, 1), "{demand:?}");
}

/// Nothing is known of a replica that never had a request.
pub async fn unused_replica_has_no_use(f: &Fixture) {
    let (a, b) = (claim("a"), claim("b"));
    f.callers.ready(&model(), &a).await;
    f.callers.begin(&model(), &a).await;
    f.callers.ready(&model(), &b).await;
    let demand = f.until(&model(), |demand| demand.total() == 1).await;
    assert_eq!(demand.of(&b).last_used_at, None, "{demand:?}");
    assert_eq!(demand.of(&claim("c")), ReplicaDemand::default());
}

/// After its end a request counts no longer, and the replica was in use until then.
pub async fn ended_request_leaves_its_use(f: &Fixture) {
    let a = claim("a");
    f.callers.ready(&model(), &a).await;
    f.callers.begin(&model(), &a).await;
    f.until(&model(), |demand| demand.total() == 1).await;
    f.pass(90);
    f.callers.end(&model(), &a).await;
    let demand = f.until(&model(), |demand| demand.total() == 0).await;
    assert!(f.is_now(demand.of(&a).last_used_at), "{demand:?}");
    f.pass(90);
    let later = f.demand(&model()).await;
    assert_eq!(later.of(&a).last_used_at, demand.of(&a).last_used_at);
}

/// A request that goes on is use, and not an arrival: a `down` stays down.
pub async fn request_in_progress_is_not_an_arrival(f: &Fixture) {
    let a = claim("a");
    f.callers.ready(&model(), &a).await;
    f.callers.begin(&model(), &a).await;
    let before = f.until(&model(), |demand| demand.total() == 1).await;
    f.pass(60);
    f.callers.go_on(&model(), &a).await;
    let after = f.demand(&model()).await;
    assert_eq!(after.total(), 1);
    assert_eq!(after.last_arrival_at, before.last_arrival_at);
}

/// When a replica that is gone was last used is not forgotten.
pub async fn use_outlives_the_replica(f: &Fixture) {
    let a = claim("a");
    f.callers.ready(&model(), &a).await;
    f.callers.begin(&model(), &a).await;
    f.until(&model(), |demand| demand.total() == 1).await;
    f.pass(60);
    f.callers.end(&model(), &a).await;
    let used = f.until(&model(), |demand| demand.total() == 0).await.last_used_at();
    assert!(f.is_now(used), "{used:?}");
    f.callers.lose_all(&model()).await;
    f.pass(60);
    let demand = f.demand(&model()).await;
    assert_eq!((demand.total(), demand.last_used_at()), (0, used), "{demand:?}");
}
