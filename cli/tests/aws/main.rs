//! The commands that speak with AWS itself, against a small AWS on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
#![expect(clippy::indexing_slicing, reason = "a missing field fails the test")]
#![expect(clippy::panic, reason = "what the fake does not know fails the test")]

mod doctor;
mod fake;
mod keys;
mod program;
