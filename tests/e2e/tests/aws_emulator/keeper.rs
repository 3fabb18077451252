//! Nothing is left behind, however a test process ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use diogenes_e2e::aws::emulator::{Emulator, Kind};
use diogenes_e2e::eventually;

/// What the other process says of its emulator.
const HERE: &str = "the emulator is at ";

#[tokio::test]
#[ignore = "another test runs it as a process of its own"]
async fn holds_an_emulator_until_it_is_killed() {
    let emulator = Emulator::shared().await;
    println!("{HERE}{}", emulator.endpoint());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_emulator_of_a_killed_test_process_goes_away() {
    if diogenes_e2e::aws::skipped() {
        return;
    }
    let shared = Emulator::shared().await;
    if std::env::var_os("AWS_ENDPOINT_URL").is_some_and(|url| !url.is_empty()) {
        return; // Not ours.
    }
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("keeper::holds_an_emulator_until_it_is_killed")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.split(HERE).nth(1).map(str::to_owned));
    let endpoint = line.expect("the other process has an emulator");
    assert_ne!(endpoint, shared.endpoint());
    let address = endpoint.trim_start_matches("http://").to_owned();
    std::net::TcpStream::connect(&address).unwrap();

    let pid = process.id();
    process.kill().unwrap();
    process.wait().unwrap();
    eventually("the end of the emulator", async || {
        if std::net::TcpStream::connect(&address).is_ok() {
            return Err(format!("it listens on {address}"));
        }
        let left = match shared.kind() {
            Kind::LocalStack => containers(pid),
            Kind::Ministack => String::new(),
        };
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    // Ours is still there.
    std::net::TcpStream::connect(shared.endpoint().trim_start_matches("http://")).unwrap();
}

/// The containers of a test process.
fn containers(pid: u32) -> String {
    let filter = format!("name=diogenes-e2e-{pid}-");
    let listed = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}
