use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{ClaimId, UseStamp};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Expect, StateStore};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::later::Later;

/// The stamps of one router process: at most one of each kind in [`UseStamp::EVERY`].
pub(super) struct Stamps {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    later: Arc<Later>,
    written: Mutex<HashMap<(ModelName, Option<ClaimId>), Timestamp>>,
}

impl Stamps {
    pub(super) fn new(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        later: Arc<Later>,
    ) -> Self {
        Self { store, clock, later, written: Mutex::default() }
    }

    /// Notes that the model, or one of its replicas, is in use, unless this process has just
    /// done so.
    pub(super) async fn stamp(&self, model: &ModelName, claim: Option<&ClaimId>) {
        self.stamp_at(model, claim, self.clock.now()).await;
    }

    /// The same, of what was so at `now`.
    pub(super) async fn stamp_at(
        &self,
        model: &ModelName,
        claim: Option<&ClaimId>,
        now: Timestamp,
    ) {
        let who = (model.clone(), claim.cloned());
        {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            if written.get(&who).is_some_and(|at| since(*at, now) < UseStamp::EVERY) {
                return;
            }
            // Claims come and go.
            written.retain(|_, at| since(*at, now) < UseStamp::EVERY * 4);
            written.insert(who.clone(), now);
        }
        let stamp = UseStamp { model: model.clone(), claim: claim.cloned(), at: now };
        if let Err(error) = self.store.save(stamp, Expect::Any).await {
            self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(&who);
            tracing::warn!(
                model = %model, error = &error as &dyn std::error::Error,
                "the use of `{model}` could not be recorded; trying again with the next request"
            );
        }
    }
}

/// Stamps the use of a replica for as long as a request is in flight on it. Its drop leaves the
/// write that is under way, if any, to [`Later`].
pub(super) struct InUse {
    later: Arc<Later>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl std::fmt::Debug for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InUse").finish_non_exhaustive()
    }
}

impl InUse {
    /// Stamps now, if that is due, and from time to time until it is dropped.
    pub(super) fn begin(stamps: &Arc<Stamps>, model: ModelName, claim: ClaimId) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let later = stamps.later.clone();
        let stamps = stamps.clone();
        let task = tokio::spawn(async move {
            loop {
                stamps.stamp(&model, Some(&claim)).await;
                tokio::select! {
                    _ = &mut stopped => return,
                    () = tokio::time::sleep(UseStamp::EVERY) => {}
                }
            }
        });
        Self { later, running: Some((stop, task)) }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            // It is gone only if its task is.
            let _ = stop.send(());
            self.later.keep(task);
        }
    }
}
