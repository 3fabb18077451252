use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use diogenes_core::fleet::{InstanceId, LaunchToken};
use diogenes_core::ports::{ComputeBackend as _, Exit, InstanceState, LaunchError};
use diogenes_core::secret::SecretRef;

use super::support::{Machine, engine, said, seen, shell, sleeper, state, until, until_state};
use crate::process::OnShutdown;

fn ended(exit: Exit) -> InstanceState {
    InstanceState::Terminated { exit: Some(exit) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_launch_with_one_token_is_the_same_instance() {
    let machine = Machine::new();
    let backend = machine.serve();
    let request = machine.request("a", sleeper());
    let (one, other) = tokio::join!(backend.launch(&request), backend.launch(&request));
    assert_eq!(one.unwrap(), InstanceId::new("a"));
    assert_eq!(other.unwrap(), InstanceId::new("a"));
    assert_eq!(machine.processes().len(), 1);
    let instance = seen(&backend, &InstanceId::new("a")).await.unwrap();
    assert_eq!(instance.claim.as_ref(), Some(&request.claim));
    assert_eq!(instance.model.as_ref(), Some(&request.model));
    assert_eq!(instance.state, InstanceState::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_an_ended_instance_is_spent() {
    let machine = Machine::new();
    let backend = machine.serve();
    let request = machine.request("a", shell("exit 3"));
    let id = backend.launch(&request).await.unwrap();
    until_state(&backend, &id, Some(ended(Exit::Code(3)))).await;
    let again = backend.launch(&request).await;
    assert!(matches!(again, Err(LaunchError::TokenSpent)), "{again:?}");

    let mut other = machine.request("a", sleeper());
    other.token = LaunchToken::new("another");
    assert_eq!(backend.launch(&other).await.unwrap(), id);
    let stale = backend.launch(&request).await;
    assert!(matches!(stale, Err(LaunchError::TokenSpent)), "{stale:?}");

    backend.terminate(&id).await.unwrap();
    until_state(&backend, &id, None).await;
    let after = backend.launch(&other).await;
    assert!(matches!(after, Err(LaunchError::TokenSpent)), "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_cannot_start_is_an_invalid_spec_and_leaves_nothing() {
    let machine = Machine::new();
    let backend = machine.serve();
    let plain = machine.dir.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let plain = plain.to_str().unwrap();
    let mut elsewhere = sleeper();
    elsewhere.working_dir = Some("/nowhere/at/all".into());
    for (engine, named) in [
        (engine(&["no-such-program-xyz"]), "no-such-program-xyz"),
        (engine(&[plain]), plain),
        (elsewhere, "/nowhere/at/all"),
    ] {
        match backend.launch(&machine.request("a", engine)).await {
            Err(LaunchError::InvalidSpec { reason }) => {
                assert!(reason.contains(named), "{reason}");
                assert!(
                    reason.contains("check `command`") || reason.contains("working_dir"),
                    "{reason}"
                );
            }
            other => panic!("{named}: {other:?}"),
        }
    }
    assert!(machine.record("a").is_none());
    assert_eq!(backend.describe().await.unwrap(), []);
    // The token was not spent.
    let id = backend.launch(&machine.request("a", sleeper())).await;
    assert_eq!(id.unwrap(), InstanceId::new("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_knows_its_port_key_and_tags() {
    let machine = Machine::new();
    let backend = machine.serve();
    let out = machine.dir.path().join("out");
    let mut engine = shell(
        "echo \"$0 $PORT $HOST $DIOGENES_CLAIM $DIOGENES_MODEL $VLLM_API_KEY $LLAMA_API_KEY $X\" > $OUT; \
         echo done >> $OUT; exec sleep 600",
    );
    engine.command.push("{port}".into());
    engine.env.insert("X".into(), "{host}-{key}".into());
    engine.env.insert("OUT".into(), out.to_str().unwrap().into());
    backend.launch(&machine.request("a", engine)).await.unwrap();
    until(|| std::fs::read_to_string(&out).is_ok_and(|text| text.contains("done")), || ()).await;
    let record = machine.record("a").unwrap();
    let port = &record["port"];
    assert_eq!(
        said(&out).await.lines().next().unwrap(),
        format!("{port} {port} 127.0.0.1 a org/model:8b up-test up-test 127.0.0.1-up-test")
    );
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&machine.run_dir()), 0o700);
    assert_eq!(mode(&machine.run_dir().join("a.json")), 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_at_the_launch_and_only_the_process_has_it() {
    let machine = Machine::new();
    let backend = machine.serve();
    let (file, out) = (machine.dir.path().join("token"), machine.dir.path().join("out"));
    let mut engine = shell("echo \"$TOKEN\" > $OUT; exec sleep 600");
    engine.env.insert("OUT".into(), out.to_str().unwrap().into());
    let reference = SecretRef::File(file.to_str().unwrap().into());
    engine.env.insert("TOKEN".into(), reference.into());
    let request = machine.request("a", engine);

    let error = backend.launch(&request).await.unwrap_err();
    assert!(matches!(error, LaunchError::InvalidSpec { .. }), "{error:?}");
    let missing = format!("comes from the file `{}`, which does not exist", file.display());
    assert!(error.to_string().contains(&missing), "{error}");
    assert!(machine.record("a").is_none());

    std::fs::write(&file, "hf_secret\n").unwrap();
    backend.launch(&request).await.unwrap();
    assert_eq!(said(&out).await, "hf_secret");
    assert!(!machine.record("a").unwrap().to_string().contains("hf_secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminate_ends_the_group_with_grandchildren_that_ignore_it() {
    let machine = Machine::new();
    let backend = machine.serve();
    let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & wait; \
                  while :; do sleep 1; done";
    let request = machine.request("a", shell(script));
    let id = backend.launch(&request).await.unwrap();
    let log = backend.log_path(&request.claim).unwrap();
    assert_eq!(said(&log).await, "up");
    assert!(machine.processes().len() >= 2);
    backend.terminate(&id).await.unwrap();
    assert_eq!(state(&backend, &id).await, Some(InstanceState::Stopping));
    backend.terminate(&id).await.unwrap();
    until_state(&backend, &id, None).await;
    machine.until_no_process().await;
    until(|| machine.record("a").is_none(), || machine.record("a")).await;
    until(|| machine.triggered() > 0, || machine.triggered()).await;
    backend.terminate(&id).await.unwrap();
    backend.terminate(&InstanceId::new("../x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_lives_while_a_member_of_its_group_does() {
    let machine = Machine::new();
    let backend = machine.serve();
    let request = machine.request("a", shell("sleep 600 & exit 0"));
    let id = backend.launch(&request).await.unwrap();
    until(
        || machine.record("a").is_some_and(|record| record["exit"]["code"] == 0),
        || machine.record("a"),
    )
    .await;
    assert_eq!(state(&backend, &id).await, Some(InstanceState::Running));
    for pid in machine.processes() {
        super::support::kill(pid, rustix::process::Signal::KILL);
    }
    until_state(&backend, &id, Some(ended(Exit::Code(0)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_group_whose_leader_fails_is_ended() {
    let machine = Machine::new();
    let backend = machine.serve();
    let request = machine.request("a", shell("sleep 600 & exit 7"));
    let id = backend.launch(&request).await.unwrap();
    until_state(&backend, &id, Some(ended(Exit::Code(7)))).await;
    machine.until_no_process().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_left_the_group_is_killed_with_it() {
    let machine = Machine::new();
    let backend = machine.serve();
    let script = "setsid sh -c 'echo away; sleep 600' & wait";
    let request = machine.request("a", shell(script));
    let id = backend.launch(&request).await.unwrap();
    assert_eq!(said(&backend.log_path(&request.claim).unwrap()).await, "away");
    backend.terminate(&id).await.unwrap();
    machine.until_no_process().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_everything_or_leaves_it() {
    let machine = Machine::new();
    let backend = machine.serve();
    for claim in ["a", "b"] {
        let request = machine.request(claim, shell("trap '' TERM; while :; do sleep 1; done"));
        backend.launch(&request).await.unwrap();
    }
    machine.crash(backend).await;
    assert!(machine.processes().len() >= 2);

    let backend = machine.serve();
    assert_eq!(backend.describe().await.unwrap().len(), 2);
    backend.shutdown(OnShutdown::Stop, Duration::from_millis(50)).await;
    assert_eq!(backend.describe().await.unwrap(), []);
    machine.until_no_process().await;
    let late = backend.launch(&machine.request("c", sleeper())).await;
    assert!(matches!(late, Err(LaunchError::Transient { .. })), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_inherits_no_socket_of_ours() {
    let machine = Machine::new();
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let ours = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    let backend = machine.serve();
    let script = "ls -l /proc/self/fd; echo all; exec sleep 600";
    let request = machine.request("a", shell(script));
    backend.launch(&request).await.unwrap();
    let log = backend.log_path(&request.claim).unwrap();
    let read = || std::fs::read_to_string(&log).unwrap();
    until(|| read().ends_with("all\n"), read).await;
    assert!(read().contains("/dev/null"), "{}", read());
    assert!(!read().contains(ours.to_str().unwrap()), "{}", read());
}
