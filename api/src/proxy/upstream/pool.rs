use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use super::body::ResponseBody;
use super::connection::{Connection, SendError};

/// The most idle connections kept per replica.
const MAX_IDLE: usize = 256;

/// Where a replica answers: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    authority: String,
    address: SocketAddr,
}

/// A base URL that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is no base URL of a replica; it must be `http://HOST:PORT`")]
pub(crate) struct OriginError {
    url: String,
}

impl Origin {
    /// Parses a base URL. A host name is looked up once, here.
    pub(crate) fn parse(url: &str) -> Result<Self, OriginError> {
        let wrong = || OriginError { url: url.to_owned() };
        let authority = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .filter(|rest| !rest.contains('/'))
            .ok_or_else(wrong)?;
        let address =
            authority.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(wrong)?;
        Ok(Self { authority: authority.to_owned(), address })
    }
}

/// One replica's address and its idle connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    origin: Origin,
    idle: Mutex<Vec<Connection>>,
}

/// What to ask.
#[derive(Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    /// Path and query.
    pub(crate) path: &'a str,
    /// Headers, already free of hop-by-hop ones, of `host` and of `content-length`.
    pub(crate) headers: &'a HeaderMap,
    /// The bearer token that the replica asks for.
    pub(crate) bearer: &'a str,
}

/// A response whose body is yet to be read.
#[derive(Debug)]
pub(crate) struct UpstreamResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ResponseBody,
}

impl Upstream {
    pub(crate) fn new(origin: Origin) -> Arc<Self> {
        Arc::new(Self { origin, idle: Mutex::default() })
    }

    /// Sends a request and waits for the head of its response, at most `timeout`.
    ///
    /// An idle connection that the replica closed just then is replaced by a new one, once; the
    /// replica has not begun to answer, and an inference request changes nothing there.
    pub(crate) async fn send(
        self: &Arc<Self>,
        request: &RequestHead<'_>,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<UpstreamResponse, SendError> {
        let head = self.encode(request, body.len());
        let attempt = async {
            if let Some(mut connection) = self.take_idle() {
                match connection.exchange(&head, body).await {
                    Err(SendError::Closed(_)) => {}
                    answered => return answered.map(|head| (head, connection)),
                }
            }
            let mut connection = Connection::open(self.origin.address).await?;
            connection.exchange(&head, body).await.map(|head| (head, connection))
        };
        let (head, connection) =
            tokio::time::timeout(timeout, attempt).await.map_err(|_| SendError::TimedOut)??;
        let body =
            ResponseBody::new(connection, head.framing, head.keep_alive, self.clone(), timeout);
        Ok(UpstreamResponse { status: head.status, headers: head.headers, body })
    }

    /// Whether the replica accepts connections.
    pub(crate) async fn is_reachable(&self) -> bool {
        match Connection::open(self.origin.address).await {
            Ok(connection) => {
                self.put_back(connection);
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The youngest first, so that the others age and are found closed.
        while let Some(connection) = idle.pop() {
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn encode(&self, request: &RequestHead<'_>, length: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        let mut put = |part: &[u8]| head.extend_from_slice(part);
        put(request.method.as_str().as_bytes());
        put(b" ");
        put(request.path.as_bytes());
        put(b" HTTP/1.1\r\nhost: ");
        put(self.origin.authority.as_bytes());
        put(b"\r\nauthorization: Bearer ");
        put(request.bearer.as_bytes());
        put(b"\r\n");
        for (name, value) in request.headers {
            put_header(&mut put, name, value);
        }
        put(b"content-length: ");
        put(length.to_string().as_bytes());
        put(b"\r\n\r\n");
        head
    }
}

fn put_header(put: &mut impl FnMut(&[u8]), name: &HeaderName, value: &HeaderValue) {
    put(name.as_str().as_bytes());
    put(b": ");
    put(value.as_bytes());
    put(b"\r\n");
}
