use std::collections::BTreeSet;

use super::{Effect, ReconcileError, Reconciler, Snapshot, find};
use crate::entity::{StoreExt, Stored};
use crate::fleet::{
    ClaimId, EndReason, FailureKind, Launch, PhaseTimes, Slot, SlotEvent, SlotState,
};
use crate::ports::{Expect, LaunchError};
use crate::secret::Secret;

/// How many launch tokens one claim may spend.
const MAX_ATTEMPTS: u32 = 3;

impl Reconciler {
    pub(super) async fn claim(
        &self,
        snapshot: &Snapshot,
        index: u32,
        own: &mut BTreeSet<ClaimId>,
    ) -> Result<Effect, ReconcileError> {
        let Some(model) = &snapshot.model else {
            return Ok(Effect::Stale);
        };
        let now = self.clock.now();
        let ladder = model.value.spec.rungs();
        let preferred = snapshot.control.preferred_rung.as_ref();
        let rung = preferred
            .filter(|rung| rung.until > now && rung.index < ladder.len())
            .map_or(0, |rung| rung.index);
        let mut key = [0; 24];
        self.entropy.fill(&mut key);
        let slot = Slot {
            model: model.value.name.clone(),
            index,
            claim: ClaimId::random(self.entropy.as_ref()),
            // A `down` since then was not seen, and ends this claim.
            claimed_at: snapshot.read_at,
            launch: Launch {
                engine: model.value.spec.engine(),
                spec: model.value.spec.hash(),
                ladder,
                rung,
                tried: 1,
                attempt: 0,
                asked_at: now,
                upstream_key: Secret::new(format!("up-{}", crate::hex(&key))),
                lifetime: self.lifetime(&model.value.spec),
            },
            phases: PhaseTimes::launched(now),
            state: SlotState::Launching,
        };
        let slot = self.store.save(slot, Expect::Absent).await?;
        tracing::info!(
            model = %slot.value.model, slot = index, claim = %slot.value.claim,
            "claimed slot {index} of `{}`", slot.value.model
        );
        // At once, rather than in the next pass: every caller is waiting for this.
        match self.launch_slot(snapshot, &slot, own).await? {
            happened @ Effect::Happened(_) => Ok(happened),
            // The claim itself is a change.
            Effect::Changed | Effect::Stale | Effect::Pending => Ok(Effect::Changed),
        }
    }

    pub(super) async fn launch(
        &self,
        snapshot: &Snapshot,
        index: u32,
        own: &mut BTreeSet<ClaimId>,
    ) -> Result<Effect, ReconcileError> {
        match find(snapshot, index) {
            Some(slot) => self.launch_slot(snapshot, slot, own).await,
            None => Ok(Effect::Stale),
        }
    }

    pub(super) async fn launch_slot(
        &self,
        snapshot: &Snapshot,
        slot: &Stored<Slot>,
        own: &mut BTreeSet<ClaimId>,
    ) -> Result<Effect, ReconcileError> {
        own.insert(slot.value.claim.clone());
        let Some(request) = slot.value.launch_request(&self.deployment) else {
            let reason = "the slot's record names no place to launch";
            return self
                .fail_slot(
                    snapshot,
                    slot,
                    FailureKind::InvalidSpec,
                    reason,
                    EndReason::LaunchFailed,
                )
                .await;
        };
        let fail = |kind, reason: String| async move {
            self.fail_slot(snapshot, slot, kind, &reason, EndReason::LaunchFailed).await
        };
        match self.compute.launch(&request).await {
            Ok(instance) => {
                tracing::info!(
                    model = %slot.value.model, instance.id = %instance,
                    "launched {instance} for `{}`", slot.value.model
                );
                self.write(slot, SlotEvent::Launched(instance)).await
            }
            Err(error @ (LaunchError::Capacity { .. } | LaunchError::Quota { .. })) => {
                let kind = match error {
                    LaunchError::Quota { .. } => FailureKind::Quota,
                    _ => FailureKind::Capacity,
                };
                match slot.value.next_rung() {
                    Some(rung) => {
                        tracing::info!(model = %slot.value.model, "trying the next rung: {error}");
                        self.write(slot, SlotEvent::NextRung(rung)).await
                    }
                    None => fail(kind, error.to_string()).await,
                }
            }
            Err(error @ LaunchError::InvalidSpec { .. }) => {
                fail(FailureKind::InvalidSpec, error.to_string()).await
            }
            Err(error @ LaunchError::Denied { .. }) => {
                fail(FailureKind::Denied, error.to_string()).await
            }
            Err(LaunchError::TokenSpent) => {
                if slot.value.launch.attempt + 1 < MAX_ATTEMPTS {
                    self.write(slot, SlotEvent::NextAttempt).await
                } else {
                    let reason = format!("it ended right after its launch, {MAX_ATTEMPTS} times");
                    fail(FailureKind::Exited, reason).await
                }
            }
            Err(error @ LaunchError::Transient { .. }) => {
                tracing::warn!(
                    model = %slot.value.model, error = &error as &dyn std::error::Error,
                    "the launch for `{}` is tried again soon", slot.value.model
                );
                Ok(Effect::Pending)
            }
        }
    }
}
