//! vLLM's HTTP surface.

mod body;
mod chat;
mod completion;
mod embeddings;
mod error;
mod plan;
mod reply;
mod request;
mod responses;
mod routes;

pub(crate) use routes::router;
