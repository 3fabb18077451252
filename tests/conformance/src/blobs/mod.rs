//! The promises of [`Blobs`].

pub mod contents;

use std::any::Any;
use std::sync::Arc;

use diogenes_core::ports::{BlobKey, Blobs};

/// Blobs for one check.
pub struct Fixture {
    blobs: Arc<dyn Blobs>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// Blobs that hold nothing.
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self { blobs, _keep: Box::new(()) }
    }

    /// Keeps what the blobs stand on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    async fn content(&self, key: &BlobKey) -> Vec<u8> {
        self.blobs.read(key, 0..u64::MAX).await.unwrap()
    }
}
