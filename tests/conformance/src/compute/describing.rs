//! What is listed.

use super::{Fixture, has_ended};

/// A deployment without instances.
pub async fn nothing_is_described_at_first(fixture: &Fixture) {
    assert_eq!(fixture.compute.describe().await.unwrap(), []);
}

/// One that has ended by itself is listed as such, or no more.
pub async fn ended_instance_does_not_run(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    fixture.until_running("a").await;
    (fixture.end)(&id);
    fixture.until_ended("a").await;
    let again = fixture.of_claim("a").await;
    assert!(again.iter().all(has_ended), "{again:?}");
}

/// Without a settling time nothing is ever missing.
pub async fn launch_of_an_exact_backend_is_described_at_once(fixture: &Fixture) {
    if !fixture.compute.settle_time().is_zero() {
        return;
    }
    for claim in ["a", "b", "c"] {
        let id = fixture.launch(claim).await;
        let seen = fixture.of_claim(claim).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].id, id);
    }
}
