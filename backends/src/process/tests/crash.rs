//! A `serve` that SIGKILL ends: this program again, with a test that launches.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use diogenes_core::fleet::{DeploymentId, InstanceId};
use diogenes_core::ports::{ComputeBackend as _, InstanceState};

use super::support::{Machine, sleeper, state, until, until_state};

const DATA_DIR: &str = "TEST_CRASH_DATA_DIR";
const DEPLOYMENT: &str = "TEST_CRASH_DEPLOYMENT";

/// Launches without end, until somebody kills it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the process that another test kills"]
async fn launch_until_killed() {
    let (Some(data_dir), Ok(deployment)) = (std::env::var_os(DATA_DIR), std::env::var(DEPLOYMENT))
    else {
        return;
    };
    let mut machine = Machine::new();
    machine.settings.data_dir = PathBuf::from(data_dir);
    machine.settings.deployment = DeploymentId::new(deployment);
    let backend = machine.serve();
    for count in 0..200 {
        let request = machine.request(&format!("c{count}"), sleeper());
        backend.launch(&request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_serve_finds_every_child_again() {
    let machine = Machine::new();
    // Killed after the first, the second, … record: half-way through another launch.
    for round in 1..=5 {
        let mut killed = Command::new(std::env::current_exe().unwrap())
            .args(["process::tests::crash::launch_until_killed", "--exact", "--ignored"])
            // What it leaves behind goes with the machine.
            .env("TMPDIR", machine.dir.path())
            .env(DATA_DIR, &machine.settings.data_dir)
            .env(DEPLOYMENT, machine.settings.deployment.as_str())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let records = || std::fs::read_dir(machine.run_dir()).map_or(0, Iterator::count);
        until(|| records() >= round, records).await;
        killed.kill().unwrap();
        killed.wait().unwrap();

        let backend = machine.serve();
        let seen = backend.describe().await.unwrap();
        let running: Vec<InstanceId> = seen
            .iter()
            .filter(|instance| instance.state == InstanceState::Running)
            .map(|instance| instance.id.clone())
            .collect();
        assert_eq!(running.len(), machine.processes().len(), "{seen:?}");
        assert!(!running.is_empty() || round == 1, "{seen:?}");
        for instance in &seen {
            backend.terminate(&instance.id).await.unwrap();
            until_state(&backend, &instance.id, None).await;
        }
        for id in &running {
            assert_eq!(state(&backend, id).await, None);
        }
        machine.until_no_process().await;
        until(|| records() == 0, records).await;
        machine.crash(backend).await;
    }
}
