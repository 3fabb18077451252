//! A server that listens on another port than its own.

use std::time::Duration;

use tokio::time::Instant;

use super::health::Probe;

/// For how many health checks a server that says in its log that it listens on another port may
/// still refuse connections on its own.
const PATIENCE: u32 = 6;

/// Looks whether a server that boots will ever be found.
#[derive(Debug)]
pub struct PortWatch {
    patience: Duration,
    may_be_set: bool,
    since: Option<Instant>,
}

/// What there is to tell of a server that listens on another port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// Its log says so for the first time: for a warning. It may be about something else that the
    /// server runs.
    Suspected(String),
    /// It still refuses connections on its own port. It is not waited for any longer, for this
    /// reason.
    GivenUp(String),
}

impl PortWatch {
    /// Looks after a server whose health is checked every `interval` once it is ready. `may_be_set`
    /// says whether its model could name the port that it listens on.
    pub fn new(interval: Duration, may_be_set: bool) -> Self {
        Self { patience: interval * PATIENCE, may_be_set, since: None }
    }

    /// Takes into account what the log has `announced` so far, of the server that `probe` asks.
    pub async fn look(&mut self, announced: Option<u16>, probe: &Probe) -> Option<Misplaced> {
        let own = probe.port();
        let port = announced.filter(|port| *port != own)?;
        let Some(since) = self.since else {
            self.since = Some(Instant::now());
            return Some(Misplaced::Suspected(format!(
                "says that the server listens on port {port} instead of {own}"
            )));
        };
        if since.elapsed() < self.patience || !probe.is_refused().await {
            return None;
        }
        let or_set =
            if self.may_be_set { format!(", or set `port = {port}`") } else { String::new() };
        Some(Misplaced::GivenUp(format!(
            "the inference server listens on port {port} instead of {own} (pass `{{port}}` to its \
             `command`{or_set})"
        )))
    }
}
