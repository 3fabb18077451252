use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::jobs::QueueName;
use diogenes_core::ports::{Topic, Wake, WakeError};
use tokio::sync::Notify;

/// The [`Wake`] of a worker: it rings the bell where the queue is the one that it works on, and tells
/// others of what becomes due elsewhere.
pub(super) struct StintWake {
    bell: Arc<Notify>,
    stint: RwLock<Option<(QueueName, Arc<dyn Wake>)>>,
}

impl StintWake {
    pub(super) fn new(bell: Arc<Notify>) -> Self {
        Self { bell, stint: RwLock::default() }
    }

    /// From now on the worker works on this queue, and `others` see to the rest.
    pub(super) fn begin(&self, queue: QueueName, others: Arc<dyn Wake>) {
        *self.stint.write().unwrap_or_else(PoisonError::into_inner) = Some((queue, others));
    }

    /// Who is to be told, if it is not this worker.
    fn others(&self, topic: &Topic) -> Option<Arc<dyn Wake>> {
        let stint = self.stint.read().unwrap_or_else(PoisonError::into_inner);
        let (own, others) = stint.as_ref()?;
        match topic {
            Topic::Queue(queue) if queue == own => None,
            Topic::Queue(_) | Topic::Model(_) => Some(others.clone()),
        }
    }
}

#[async_trait]
impl Wake for StintWake {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        if let Some(others) = self.others(topic) {
            return others.wake(topic).await;
        }
        self.bell.notify_one();
        Ok(())
    }

    /// What becomes due in its own queue is seen at the end of the invocation, and by the look that was
    /// arranged before its beginning.
    async fn wake_at(&self, topic: &Topic, at: Timestamp) -> Result<(), WakeError> {
        match self.others(topic) {
            Some(others) => others.wake_at(topic, at).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use diogenes_core::testing::CountingWake;

    use super::*;

    #[tokio::test]
    async fn what_is_due_elsewhere_is_told_to_others() {
        let (bell, others) = (Arc::new(Notify::new()), Arc::new(CountingWake::default()));
        let wake = StintWake::new(bell.clone());
        wake.begin("http".parse().unwrap(), others.clone());
        let topic = |queue: &str| Topic::Queue(queue.parse().unwrap());
        wake.wake(&topic("http")).await.unwrap();
        wake.wake_at(&topic("http"), Timestamp::UNIX_EPOCH).await.unwrap();
        bell.notified().await;
        assert_eq!((others.count(), others.take_looks()), (0, vec![]));
        wake.wake(&topic("webhook")).await.unwrap();
        wake.wake_at(&topic("webhook"), Timestamp::UNIX_EPOCH).await.unwrap();
        let looks = vec![(topic("webhook"), Timestamp::UNIX_EPOCH)];
        assert_eq!((others.count(), others.take_looks()), (1, looks));
    }
}
