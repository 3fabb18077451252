//! Traces and metrics of `serve`, as a collector gets them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails at once")]

mod failures;
mod refusals;
mod requests;
