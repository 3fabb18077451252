//! The backend with real processes: `sh`, and this very program as an inference server.

mod adoption;
mod boot;
mod crash;
mod lifecycle;
mod server;
mod support;
