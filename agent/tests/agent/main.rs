//! The agent on a machine of the test's own: a fake metadata service, a store in memory, a shell
//! script as the inference server's process and `mock-vllm` as its port.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at once")]

mod boot;
mod ending;
mod imds;
mod machine;
mod notices;
mod program;
mod store;
mod unit;
