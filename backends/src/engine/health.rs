//! Asking an inference server whether it answers.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use diogenes_core::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::loopback::{connect, reachable};

/// Failed checks in a row after which a server that was ready is unhealthy.
const FAILURES: u32 = 3;
/// The most of an answer that is read for its status line.
const STATUS_LINE: usize = 1024;

/// The health check of one server.
#[derive(Debug)]
pub struct Probe {
    address: SocketAddr,
    request: String,
    patience: Duration,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum Unwell {
    /// Nobody listens, or the connection broke.
    #[error("the health check could not connect: {0}")]
    Unreachable(#[from] io::Error),
    /// It answered something else.
    #[error("the health check was answered with status {0}")]
    Status(u16),
    /// What came back is not HTTP.
    #[error("the health check was answered with something that is not HTTP")]
    NotHttp,
    /// No answer came.
    #[error("the health check got no answer within {}", diogenes_core::duration::format(*.0))]
    TimedOut(Duration),
}

impl Probe {
    /// Asks for `path` at the server that listens on `listens`, and waits for `patience` each
    /// time. A server that accepts and answers late is waited for, so its answer is noticed the
    /// moment it comes.
    pub fn new(listens: SocketAddr, path: &str, key: &Secret, patience: Duration) -> Self {
        let address = reachable(listens);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Accept: */*\r\nUser-Agent: diogenes\r\nConnection: close\r\n\r\n",
            path = in_request_line(path),
            key = key.expose().replace(|c: char| c.is_control(), ""),
        );
        Self { address, request, patience }
    }

    /// The port that is asked.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Scheme, host and port.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns once the server answers 200. `pause` says how long to wait after a check that
    /// failed, from the time since the first one.
    pub async fn until_ready(&self, pause: impl Fn(Duration) -> Duration) {
        let began = Instant::now();
        while self.check().await.is_err() {
            sleep(pause(began.elapsed())).await;
        }
    }

    /// One check.
    pub async fn check(&self) -> Result<(), Unwell> {
        match timeout(self.patience, self.status()).await {
            Ok(Ok(200)) => Ok(()),
            Ok(Ok(status)) => Err(Unwell::Status(status)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Unwell::TimedOut(self.patience)),
        }
    }

    /// Whether nobody listens. It says nothing of a server that is only slow, asks nothing of one
    /// that is well, and leaves no line in its log.
    pub async fn is_refused(&self) -> bool {
        let connected = timeout(self.patience, connect(self.address)).await;
        matches!(connected, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    async fn status(&self) -> Result<u16, Unwell> {
        let mut stream = connect(self.address).await?;
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

/// The health of a server that was ready, from check to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    failures: u32,
    refusals: u32,
}

/// What a check changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It counts as unhealthy, for this reason.
    Unwell(String),
    /// It is well again.
    Well,
}

impl Health {
    /// The health of a server that counts as unhealthy.
    pub fn unwell() -> Self {
        Self { failures: FAILURES, refusals: 0 }
    }

    /// Takes a glance into account, of which there are more than checks: whether the server
    /// refused a connection.
    pub fn glance(&mut self, is_refused: bool) -> Option<Change> {
        self.refusals = if is_refused { self.refusals.saturating_add(1) } else { 0 };
        if self.refusals < FAILURES || self.failures >= FAILURES {
            return None;
        }
        self.failures = FAILURES;
        Some(Change::Unwell("the inference server refuses connections".into()))
    }

    /// Takes a check into account.
    pub fn see(&mut self, check: &Result<(), Unwell>) -> Option<Change> {
        match check {
            Ok(()) => {
                let was_unwell = self.failures >= FAILURES;
                self.failures = 0;
                was_unwell.then_some(Change::Well)
            }
            Err(unwell) => {
                self.failures = self.failures.saturating_add(1);
                let reason = || format!("{unwell}, {FAILURES} times in a row");
                (self.failures == FAILURES).then(|| Change::Unwell(reason()))
            }
        }
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
    fn three_failures_in_a_row_are_unhealthy_and_one_success_is_well() {
        let mut health = Health::default();
        let unwell = || Err(Unwell::Status(503));
        assert_eq!((health.see(&unwell()), health.see(&unwell())), (None, None));
        assert_eq!(health.see(&Ok(())), None);
        assert_eq!((health.see(&unwell()), health.see(&unwell())), (None, None));
        let reason = "the health check was answered with status 503, 3 times in a row".to_owned();
        assert_eq!(health.see(&unwell()), Some(Change::Unwell(reason)));
        assert_eq!(health.see(&unwell()), None);
        assert_eq!(health.see(&Ok(())), Some(Change::Well));
        assert_eq!(Health::unwell().see(&Ok(())), Some(Change::Well));
    }

    #[test]
    fn three_refusals_in_a_row_are_unhealthy_whatever_the_checks_said() {
        let mut health = Health::default();
        assert_eq!((health.glance(true), health.glance(true)), (None, None));
        assert_eq!(health.glance(false), None);
        assert_eq!((health.glance(true), health.glance(true)), (None, None));
        let reason = "the inference server refuses connections".to_owned();
        assert_eq!(health.glance(true), Some(Change::Unwell(reason)));
        assert_eq!((health.glance(true), health.glance(false)), (None, None));
        assert_eq!(health.see(&Ok(())), Some(Change::Well));
    }
}
