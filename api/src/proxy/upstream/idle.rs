use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;

/// The most idle connections kept per replica.
const MAX_IDLE: usize = 256;
/// How long an idle connection is kept for use. Servers close theirs after 5 s (uvicorn, which
/// vLLM and SGLang run on, and llama.cpp's server): one that is closed while a request is on its
/// way costs that request, as a request that has left is never sent again.
const MAX_IDLE_TIME: Duration = Duration::from_secs(4);

/// The connections to one replica that wait for their next request.
#[derive(Debug, Default)]
pub(super) struct IdleConnections(Mutex<Vec<Idle>>);

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl IdleConnections {
    pub(super) fn put(&self, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// The youngest that may be used.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The youngest first, so that the others age.
        while let Some(Idle { connection, since }) = idle.pop() {
            if since.elapsed() >= MAX_IDLE_TIME {
                // Those below it are older still.
                idle.clear();
                return None;
            }
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }
}
