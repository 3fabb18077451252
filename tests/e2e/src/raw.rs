use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Answer;

/// One connection, for what an HTTP client would not send, or would send on another connection.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RawConnection {
    /// Connects to `http://HOST:PORT`.
    pub async fn open(base_url: &str) -> Self {
        let address = base_url.strip_prefix("http://").expect("a plain URL");
        let stream = TcpStream::connect(address).await.expect("it listens");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("it reads");
    }

    /// Sends a request with these header lines and this body.
    pub async fn send(&mut self, request_line: &str, headers: &[&str], body: &str) {
        let mut lines = format!("{request_line} HTTP/1.1\r\nhost: test\r\n");
        for header in headers {
            lines.push_str(header);
            lines.push_str("\r\n");
        }
        self.write(format!("{lines}content-length: {}\r\n\r\n{body}", body.len())).await;
    }

    /// Reads one answer, which must have a `content-length`.
    pub async fn answer(&mut self) -> Answer {
        let end = loop {
            match self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(at) => break at,
                None => self.fill().await,
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let status = StatusCode::from_bytes(status.as_bytes()).expect("a status");
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            let name: HeaderName = name.parse().expect("a header's name");
            headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let length = headers.get("content-length").map_or("0", |length| length.to_str().unwrap());
        let whole = end + 4 + length.parse::<usize>().expect("a length");
        while self.buffer.len() < whole {
            self.fill().await;
        }
        let body = self.buffer[end + 4..whole].to_vec();
        self.buffer.drain(..whole);
        Answer { status, headers, body }
    }

    /// Reads until the connection ends.
    pub async fn rest(&mut self) -> String {
        self.stream.read_to_end(&mut self.buffer).await.expect("it ends");
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    async fn fill(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.expect("it answers");
        assert!(read > 0, "the connection ended after {}", String::from_utf8_lossy(&self.buffer));
    }
}
