//! The functions' applications over a store in memory, and what the template that deploys them
//! looks for. That its roles fit is tested end to end (`tests/e2e/tests/aws_stack/iam.rs`).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the fixtures are not inside test functions"
)]

mod authorizer;
mod calls_at_once;
mod control;
mod metrics;
mod template;
