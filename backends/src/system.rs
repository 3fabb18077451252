//! The clock, the timer and the random source of this machine.

use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::ports::{Clock, Entropy, Timer};

/// The clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The timer of the tokio runtime that polls it.
#[derive(Clone, Copy, Debug)]
pub struct TokioTimer;

#[async_trait]
impl Timer for TokioTimer {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // Without randomness no key and no claim is safe: there is nothing to fall back to.
        if let Err(error) = getrandom::fill(buffer) {
            tracing::error!(%error, "the operating system gives no random bytes");
            std::process::abort();
        }
    }
}
