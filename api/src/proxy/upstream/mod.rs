//! A small HTTP/1.1 client for inference servers.
//!
//! It exists for the hot path: one write per request, one buffer per connection, no task and no
//! channel between the socket and the response body, so that a burst of SSE chunks that arrived
//! together leaves together.

mod body;
mod chunked;
mod connection;
mod idle;
mod origin;
mod pool;

pub(crate) use body::{BodyError, ResponseBody};
pub(crate) use connection::SendError;
pub(crate) use origin::Origin;
pub(crate) use pool::{RequestHead, Upstream, UpstreamResponse};
