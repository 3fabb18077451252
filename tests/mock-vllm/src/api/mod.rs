//! vLLM's HTTP surface.

mod audio;
mod body;
mod chat;
mod completion;
mod embeddings;
mod error;
mod form;
mod images;
mod plan;
mod reply;
mod request;
mod responses;
mod routes;
mod tokenize;

pub(crate) use routes::router;
