//! An emulated AWS for tests: a DynamoDB and an EC2 of an [`emulator`], behind a [`front`] that
//! records every call, injects faults and mends what the emulator does not do as AWS does; and a
//! [`lambda`] of its own, which the emulators lack here. A [`stack`] is all of it; a [`policy`] judges its calls as IAM would.

pub mod emulator;
pub mod front;
pub mod lambda;
mod logs;
pub mod policy;
mod process;
pub mod stack;

/// Whether to leave out tests of AWS, as `DIOGENES_E2E=skip` asks for; it says so.
///
/// # Panics
/// In CI, where nothing is left out.
pub fn skipped() -> bool {
    use std::io::Write as _;
    if std::env::var("DIOGENES_E2E").as_deref() != Ok("skip") {
        return false;
    }
    assert!(std::env::var_os("CI").is_none(), "DIOGENES_E2E=skip in CI, which runs every test");
    let _ = writeln!(std::io::stderr(), "skipped: DIOGENES_E2E=skip leaves the tests of AWS out");
    true
}
