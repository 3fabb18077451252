use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::Timestamp;
use crate::ports::{Topic, Wake, WakeError};

/// A [`Wake`] that wakes nothing and counts how often it was asked to.
#[derive(Debug, Default)]
pub struct CountingWake {
    count: AtomicUsize,
    looks: Mutex<Vec<(Topic, Timestamp)>>,
}

impl CountingWake {
    /// How often it was asked.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The same since the last call of this.
    pub fn take(&self) -> usize {
        self.count.swap(0, Ordering::SeqCst)
    }

    /// The later looks that it was asked for since the last call of this.
    pub fn take_looks(&self) -> Vec<(Topic, Timestamp)> {
        std::mem::take(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Wake for CountingWake {
    async fn wake(&self, _: &Topic) -> Result<(), WakeError> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn wake_at(&self, topic: &Topic, at: Timestamp) -> Result<(), WakeError> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.push((topic.clone(), at));
        Ok(())
    }
}
