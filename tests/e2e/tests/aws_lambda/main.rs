//! The small Lambda and the small API Gateway do as AWS does.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails at once"
)]

mod authorizer;
mod buffered;
mod events;
mod failures;
mod fixture;
mod freezing;
mod processes;
mod refusals;
mod streaming;
mod template;
