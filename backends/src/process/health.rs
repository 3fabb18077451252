//! Asking an inference server whether it answers.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long one check may take. A server that accepts and answers late is waited for, so its
/// answer is noticed the moment it comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a booting server is asked at first. A refused connection on loopback costs some
/// 30 µs, and the callers are held until the answer.
const EAGER: Duration = Duration::from_millis(10);
/// How often it is asked later.
const PATIENT: Duration = Duration::from_millis(25);
/// For how long a boot counts as young.
const YOUNG: Duration = Duration::from_mins(1);
/// The most of an answer that is read for its status line.
const STATUS_LINE: usize = 1024;

/// The health check of one server.
#[derive(Debug)]
pub(super) struct Probe {
    address: SocketAddr,
    request: String,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwell {
    /// Nobody listens, or the connection broke.
    #[error("the health check could not connect: {0}")]
    Unreachable(#[from] io::Error),
    /// It answered something else.
    #[error("the health check was answered with status {0}")]
    Status(u16),
    /// What came back is no HTTP.
    #[error("the health check was answered with something that is not HTTP")]
    NotHttp,
    /// No answer came.
    #[error("the health check got no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
}

impl Probe {
    /// Asks for `path` at the server that listens on `host` and `port`.
    pub(super) fn new(host: IpAddr, port: u16, path: &str, key: &str) -> Self {
        let address = SocketAddr::new(reachable(host), port);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Accept: */*\r\nUser-Agent: diogenes\r\nConnection: close\r\n\r\n",
            path = in_request_line(path),
            key = key.replace(|c: char| c.is_control(), ""),
        );
        Self { address, request }
    }

    /// Scheme, host and port.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns once the server answers 200.
    pub(super) async fn until_ready(&self) {
        let began = Instant::now();
        while self.check().await.is_err() {
            let young = began.elapsed() < YOUNG;
            sleep(if young { EAGER } else { PATIENT }).await;
        }
    }

    /// One check.
    pub(super) async fn check(&self) -> Result<(), Unwell> {
        match timeout(PATIENCE, self.status()).await {
            Ok(Ok(200)) => Ok(()),
            Ok(Ok(status)) => Err(Unwell::Status(status)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Unwell::TimedOut),
        }
    }

    async fn status(&self) -> Result<u16, Unwell> {
        let mut stream = TcpStream::connect(self.address).await?;
        if stream.local_addr()? == self.address {
            // The kernel picked the server's port for our end and connected us to ourselves.
            // Nothing may linger there, or the server could not bind.
            stream.set_zero_linger()?;
            return Err(Unwell::NotHttp);
        }
        stream.write_all(self.request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(STATUS_LINE);
        while !answer.contains(&b'\n') && answer.len() < STATUS_LINE {
            if stream.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        status_of(&answer).ok_or(Unwell::NotHttp)
    }
}

/// Where a server that listens on `host` is found from here.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// `path` as it may stand in a request line.
fn in_request_line(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// The status of an answer such as `HTTP/1.1 200 OK`, `HTTP/1.0 200` and the like.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (version, rest) = line.split_once(' ')?;
    version.strip_prefix("HTTP/")?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_every_form_of_the_line() {
        for (answer, status) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some(200)),
            ("HTTP/1.0 200\n\n", Some(200)),
            ("HTTP/1.1 503 Service Unavailable", Some(503)),
            ("GET /health HTTP/1.1\r\n", None),
            ("", None),
        ] {
            assert_eq!(status_of(answer.as_bytes()), status, "{answer:?}");
        }
    }

    #[test]
    fn a_path_cannot_end_the_request_line() {
        assert_eq!(in_request_line("/a b\r\n?x=ü"), "/a%20b%0D%0A?x=%C3%BC");
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        let probe = Probe::new(Ipv6Addr::UNSPECIFIED.into(), 80, "/", "k");
        assert_eq!(probe.base_url(), "http://[::1]:80");
    }
}
