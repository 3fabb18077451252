//! The inference server of the other tests: this program again, with a test that serves.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use diogenes_core::fleet::Engine;

use super::support::{Machine, engine, until, wait_blocking};

const SWITCHES: &str = "TEST_SERVER_SWITCHES";

/// A server that does what the files in a directory say.
#[derive(Clone, Debug)]
pub(super) struct Server(PathBuf);

impl Server {
    pub(super) fn new(dir: &Path) -> Self {
        let switches = dir.join("switches");
        std::fs::create_dir_all(&switches).unwrap();
        Self(switches)
    }

    pub(super) fn engine(&self) -> Engine {
        let program = std::env::current_exe().unwrap();
        let name = "process::tests::server::serve_for_the_other_tests";
        let mut engine =
            engine(&[program.to_str().unwrap(), name, "--exact", "--ignored", "--nocapture"]);
        let switches = self.0.to_str().unwrap().to_owned();
        engine.env.insert(SWITCHES.to_owned(), switches.into());
        engine
    }

    /// Throws a switch: `listen`, `healthy`, `hang`, `deaf`.
    pub(super) fn on(&self, switch: &str) {
        std::fs::write(self.0.join(switch), "").unwrap();
    }

    /// Waits until the server of `claim` listens.
    pub(super) async fn until_answering(&self, machine: &Machine, claim: &str) {
        let port = machine.record(claim).unwrap()["port"].as_u64().unwrap();
        let port = u16::try_from(port).unwrap();
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        until(listens, || "nobody listens").await;
    }

    pub(super) fn off(&self, switch: &str) {
        std::fs::remove_file(self.0.join(switch)).unwrap();
    }
}

/// Listens once `listen` is on, and until `deaf` is; answers 200 when `healthy` is, 503 before;
/// waits while `hang` is.
#[test]
#[ignore = "it is the server of the other tests"]
fn serve_for_the_other_tests() {
    let Some(switches) = std::env::var_os(SWITCHES).map(PathBuf::from) else {
        return;
    };
    let is_on = |switch: &str| switches.join(switch).exists();
    // It ends with the test that started it, whatever becomes of that.
    let over = || !switches.is_dir();
    wait_blocking(|| is_on("listen") || over());
    let address = format!("{}:{}", std::env::var("HOST").unwrap(), std::env::var("PORT").unwrap());
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    while !over() {
        if is_on("deaf") {
            drop(listener);
            return wait_blocking(over);
        }
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        if is_on("hang") {
            continue;
        }
        stream.set_nonblocking(false).unwrap();
        let mut request = [0; 1024];
        let Ok(read) = stream.read(&mut request) else {
            continue;
        };
        let key = format!("Bearer {}", std::env::var("VLLM_API_KEY").unwrap());
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        let status = if !request.contains(&key) {
            "401 Unauthorized"
        } else if is_on("healthy") {
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    }
}
