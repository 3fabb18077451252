//! A client that shows what was on the wire: whether a body was whole, and how a connection ended.

use std::net::SocketAddr;
use std::time::Duration;

use mock_vllm::MockVllm;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long any single step may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) const CHAT: &str = "/v1/chat/completions";

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// Whether the body ended as its framing says.
    pub(crate) whole: bool,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of each stream event, `[DONE]` too.
    pub(crate) fn events(&self) -> Vec<&str> {
        let events = self.body.split("\n\n").filter(|event| !event.is_empty());
        events.map(|event| event.split_once("data: ").unwrap().1).collect()
    }
}

/// Opens a connection and sends a request; the answer is not read.
pub(crate) async fn open(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads until the other side closes.
pub(crate) async fn read(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end like another; what came before it counts.
    let _ = read.expect("the connection stayed open");
    parse(&String::from_utf8(bytes).unwrap())
}

/// Reads until `wanted` has come.
pub(crate) async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut seen = String::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while !seen.contains(wanted) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed before {wanted:?}: {seen:?}");
            seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    };
    assert!(tokio::time::timeout(DEADLINE, reading).await.is_ok(), "no {wanted:?}: {seen:?}");
    seen
}

pub(crate) async fn post(mock: &MockVllm, path: &str, body: &str) -> Reply {
    read(open(mock.addr(), "POST", path, "", body).await).await
}

pub(crate) async fn get(mock: &MockVllm, path: &str) -> Reply {
    read(open(mock.addr(), "GET", path, "", "").await).await
}

fn parse(raw: &str) -> Reply {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {raw:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        let (body, whole) = unchunk(body);
        return Reply { status, head, body, whole };
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let whole = length.parse() == Ok(body.len());
    Reply { status, head, body: body.to_owned(), whole }
}

fn unchunk(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = after.get(..size) else {
            break;
        };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or("");
    }
    (body, false)
}
