//! The ways in which the mock can be told to misbehave.

use serde::{Deserialize, Serialize};

/// What goes wrong with inference requests. Everything is off by default.
///
/// Counts (`fail_first`, `die_after`) start anew each time the faults are set, by
/// [`MockVllm::set_faults`](crate::MockVllm::set_faults) or by `PUT /mock/faults`, whose body is this struct as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Close the connection after this many stream events; a plain answer is cut in the middle of its body.
    #[arg(long, value_name = "N")]
    pub cut_after: Option<u32>,
    /// Send nothing more after this many stream events, connection open; a plain answer stalls in the middle.
    #[arg(long, value_name = "N")]
    pub stall_after: Option<u32>,
    /// Answer the first inference requests with `fail_status`.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fail_first: u64,
    /// The status of `fail_first`.
    #[arg(long, value_name = "STATUS", default_value_t = 500, value_parser = clap::value_parser!(u16).range(400..600))]
    pub fail_status: u16,
    /// Seconds for a `Retry-After` header on failures of `fail_first`.
    #[arg(long, value_name = "SECONDS")]
    pub fail_retry_after: Option<u32>,
    /// Break the JSON of every stream event that carries text.
    #[arg(long)]
    pub malformed_sse: bool,
    /// Stop serving, without an answer, when one more than this many inference requests arrive; the program exits
    /// with code 1.
    #[arg(long, value_name = "N")]
    pub die_after: Option<u64>,
    /// Refuse connections: close the listening socket and idle connections. The port stays reserved.
    #[arg(skip)]
    pub refuse_connections: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            cut_after: None,
            stall_after: None,
            fail_first: 0,
            fail_status: 500,
            fail_retry_after: None,
            malformed_sse: false,
            die_after: None,
            refuse_connections: false,
        }
    }
}
