use std::sync::Arc;

use diogenes_core::fleet::{ClaimId, UseStamp};
use diogenes_core::name::ModelName;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::link::StoreLink;

#[derive(Debug)]
/// Stamps the use of a replica for as long as a request is in flight on it. Its drop leaves the
/// write that is under way, if any, to [`StoreLink::settle`].
pub(super) struct InUse {
    link: Arc<StoreLink>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl InUse {
    /// Stamps now, if that is due, and from time to time until it is dropped.
    pub(super) fn begin(link: &Arc<StoreLink>, model: ModelName, claim: ClaimId) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let stamping = link.clone();
        let task = tokio::spawn(async move {
            loop {
                stamping.stamp(&model, Some(&claim)).await;
                tokio::select! {
                    _ = &mut stopped => return,
                    () = tokio::time::sleep(UseStamp::EVERY) => {}
                }
            }
        });
        Self { link: link.clone(), running: Some((stop, task)) }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            // It is gone only if its task is.
            let _ = stop.send(());
            self.link.defer(async move {
                // A panic in there was reported by the runtime.
                let _ = task.await;
            });
        }
    }
}
