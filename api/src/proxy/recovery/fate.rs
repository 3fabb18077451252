//! What becomes of the replica of a stream while it answers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{ClaimId, ModelView, SlotState};

use super::Way;

/// How old may be what is known of the replica, where nobody publishes it.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The fleet has given it up. Its connection may say nothing of that: the machine may be gone.
    GivenUp,
    /// It will end before the stream may have, and another one is ready to go on.
    Leaving,
}

/// Waits for it.
pub(super) type Watch = Pin<Box<dyn Future<Output = Fate> + Send>>;

impl Way {
    /// Waits until the replica of a claim has met its fate. While a stream had better leave and
    /// there is no other replica, it counts among the requests that wait for one.
    pub(super) fn watch(self: Arc<Self>, claim: ClaimId, may_leave: bool) -> Watch {
        Box::pin(async move {
            let mut changes = self.entry.changes();
            let link = &self.gateway.views.link;
            let mut place = None;
            loop {
                changes.mark_unchanged();
                let view = self.entry.view();
                let slot = view.slots.iter().find(|slot| slot.claim == claim);
                let stands = |state: &SlotState| !matches!(state, SlotState::Terminating { .. });
                let Some(slot) = slot.filter(|slot| stands(&slot.state)) else {
                    return Fate::GivenUp;
                };
                let now = self.gateway.clock.now();
                let pause = match slot.to_be_left_at(view.model.spec.drain_timeout) {
                    Some(at) if may_leave && now >= at => {
                        if self.has_another(&view, &claim) {
                            return Fate::Leaving;
                        }
                        if place.is_none() && slot.is_to_be_replaced() {
                            // To wait for another is not to arrive: a `down` stands.
                            place = link.enter_again(&self.entry).await;
                            link.look(&self.entry, self.since).await;
                        }
                        link.pause(&view.progress(now))
                    }
                    Some(at) if may_leave => since(now, at),
                    Some(_) | None => LOOK_EVERY,
                };
                tokio::select! {
                    known = changes.changed() => if known.is_err() {
                        // Nobody will tell.
                        return std::future::pending().await;
                    },
                    () = tokio::time::sleep(pause.min(LOOK_EVERY)) => if place.is_some() {
                        link.look(&self.entry, self.since).await;
                    } else {
                        let name = view.model.name.as_str();
                        if let Err(error) = link.refresh(name).await {
                            tracing::debug!(model = name, "a look at a replica failed: {error}");
                        }
                    },
                }
            }
        })
    }

    /// Whether a replica other than that of `claim` could go on.
    fn has_another(&self, view: &ModelView, claim: &ClaimId) -> bool {
        let others = view.replicas.iter().filter(|replica| replica.claim != *claim);
        let mut ready = others.filter(|replica| self.entry.has_in_rotation(&replica.claim));
        ready.any(|replica| self.runs_the_same(view, &replica.claim))
    }

    /// Whether the replica of a claim runs what the first one did, and will say the same.
    pub(super) fn runs_the_same(&self, view: &ModelView, claim: &ClaimId) -> bool {
        let slot = view.slots.iter().find(|slot| slot.claim == *claim);
        slot.is_some_and(|slot| slot.launch.engine == self.engine)
    }
}
