use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::{Connection, Framing};
use super::idle::IdleConnections;

/// How long the last chunk of a stream may come after its last event.
const FINISH: Duration = Duration::from_secs(1);
/// The most bytes that are rather copied than split off their buffer.
const MAX_COPIED: usize = 4096;

/// Why a body is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection ended before the body did.
    #[error("the replica closed the connection in the middle of its answer")]
    Cut,
    /// No byte came for too long.
    #[error("the replica's answer stalled")]
    Stalled,
    /// The transfer coding is broken.
    #[error("the replica's answer is not HTTP/1.1")]
    Malformed,
}

/// The body of a response. Dropping it before its end closes the connection, which is how an
/// inference server learns that nobody listens any more.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    ahead: Option<Box<Ahead>>,
}

#[derive(Debug)]
enum Source {
    Replica(ReplicaBody),
    Hosted(Box<HostedBody>),
}

/// What was read already, and put back.
#[derive(Debug)]
struct Ahead {
    bytes: Bytes,
    broken: Option<BodyError>,
}

impl ResponseBody {
    /// The body of a provider's answer, which must have ended at `ends`.
    pub(crate) fn hosted(
        response: reqwest::Response,
        stall_timeout: Duration,
        ends: Instant,
    ) -> Self {
        Self::of(Source::Hosted(Box::new(HostedBody { response, stall_timeout, ends })))
    }

    /// The body of a replica's answer.
    pub(super) fn replica(body: ReplicaBody) -> Self {
        Self::of(Source::Replica(body))
    }

    fn of(source: Source) -> Self {
        Self { source, ahead: None }
    }

    /// Whether it says where it ends, so that a lost connection is not taken for its end.
    pub(crate) fn says_its_end(&self) -> bool {
        match &self.source {
            Source::Replica(body) => !matches!(body.framing, Framing::UntilClose),
            Source::Hosted(body) => body.says_its_end(),
        }
    }

    /// Puts back what was read: `bytes`, and how it ended behind them, if it did.
    pub(crate) fn put_back(&mut self, bytes: Bytes, broken: Option<BodyError>) {
        self.ahead = Some(Box::new(Ahead { bytes, broken }));
    }

    /// All payload bytes that have arrived, waiting for the first; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(ahead) = &mut self.ahead {
            if !ahead.bytes.is_empty() {
                return Ok(Some(std::mem::take(&mut ahead.bytes)));
            }
            if let Some(broken) = ahead.broken {
                return Err(broken);
            }
            self.ahead = None;
        }
        match &mut self.source {
            Source::Replica(body) => body.next().await,
            Source::Hosted(body) => body.next().await,
        }
    }

    /// Reads on to the end of the transfer coding, for the connection's next use; what comes until
    /// then is of no interest. Gives up after a moment.
    pub(crate) async fn finish(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.next().await {} };
        // Without its end the connection is closed, which is all that there is to it.
        let _ = tokio::time::timeout(FINISH, rest).await;
    }
}

/// The body of a provider's answer.
#[derive(Debug)]
pub(crate) struct HostedBody {
    response: reqwest::Response,
    stall_timeout: Duration,
    /// When the answer must have ended.
    ends: Instant,
}

impl HostedBody {
    fn says_its_end(&self) -> bool {
        let headers = self.response.headers();
        self.response.version() > Version::HTTP_11
            || headers.contains_key(CONTENT_LENGTH)
            || headers.contains_key(TRANSFER_ENCODING)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let deadline = (Instant::now() + self.stall_timeout).min(self.ends);
        match tokio::time::timeout_at(deadline, self.response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(BodyError::Cut),
            Err(_) => Err(BodyError::Stalled),
        }
    }
}

/// The body of a replica's answer.
#[derive(Debug)]
pub(crate) struct ReplicaBody {
    connection: Option<Connection>,
    framing: Framing,
    keep_alive: bool,
    idle: Arc<IdleConnections>,
    stall_timeout: Duration,
    /// One timer for the whole body: it is looked at when it fires, not reset for every chunk. There
    /// is none before something has to be waited for.
    stall: Option<Pin<Box<Sleep>>>,
    done: bool,
}

impl ReplicaBody {
    pub(super) fn new(
        connection: Connection,
        framing: Framing,
        keep_alive: bool,
        idle: Arc<IdleConnections>,
        stall_timeout: Duration,
    ) -> Self {
        Self {
            connection: Some(connection),
            framing,
            keep_alive,
            idle,
            stall_timeout,
            stall: None,
            done: false,
        }
    }

    /// All payload bytes that have arrived, waiting for the first; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.done {
            return Ok(None);
        }
        let mut waits_since = None;
        loop {
            if let Some(bytes) = self.take_buffered()? {
                return Ok(Some(bytes));
            }
            if self.done {
                self.recycle();
                return Ok(None);
            }
            let Some(connection) = &mut self.connection else {
                return Err(BodyError::Cut);
            };
            let deadline = *waits_since.get_or_insert_with(Instant::now) + self.stall_timeout;
            let stall = self.stall.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            let read = tokio::select! {
                biased;
                read = connection.fill() => read,
                () = &mut *stall => {
                    if Instant::now() >= deadline {
                        self.connection = None;
                        return Err(BodyError::Stalled);
                    }
                    stall.as_mut().reset(deadline);
                    continue;
                }
            };
            match read {
                Ok(read) if read > 0 => {}
                _ if matches!(self.framing, Framing::UntilClose) && read.is_ok() => {
                    self.done = true;
                }
                _ => {
                    self.connection = None;
                    return Err(BodyError::Cut);
                }
            }
        }
    }

    /// Payload that is in the buffer already; sets `done` at the end of the body.
    fn take_buffered(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(connection) = &mut self.connection else {
            return Err(BodyError::Cut);
        };
        let buffer = &mut connection.buffer;
        let payload = match &mut self.framing {
            Framing::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= here as u64;
                self.done = *left == 0;
                take(buffer, here)
            }
            Framing::Chunked(decoder) => {
                let mut payload = BytesMut::new();
                match decoder.decode(buffer, &mut payload) {
                    Ok(done) => self.done = done,
                    // What came before the fault is whole; the next call meets the fault again.
                    Err(_) if !payload.is_empty() => {}
                    Err(_) => return Err(BodyError::Malformed),
                }
                payload.freeze()
            }
            Framing::UntilClose => take(buffer, buffer.len()),
        };
        Ok((!payload.is_empty()).then_some(payload))
    }

    /// Gives the connection back once the body is read to its end.
    fn recycle(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.keep_alive
            && connection.buffer.is_empty()
        {
            self.idle.put(connection);
        }
    }
}

impl Drop for ReplicaBody {
    fn drop(&mut self) {
        if self.done {
            self.recycle();
        }
    }
}

/// The first bytes of a buffer. Few are copied: a part that is split off would keep the buffer from
/// being used again, and another would be allocated for the next read.
fn take(buffer: &mut BytesMut, length: usize) -> Bytes {
    match buffer.get(..length) {
        Some(bytes) if length <= MAX_COPIED => {
            let copy = Bytes::copy_from_slice(bytes);
            buffer.advance(length);
            copy
        }
        _ => buffer.split_to(length).freeze(),
    }
}
