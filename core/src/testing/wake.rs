use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use crate::ports::{Topic, Wake, WakeError};

/// A [`Wake`] that wakes nothing and counts how often it was asked to.
#[derive(Debug, Default)]
pub struct CountingWake(AtomicUsize);

impl CountingWake {
    /// How often it was asked.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// The same since the last call of this.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Wake for CountingWake {
    async fn wake(&self, _: &Topic) -> Result<(), WakeError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
