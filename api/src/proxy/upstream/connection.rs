use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

use super::chunked::ChunkedDecoder;
use super::origin::Origin;

/// How long a connection may take to be made. Replicas are near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_HEADERS: usize = 100;
const MAX_HEAD: usize = 64 * 1024;
/// Room for what we add to the headers of an answer: growing the map costs more than all of them.
const ADDED_HEADERS: usize = 16;
/// What one read takes in. vLLM's chunks have some 200 bytes; a burst of them fits.
const READ_SIZE: usize = 16 * 1024;

/// Why a request got no response head.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection: the request has not left.
    #[error("the replica refuses connections")]
    Connect(#[source] io::Error),
    /// The connection ended before a byte of the response.
    #[error("the replica closed the connection before it answered")]
    Closed(#[source] Option<io::Error>),
    /// The answer is not HTTP/1.1.
    #[error("the replica's answer is not HTTP/1.1")]
    Malformed,
    /// No response head in time.
    #[error("the replica did not answer in time")]
    TimedOut,
}

/// One connection to a replica.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) buffer: BytesMut,
}

/// How the end of a body shows.
#[derive(Debug)]
pub(super) enum Framing {
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

/// A parsed response head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
}

impl Connection {
    pub(super) async fn open(origin: &Origin) -> Result<Self, SendError> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, origin.connect())
            .await
            .map_err(|_| SendError::Connect(io::ErrorKind::TimedOut.into()))?
            .map_err(SendError::Connect)?;
        stream.set_nodelay(true).map_err(SendError::Connect)?;
        Ok(Self { stream, buffer: BytesMut::new() })
    }

    /// Whether an idle connection may be used again: the other side has neither closed it nor
    /// sent anything.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0; 1];
        let read = self.stream.try_read(&mut byte);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads the head of its response. A server may answer before it has read
    /// the whole request (413, 401) and close: that answer counts.
    pub(super) async fn exchange(&mut self, head: &[u8], body: &Bytes) -> Result<Head, SendError> {
        let sent = self.send(head, body).await;
        let mut answer = self.read_head().await;
        let is_whole = matches!(sent, Ok(true));
        if let Ok(head) = &mut answer {
            // The rest of the request would be taken for the next one.
            head.keep_alive &= is_whole;
        }
        match (sent, answer) {
            (Err(error), Err(SendError::Closed(_))) => Err(SendError::Closed(Some(error))),
            (_, answer) => answer,
        }
    }

    async fn read_head(&mut self) -> Result<Head, SendError> {
        loop {
            if let Some(head) = parse_head(&mut self.buffer)? {
                // 1xx: the real head follows.
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(SendError::Malformed);
                }
                if !head.status.is_informational() {
                    return Ok(head);
                }
                continue;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(SendError::Malformed);
            }
            match self.fill().await {
                Ok(0) if self.buffer.is_empty() => return Err(SendError::Closed(None)),
                Ok(0) => return Err(SendError::Malformed),
                Ok(_) => {}
                Err(error) => return Err(SendError::Closed(Some(error))),
            }
        }
    }

    /// Writes the request, as long as nothing comes back; returns whether all of it has left.
    async fn send(&mut self, head: &[u8], body: &Bytes) -> io::Result<bool> {
        let total = head.len() + body.len();
        let mut sent = 0;
        while sent < total {
            let slices = [
                IoSlice::new(head.get(sent..).unwrap_or_default()),
                IoSlice::new(body.get(sent.saturating_sub(head.len())..).unwrap_or_default()),
            ];
            match self.stream.try_write_vectored(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = Interest::READABLE | Interest::WRITABLE;
                    let ready = self.stream.ready(ready).await?;
                    if ready.is_readable() && self.has_answer()? {
                        return Ok(false);
                    }
                    if !ready.is_writable() && ready.is_write_closed() {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes in what the server has sent, if anything.
    fn has_answer(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ_SIZE);
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(0) => Err(io::ErrorKind::BrokenPipe.into()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what has arrived into the buffer; 0 is the end.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_SIZE);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn parse_head(buffer: &mut BytesMut) -> Result<Option<Head>, SendError> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut slots);
    let length = match response.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(SendError::Malformed),
    };
    if length > MAX_HEAD {
        return Err(SendError::Malformed);
    }
    // RFC 9110 §15 has no status beyond 599.
    let status = response
        .code
        .filter(|code| *code < 600)
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(SendError::Malformed)?;
    let mut headers = HeaderMap::with_capacity(response.headers.len() + ADDED_HEADERS);
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let old = response.version == Some(0);
    let closes = has_token(&headers, &CONNECTION, "close");
    let persists = has_token(&headers, &CONNECTION, "keep-alive");
    let framing = framing(status, &headers)?;
    let keep_alive = !closes && (!old || persists) && !matches!(framing, Framing::UntilClose);
    buffer.advance(length);
    Ok(Some(Head { status, headers, framing, keep_alive }))
}

/// RFC 9112 §6.3. What two readers could understand in two ways is refused.
fn framing(status: StatusCode, headers: &HeaderMap) -> Result<Framing, SendError> {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if status.is_informational() || bodiless {
        return Ok(Framing::Length(0));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if headers.contains_key(TRANSFER_ENCODING) {
        let chunked = has_token(headers, &TRANSFER_ENCODING, "chunked");
        return if chunked && lengths.next().is_none() {
            Ok(Framing::Chunked(ChunkedDecoder::default()))
        } else {
            Err(SendError::Malformed)
        };
    }
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(Framing::UntilClose),
        (Some(length), None) => {
            let digits = length.as_bytes().trim_ascii();
            let number = digits.iter().all(u8::is_ascii_digit).then_some(digits);
            number
                .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
                .map(Framing::Length)
                .ok_or(SendError::Malformed)
        }
        (Some(_), Some(_)) => Err(SendError::Malformed),
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Option<Head>, SendError> {
        parse_head(&mut BytesMut::from(head))
    }

    #[test]
    fn an_ambiguous_length_is_refused() {
        for fields in [
            "content-length: 5\r\ncontent-length: 60",
            "content-length: +5",
            "content-length: -1",
            "content-length: 5, 5",
            "content-length: ",
            "content-length: 5\r\ntransfer-encoding: chunked",
            "transfer-encoding: gzip",
        ] {
            let refused = parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
            assert!(matches!(refused, Err(SendError::Malformed)), "{fields}");
        }
    }

    #[test]
    fn the_end_of_a_body_is_known_by_length_chunks_or_close() {
        let framing = |fields: &str| {
            let head = parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap().unwrap();
            (head.framing, head.keep_alive)
        };
        assert!(matches!(framing("content-length: 12\r\n"), (Framing::Length(12), true)));
        assert!(matches!(framing("transfer-encoding: chunked\r\n"), (Framing::Chunked(_), true)));
        assert!(matches!(framing(""), (Framing::UntilClose, false)));
    }

    #[test]
    fn half_a_head_is_waited_for() {
        assert!(parsed("HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
    }
}
