//! A fake vLLM server (0.32), as a program and as a library.
//!
//! It answers as vLLM does, without a model: the same paths, bodies, stream events, error bodies, metrics and start-up
//! log. The same request always gets the same tokens. It can also be told to misbehave, see [`Faults`].
//!
//! In a test:
//!
//! ```
//! # async fn example() -> Result<(), mock_vllm::Error> {
//! use mock_vllm::{Faults, MockVllm};
//!
//! let mock = MockVllm::builder().model("demo").start().await?;
//! let url = format!("{}/v1/chat/completions", mock.base_url());
//! // … send requests to `url` …
//! mock.set_faults(Faults { cut_after: Some(3), ..Faults::default() });
//! // … and now every stream is cut after three events.
//! # Ok(())
//! # }
//! ```
//!
//! As a hidden subcommand of another program: [`Args`] is a `clap` parser, [`run_blocking`] is the rest.

mod api;
mod args;
mod boot;
mod engine;
mod error;
mod faults;
mod metrics;
mod mock;
mod run;
mod server;
mod text;
mod tokens;

pub use args::{Args, parse_duration};
pub use engine::Stats;
pub use error::Error;
pub use faults::Faults;
pub use mock::{Builder, MockVllm};
pub use run::{run, run_blocking};
