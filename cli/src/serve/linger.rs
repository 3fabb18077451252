use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A client that sends nothing for so long is not in the middle of a body.
const QUIET: Duration = Duration::from_millis(250);
/// How long a client may go on sending a body that was refused.
const MOST: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what is sent to it. One that has stopped reading would
/// else hold its answer in memory and its replica in use for as long as it likes.
const WRITE_STALL: Duration = Duration::from_mins(1);

/// How a TLS handshake begins: a record of type 22, of version 3.x. No request begins so.
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];
/// The answer to one. Clients that show what they got, show this.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 57\r\nconnection: close\r\n\r\n\
    this port speaks HTTP without TLS; use an http:// URL\r\n\r\n";

/// A connection that is given up when its client stops reading, and that is read to its end after
/// the last answer.
///
/// Who closes a socket that still receives sends a reset, and a reset discards what the client
/// has not read yet: a refused upload would end in "broken pipe" instead of the 413 or 401 that
/// tells why. RFC 9112 §9.6 asks for this.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    ending: Option<Ending>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether anything was read.
    began: bool,
}

#[derive(Debug)]
struct Ending {
    began: Instant,
    quiet: Pin<Box<Sleep>>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, ending: None, stalled: None, began: false }
    }
}

impl Lingering {
    /// Passes on what became of a write, unless it has been waiting for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has stopped reading")))
    }
}

impl Lingering {
    /// Tells a client that it speaks TLS to a port that does not. To the server, the connection
    /// then ends without a request.
    fn refuse_tls(&self) {
        let peer = self.stream.peer_addr().map_or_else(|_| "a client".into(), |at| at.to_string());
        tracing::warn!(
            "{peer} speaks TLS to this port, which does not: use an http:// URL, or put a proxy with TLS in front"
        );
        // The buffer of a fresh connection has room for it; if not, closing says enough.
        if let Err(error) = self.stream.try_write(NOT_TLS) {
            tracing::debug!(%error, "a TLS client could not be answered");
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if !self.began && read.is_ready() {
            self.began = true;
            let first = buffer.filled().get(before..).unwrap_or_default();
            if first.starts_with(&TLS_HANDSHAKE) {
                self.refuse_tls();
                buffer.set_filled(before);
            }
        }
        read
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, ending, .. } = &mut *self;
        if ending.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let Ending { began, quiet } = ending
            .get_or_insert_with(|| Ending { began: Instant::now(), quiet: Box::pin(sleep(QUIET)) });
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut unread = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() && began.elapsed() < MOST => {
                    quiet.as_mut().reset(Instant::now() + QUIET);
                }
                // The client has closed its side too, or is given up.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return quiet.as_mut().poll(cx).map(Ok),
            }
        }
    }
}
