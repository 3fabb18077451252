//! The emulated AWS of the other tests: what the emulator does, what the front adds to it, and that
//! nothing of either is left behind.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "what the tests share fails like them"
)]

mod dynamodb;
mod ec2;
mod faults;
mod hooks;
mod keeper;
mod lambda;

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use diogenes_e2e::aws::emulator::Emulator;
use diogenes_e2e::aws::front::Front;

/// A front of its own; none if these tests are to be left out.
async fn front() -> Option<Front> {
    if diogenes_e2e::aws::skipped() {
        return None;
    }
    Some(Front::start(Emulator::shared().await).await)
}

/// A name that no other test has.
fn name(of: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{of}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The code of the error that a call has ended with.
fn code<T: std::fmt::Debug>(result: Result<T, impl ProvideErrorMetadata>) -> String {
    result.expect_err("an error").code().unwrap_or("none").to_owned()
}
