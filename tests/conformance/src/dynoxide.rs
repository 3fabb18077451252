//! A DynamoDB for tests: the emulator `dynoxide`, run as a program.
//!
//! It is looked for on the `PATH` and in `target/tools/bin`, and else installed there, once, from
//! crates.io (about three minutes).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The release that the tests were written against.
const VERSION: &str = "3.2.0";

/// How often a start is tried: between the choice of a free port and the start another process
/// may take the port.
const STARTS: usize = 5;

/// The shell that runs the server reads from a pipe whose other end is in this process. However
/// this process ends, the pipe closes, and the server ends with it.
const UNTIL_THE_PIPE_CLOSES: &str = r#"
    "$0" --host 127.0.0.1 --port "$1" &
    server=$!
    exec 2>/dev/null
    read -r line
    kill -9 "$server"
    wait "$server"
"#;

/// The URL of an emulator that runs on a free port of 127.0.0.1, in memory, until this process
/// ends, whichever way. The first call starts it; every further one returns the same.
pub fn endpoint() -> &'static str {
    static SERVER: OnceLock<(String, Child)> = OnceLock::new();
    let (endpoint, _) = SERVER.get_or_init(|| {
        let program = program();
        let mut complaints = String::new();
        for _ in 0..STARTS {
            match start(&program) {
                Ok(server) => return server,
                Err(complaint) => complaints.push_str(&complaint),
            }
        }
        panic!("`{}` does not start: {complaints}", program.display());
    });
    endpoint
}

#[expect(clippy::zombie_processes, reason = "the server is there until this process ends")]
fn start(program: &Path) -> Result<(String, Child), String> {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("a bound port").port()
    };
    let mut shell = Command::new("/bin/sh")
        .args(["-c", UNTIL_THE_PIPE_CLOSES])
        .arg(program)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut said = BufReader::new(shell.stderr.take().expect("a pipe"));
    let mut lines = String::new();
    loop {
        let read = said.read_line(&mut lines).expect("what the server says");
        if lines.contains("listening on") {
            // Somebody has to read on, or the server stops when the pipe is full.
            std::thread::spawn(move || {
                let mut rest = [0; 1024];
                while said.read(&mut rest).is_ok_and(|bytes| bytes > 0) {}
            });
            return Ok((format!("http://127.0.0.1:{port}"), shell));
        }
        if read == 0 {
            drop(shell.stdin.take());
            shell.wait().expect("the end of the shell");
            return Err(lines);
        }
    }
}

/// Where the emulator is, after it was installed if need be.
fn program() -> PathBuf {
    let tools = tools();
    let installed = tools.join("bin/dynoxide");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("dynoxide"));
    if let Some(found) = on_path.chain([installed.clone()]).find(|path| path.is_file()) {
        return found;
    }
    // One of the test processes installs it, the others wait here.
    fs::create_dir_all(&tools).expect("the directory of the tools");
    let lock = File::create(tools.join("dynoxide.lock")).expect("the lock of the tools");
    lock.lock().expect("the lock of the tools");
    if !installed.is_file() {
        install(&tools);
    }
    installed
}

fn install(tools: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let done = Command::new(cargo)
        .args(["install", "--locked", "--no-default-features"])
        .args(["--features", "native-sqlite,http-server,cli"])
        .arg("--root")
        .arg(tools)
        .arg(format!("dynoxide-rs@{VERSION}"))
        .stdin(Stdio::null())
        .status();
    assert!(
        done.as_ref().is_ok_and(std::process::ExitStatus::success),
        "`dynoxide` could not be installed ({done:?}); install it with `cargo install --locked \
         dynoxide-rs@{VERSION} --no-default-features --features native-sqlite,http-server,cli`"
    );
}

/// The directory for tools below the target directory in which this program was built.
fn tools() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    // `target/PROFILE/PROGRAM`, or `target/PROFILE/deps/TEST`.
    let mut folders = program.ancestors().skip(1).filter(|folder| !folder.ends_with("deps"));
    folders.nth(1).expect("the target directory of cargo").join("tools")
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn server_ends_when_the_pipe_closes() {
        let (endpoint, mut shell) = start(&program()).unwrap();
        let address = endpoint.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert!(connection.read(&mut [0; 64]).unwrap() > 0);

        drop(shell.stdin.take());
        shell.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < deadline, "the server still listens");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn endpoint_stays_the_same() {
        assert_eq!(endpoint(), endpoint());
    }
}
