//! Ends.

use diogenes_core::fleet::InstanceId;
use diogenes_core::ports::InstanceState;

use super::Fixture;

/// What is terminated ends.
pub async fn terminated_instance_ends(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    fixture.until_running("a").await;
    fixture.compute.terminate(&id).await.unwrap();
    fixture.until_ended("a").await;
}

/// While it ends and after it.
pub async fn terminate_may_be_repeated(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    fixture.compute.terminate(&id).await.unwrap();
    fixture.compute.terminate(&id).await.unwrap();
    fixture.until_ended("a").await;
    fixture.compute.terminate(&id).await.unwrap();
    fixture.until_ended("a").await;
}

/// Ending what never was is not an error.
pub async fn unknown_instance_succeeds(fixture: &Fixture) {
    let unknown = InstanceId::new("i-0123456789abcdef0");
    fixture.compute.terminate(&unknown).await.unwrap();
}

/// The end of what has ended is none either.
pub async fn ended_instance_succeeds(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    fixture.until_running("a").await;
    (fixture.end)(&id);
    fixture.until_ended("a").await;
    fixture.compute.terminate(&id).await.unwrap();
    fixture.until_ended("a").await;
}

/// It ends that one alone.
pub async fn other_instances_run_on(fixture: &Fixture) {
    let id = fixture.launch("a").await;
    fixture.launch("b").await;
    fixture.until_running("b").await;
    fixture.compute.terminate(&id).await.unwrap();
    fixture.until_ended("a").await;
    let other = fixture.until_running("b").await;
    assert_eq!(other.state, InstanceState::Running);
}
