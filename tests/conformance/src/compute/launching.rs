//! Launches and their tokens.

use std::time::Instant;

use diogenes_core::ports::{InstanceState, LaunchError};

use super::{DEADLINE, Fixture};

/// The tags and the state of a new instance.
pub async fn launched_instance_is_described_with_its_tags(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    let instance = fixture.until_running("a").await;
    let request = fixture.request("a");
    assert_eq!(instance.id, id);
    assert_eq!(instance.claim, Some(request.claim));
    assert_eq!(instance.model, Some(request.model));
    assert_eq!(instance.state, InstanceState::Running);
}

/// One token, one instance.
pub async fn repeated_launch_is_the_same_instance(fixture: &Fixture) {
    let first = fixture.launch("a").await;
    assert_eq!(fixture.launch("a").await, first);
    fixture.until_running("a").await;
    assert_eq!(fixture.launch("a").await, first);
    assert_eq!(fixture.of_claim("a").await.len(), 1);
}

/// Also when both come at once.
pub async fn concurrent_launches_with_one_token_are_one_instance(fixture: &Fixture) {
    let (one, two, three) =
        tokio::join!(fixture.launch("a"), fixture.launch("a"), fixture.launch("a"));
    assert_eq!(one, two);
    assert_eq!(one, three);
    fixture.until_running("a").await;
    assert_eq!(fixture.of_claim("a").await.len(), 1);
}

/// Other claims are other instances.
pub async fn two_claims_get_two_instances(fixture: &Fixture) {
    let (one, two) = (fixture.launch("a").await, fixture.launch("b").await);
    assert_ne!(one, two);
    assert_eq!(fixture.until_running("a").await.id, one);
    assert_eq!(fixture.until_running("b").await.id, two);
}

/// It never launches again what has ended by itself.
pub async fn token_of_an_ended_instance_is_spent(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    fixture.until_running("a").await;
    (fixture.end)(&id);
    until_spent(fixture).await;
}

/// Nor what was terminated.
pub async fn token_of_a_terminated_instance_is_spent(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    fixture.until_running("a").await;
    fixture.compute.terminate(&id).await.unwrap();
    until_spent(fixture).await;
}

async fn until_spent(fixture: &Fixture) {
    fixture.until_ended("a").await;
    let deadline = Instant::now() + DEADLINE;
    loop {
        match fixture.compute.launch(&fixture.request("a")).await {
            Err(LaunchError::TokenSpent) => break,
            Err(LaunchError::Transient { .. }) if Instant::now() < deadline => {
                tokio::task::yield_now().await;
            }
            other => panic!("the token is not spent: {other:?}"),
        }
    }
    fixture.until_ended("a").await;
}
