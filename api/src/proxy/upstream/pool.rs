use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::secret::Secret;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use super::body::{ReplicaBody, ResponseBody};
use super::connection::{Connection, SendError};
use super::idle::IdleConnections;
use super::origin::Origin;

/// One replica's address and its idle connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    origin: Origin,
    idle: Arc<IdleConnections>,
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
    pub(crate) bearer: &'a Secret,
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
        Arc::new(Self { origin, idle: Arc::default() })
    }

    /// `HOST:PORT`.
    pub(crate) fn authority(&self) -> &str {
        self.origin.authority()
    }

    /// Sends a request and waits for the head of its response, at most `timeout`. Whatever comes
    /// of it, the request is written to one connection only.
    pub(crate) async fn send(
        self: &Arc<Self>,
        request: &RequestHead<'_>,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<UpstreamResponse, SendError> {
        let head = self.encode(request, body.len());
        let attempt = async {
            let mut connection = match self.idle.take() {
                Some(connection) => connection,
                None => Connection::open(&self.origin).await?,
            };
            connection.exchange(&head, body).await.map(|head| (head, connection))
        };
        let (head, connection) =
            tokio::time::timeout(timeout, attempt).await.map_err(|_| SendError::TimedOut)??;
        let body =
            ReplicaBody::new(connection, head.framing, head.keep_alive, self.idle.clone(), timeout);
        let body = ResponseBody::replica(body);
        Ok(UpstreamResponse { status: head.status, headers: head.headers, body })
    }

    /// Whether the replica answers this request, on a connection of its own, other than by saying
    /// that it fails. To accept a connection is not enough: a process that is being killed does, and
    /// so does a server whose engine is dead. One that does not answer within `patience` is busy.
    pub(crate) async fn is_alive(&self, request: &RequestHead<'_>, patience: Duration) -> bool {
        let connection = tokio::time::timeout(patience, Connection::open(&self.origin)).await;
        let Ok(Ok(mut connection)) = connection else { return false };
        let (head, body) = (self.encode(request, 0), Bytes::new());
        match tokio::time::timeout(patience, connection.exchange(&head, &body)).await {
            Ok(Ok(head)) => !head.status.is_server_error(),
            Ok(Err(SendError::Connect(_) | SendError::Closed(_))) => false,
            Ok(Err(SendError::Malformed | SendError::TimedOut)) | Err(_) => true,
        }
    }

    fn encode(&self, request: &RequestHead<'_>, length: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        let mut put = |part: &[u8]| head.extend_from_slice(part);
        put(request.method.as_str().as_bytes());
        put(b" ");
        put(request.path.as_bytes());
        put(b" HTTP/1.1\r\nhost: ");
        put(self.origin.authority().as_bytes());
        put(b"\r\nauthorization: Bearer ");
        put(request.bearer.expose().as_bytes());
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
