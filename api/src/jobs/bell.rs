use std::sync::Arc;

use async_trait::async_trait;
use diogenes_core::ports::{Topic, Wake, WakeError};
use tokio::sync::Notify;

/// A [`Wake`] that rings the [bell](super::Worker::bell) of a worker of the same process.
pub struct Bell(pub Arc<Notify>);

#[async_trait]
impl Wake for Bell {
    async fn wake(&self, _: &Topic) -> Result<(), WakeError> {
        self.0.notify_one();
        Ok(())
    }
}
