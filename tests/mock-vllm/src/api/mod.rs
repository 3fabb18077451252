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
mod tokenize;

pub(crate) use routes::router;
