use std::time::{Duration, Instant};

use diogenes_core::fleet::{BeatStatus, Phase};
use diogenes_core::ports::{ComputeBackend as _, Exit, InstanceState, LaunchError, LogSource as _};

use super::super::ProcessBackend;
use super::server::Server;
use super::support::{Machine, shell, until, until_state};

fn is_ready(status: &BeatStatus) -> bool {
    matches!(status, BeatStatus::Ready { .. })
}

/// A healthy server of claim `a`, once it is reported ready.
async fn ready_server(machine: &Machine, backend: &ProcessBackend) -> Server {
    let server = Server::new(machine.dir.path());
    server.on("listen");
    server.on("healthy");
    let request = machine.request("a", server.engine());
    backend.launch(&request).await.unwrap();
    machine.beat_that("a", |beat| is_ready(&beat.status)).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_server_is_reported_at_once() {
    let machine = Machine::new();
    let backend = machine.serve();
    let server = Server::new(machine.dir.path());
    server.on("listen");
    for round in 0..2 {
        let claim = format!("round-{round}");
        let request = machine.request(&claim, server.engine());
        backend.launch(&request).await.unwrap();
        let first = machine.beat_that(&claim, |_| true).await;
        let boot = BeatStatus::Booting { phase: Phase::Boot };
        assert_eq!(first.status, boot);
        server.until_answering(&machine, &claim).await;
        let before = machine.triggered();
        server.on("healthy");
        let beat = machine.beat_that(&claim, |beat| is_ready(&beat.status)).await;
        let port = machine.record(&claim).unwrap()["port"].to_string();
        let base_url = format!("http://127.0.0.1:{port}");
        assert_eq!(beat.status, BeatStatus::Ready { base_url });
        until(|| machine.triggered() > before, || machine.triggered()).await;
        server.off("healthy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_during_the_boot_is_seen_with_its_last_lines() {
    let machine = Machine::new();
    let backend = machine.serve();
    let request = machine.request("a", shell("echo loading; echo 'out of memory' >&2; exit 42"));
    let id = backend.launch(&request).await.unwrap();
    let exit = Some(Exit::Code(42));
    until_state(&backend, &id, Some(InstanceState::Terminated { exit })).await;
    let beat = machine
        .beat_that("a", |beat| {
            matches!(&beat.status, BeatStatus::Unhealthy { reason } if reason.contains("code 42"))
        })
        .await;
    assert_eq!(beat.log_tail, ["loading", "out of memory"]);
    assert!(machine.triggered() > 0);
    let log = backend.tail(&request.model, 1000).await.unwrap();
    assert_eq!(log.unwrap().text, "loading\nout of memory\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_the_phase_and_it_never_goes_back() {
    let machine = Machine::new();
    let backend = machine.serve();
    let go_on = machine.dir.path().join("go-on");
    let script = format!(
        "echo 'Starting to load model x'; while [ ! -e {} ]; do sleep 0.01; done; \
         echo 'Downloading y'; echo 'Model loading took 3 s'; exec sleep 600",
        go_on.display()
    );
    let request = machine.request("a", shell(&script));
    backend.launch(&request).await.unwrap();
    let reached = |phase| BeatStatus::Booting { phase };
    let beat = machine.beat_that("a", |beat| beat.status != reached(Phase::Boot)).await;
    assert_eq!(beat.status, reached(Phase::Weights));
    assert_eq!(beat.log_tail, ["Starting to load model x"]);
    std::fs::write(&go_on, "").unwrap();
    let beat = machine.beat_that("a", |beat| beat.status != reached(Phase::Weights)).await;
    assert_eq!(beat.status, reached(Phase::Warmup));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_its_checks_is_unhealthy_until_it_recovers() {
    let machine = Machine::new();
    let backend = machine.serve();
    let server = ready_server(&machine, &backend).await;
    for switch in ["healthy", "hang"] {
        if switch == "healthy" {
            server.off(switch);
        } else {
            server.on(switch);
        }
        machine.beat_that("a", |beat| matches!(beat.status, BeatStatus::Unhealthy { .. })).await;
        if switch == "healthy" {
            server.on(switch);
        } else {
            server.off(switch);
        }
        machine.beat_that("a", |beat| is_ready(&beat.status)).await;
    }
}

/// With the health check of every day: it alone would take three times as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_connections_is_unhealthy_within_three_seconds() {
    let mut machine = Machine::new();
    machine.settings.health_interval = Duration::from_secs(5);
    let backend = machine.serve();
    let server = ready_server(&machine, &backend).await;
    server.on("deaf");
    let began = Instant::now();
    let beat = machine.beat_that("a", |beat| !is_ready(&beat.status)).await;
    let reason = "the inference server refuses connections".to_owned();
    assert_eq!(beat.status, BeatStatus::Unhealthy { reason });
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(machine.processes().len(), 1, "it lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_port_is_used_unless_somebody_listens_there() {
    let machine = Machine::new();
    let backend = machine.serve();
    let server = Server::new(machine.dir.path());
    server.on("listen");
    server.on("healthy");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut engine = server.engine();
    engine.port = Some(port);
    let request = machine.request("a", engine);
    let refused = backend.launch(&request).await.unwrap_err();
    assert!(matches!(refused, LaunchError::Capacity { .. }), "{refused:?}");
    drop(taken);
    backend.launch(&request).await.unwrap();
    let beat = machine.beat_that("a", |beat| is_ready(&beat.status)).await;
    let base_url = format!("http://127.0.0.1:{port}");
    assert_eq!(beat.status, BeatStatus::Ready { base_url });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_listens_on_another_port_is_given_up_and_told() {
    let machine = Machine::new();
    let backend = machine.serve();
    let script = "echo 'INFO:     Uvicorn running on http://0.0.0.0:8001'; exec sleep 600";
    let request = machine.request("a", shell(script));
    backend.launch(&request).await.unwrap();
    let beat =
        machine.beat_that("a", |beat| matches!(beat.status, BeatStatus::Unhealthy { .. })).await;
    let own = machine.record("a").unwrap()["port"].to_string();
    let reason = format!(
        "the inference server listens on port 8001 instead of {own} (pass `{{port}}` to its \
         `command`, or set `port = 8001`)"
    );
    assert_eq!(beat.status, BeatStatus::Unhealthy { reason });
}
