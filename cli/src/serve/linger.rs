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

/// A connection that is read to its end after the last answer.
///
/// Who closes a socket that still receives sends a reset, and a reset discards what the client
/// has not read yet: a refused upload would end in "broken pipe" instead of the 413 or 401 that
/// tells why. RFC 9112 §9.6 asks for this.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Ending {
    began: Instant,
    quiet: Pin<Box<Sleep>>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, ending: None }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, ending } = &mut *self;
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
