use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use super::keeper::Keeper;
use super::tools::{lock, run, tools};
use super::{Emulator, Kind, answers};

const VERSION: &str = "1.5.33";

/// Installs ministack below `target/tools` unless it is there, and starts it on a free port.
pub(super) async fn start() -> Result<Emulator, String> {
    let program = tokio::task::spawn_blocking(install).await.expect("no panic")?;
    // Another program may take the port before ministack does.
    let mut problem = String::new();
    for _ in 0..3 {
        match start_on(&program, free_port()).await {
            Ok(emulator) => return Ok(emulator),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

async fn start_on(program: &PathBuf, port: u16) -> Result<Emulator, String> {
    let mut keeper = Keeper::of_process(
        Command::new(program)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            // It runs containers for some services, where it finds Docker.
            .env("DOCKER_HOST", "unix:///nonexistent")
            .env("LOG_LEVEL", "WARNING"),
    );
    let endpoint = format!("http://127.0.0.1:{port}");
    if answers(&endpoint, Kind::Ministack, || !keeper.has_ended()).await {
        return Ok(Emulator { endpoint, kind: Kind::Ministack, _keeper: Some(keeper) });
    }
    Err(format!("`{}` does not answer on port {port}", program.display()))
}

/// The path of its program, in a virtual environment; a marker tells a complete one.
fn install() -> Result<PathBuf, String> {
    let _alone = lock("ministack");
    let place = tools().join(format!("ministack-{VERSION}"));
    let program = place.join("bin/ministack");
    let complete = place.join("complete");
    if complete.exists() {
        return Ok(program);
    }
    super::say("installing ministack from PyPI");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))
        .map_err(|error| format!("{error}; install python3-venv"))?;
    run(Command::new(place.join("bin/pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &format!("ministack=={VERSION}"),
    ]))?;
    std::fs::write(complete, "").map_err(|error| error.to_string())?;
    Ok(program)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
