use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use diogenes_core::fleet::{BeatStatus, InstanceId};
use diogenes_core::ports::{ComputeBackend as _, Exit, InstanceState, LaunchError};
use rustix::process::Signal;
use serde_json::json;

use super::server::Server;
use super::support::{Machine, kill, seen, shell, sleeper, state, until, until_state};

const UNKNOWN_END: Option<InstanceState> = Some(InstanceState::Terminated { exit: None });

/// A process that carries no tags; it ends with its test, also when that fails.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that carries the tags of a claim as if an earlier `serve` had spawned it.
fn tagged_process(machine: &Machine, claim: &str) -> Child {
    Command::new("sleep")
        .arg("600")
        .env("DIOGENES_DEPLOYMENT", machine.settings.deployment.as_str())
        .env("DIOGENES_CLAIM", claim)
        .env("DIOGENES_MODEL", "org/model:8b")
        .process_group(0)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_child_is_taken_up_again_and_its_end_noticed() {
    let machine = Machine::new();
    let server = Server::new(machine.dir.path());
    let request = machine.request("a", server.engine());
    let backend = machine.serve();
    let id = backend.launch(&request).await.unwrap();
    machine.crash(backend).await;

    let backend = machine.serve();
    assert_eq!(state(&backend, &id).await, Some(InstanceState::Running));
    assert_eq!(backend.launch(&request).await.unwrap(), id);
    assert_eq!(machine.processes().len(), 1);
    server.on("listen");
    server.on("healthy");
    let is_ready = |status: &BeatStatus| matches!(status, BeatStatus::Ready { .. });
    let beat = machine.beat_that("a", |beat| is_ready(&beat.status)).await;
    machine.crash(backend).await;

    let backend = machine.serve();
    kill(machine.processes()[0], Signal::KILL);
    until_state(&backend, &id, UNKNOWN_END).await;
    let spent = backend.launch(&request).await;
    assert!(matches!(spent, Err(LaunchError::TokenSpent)), "{spent:?}");
    let after = machine.beat_that("a", |beat| !is_ready(&beat.status)).await;
    assert!(after.at >= beat.at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_exit_survives_a_restart() {
    let machine = Machine::new();
    let backend = machine.serve();
    let id = backend.launch(&machine.request("a", shell("exit 5"))).await.unwrap();
    let ended = Some(InstanceState::Terminated { exit: Some(Exit::Code(5)) });
    until_state(&backend, &id, ended.clone()).await;
    machine.crash(backend).await;

    let backend = machine.serve();
    assert_eq!(state(&backend, &id).await, ended);
    backend.terminate(&id).await.unwrap();
    assert_eq!(state(&backend, &id).await, None);
    assert!(machine.record("a").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_a_record_is_described_and_can_be_ended() {
    let machine = Machine::new();
    let mut process = tagged_process(&machine, "lost");
    until(|| !machine.processes().is_empty(), || ()).await;
    let backend = machine.serve();
    let id = InstanceId::new("lost");
    let instance = seen(&backend, &id).await.unwrap();
    assert_eq!(instance.claim.unwrap().as_str(), "lost");
    assert_eq!(instance.model.unwrap().as_str(), "org/model:8b");
    assert_eq!(instance.state, InstanceState::Running);
    backend.terminate(&id).await.unwrap();
    until_state(&backend, &id, None).await;
    process.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_spawn_was_not_recorded_is_found_by_its_tags() {
    let machine = Machine::new();
    let backend = machine.serve();
    let request = machine.request("a", sleeper());
    let id = backend.launch(&request).await.unwrap();
    machine.crash(backend).await;
    let mut record = machine.record("a").unwrap();
    let pid = record.as_object_mut().unwrap().remove("process").unwrap()["pid"].clone();
    machine.write_record("a", &record);

    let backend = machine.serve();
    assert_eq!(state(&backend, &id).await, Some(InstanceState::Running));
    assert_eq!(machine.record("a").unwrap()["process"]["pid"], pid);
    assert_eq!(backend.launch(&request).await.unwrap(), id);
    assert_eq!(json!(machine.processes()), json!([pid]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_spawn_never_happened_has_ended() {
    let machine = Machine::new();
    let backend = machine.serve();
    let request = machine.request("a", sleeper());
    let id = backend.launch(&request).await.unwrap();
    machine.crash(backend).await;
    let mut record = machine.record("a").unwrap();
    record.as_object_mut().unwrap().remove("process");
    machine.write_record("a", &record);
    kill(machine.processes()[0], Signal::KILL);
    machine.until_no_process().await;

    let backend = machine.serve();
    assert_eq!(state(&backend, &id).await, UNKNOWN_END);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_number_is_not_mistaken_for_the_instance() {
    let machine = Machine::new();
    let backend = machine.serve();
    let id = backend.launch(&machine.request("a", sleeper())).await.unwrap();
    machine.crash(backend).await;
    let record = machine.record("a").unwrap();
    kill(machine.processes()[0], Signal::KILL);
    machine.until_no_process().await;
    // The number of a process that is not ours, and that must live on.
    let mut stranger = Stranger(
        Command::new("sleep")
            .arg("600")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap(),
    );
    for (field, value) in [("start_time", json!(1)), ("boot_id", json!("an earlier boot"))] {
        let mut record = record.clone();
        record["process"]["pid"] = json!(stranger.0.id());
        record["process"][field] = value;
        machine.write_record("a", &record);
        let backend = machine.serve();
        assert_eq!(state(&backend, &id).await, UNKNOWN_END, "{field}");
        backend.terminate(&id).await.unwrap();
        machine.crash(backend).await;
    }
    assert_eq!(stranger.0.try_wait().unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_leader_ended_before_is_taken_up() {
    let machine = Machine::new();
    let backend = machine.serve();
    let id = backend.launch(&machine.request("a", shell("sleep 600 & exit 0"))).await.unwrap();
    until(
        || machine.record("a").is_some_and(|record| record["exit"]["code"] == 0),
        || machine.record("a"),
    )
    .await;
    machine.crash(backend).await;

    let backend = machine.serve();
    assert_eq!(state(&backend, &id).await, Some(InstanceState::Running));
    backend.terminate(&id).await.unwrap();
    until_state(&backend, &id, None).await;
    machine.until_no_process().await;
}
