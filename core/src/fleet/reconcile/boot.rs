//! How a boot ends: ready or failed.

use std::time::Duration;

use super::{
    Effect, FleetEvent, ReconcileError, Reconciler, Snapshot, expected, find, log_transition,
};
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::{later, since};
use crate::fleet::{
    BootHistory, Control, EndReason, Failure, FailureKind, Launch, PreferredRung, Slot, SlotEvent,
    SpecHash,
};
use crate::ports::{Expect, StoreError};

/// How long the rung that worked is tried first.
const PREFERENCE: Duration = Duration::from_mins(10);

impl Reconciler {
    /// A first answer clears the failure, remembers the rung, notes the time, and times the boot.
    pub(super) async fn make_ready(
        &self,
        snapshot: &Snapshot,
        slot: &Stored<Slot>,
        event: SlotEvent,
    ) -> Result<Effect, ReconcileError> {
        let now = self.clock.now();
        let next = slot.value.after(event, now)?;
        let rung = slot.value.launch.rung;
        let control = Control {
            ready_at: Some(now),
            failure: None,
            preferred_rung: (rung != 0)
                .then(|| PreferredRung { index: rung, until: later(now, PREFERENCE) }),
            ..snapshot.control.clone()
        };
        let writes = [next.put(slot.unchanged())?, control.put(expected(snapshot))?];
        self.store.commit(&writes).await?;
        log_transition(&slot.value, &next);
        if let Err(error) = self.remember_boot(&next).await {
            // Only the next estimate is the worse for it.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the boot was not added to the history"
            );
        }
        let cold_start = since(slot.value.claimed_at, now);
        Ok(Effect::Happened(FleetEvent::Ready { cold_start }))
    }

    pub(super) async fn remember_boot(&self, slot: &Slot) -> Result<(), StoreError> {
        let Some(rung) = slot.launch.ladder.get(slot.launch.rung) else {
            return Ok(());
        };
        let key = BootHistory::key_of(&slot.model, rung.label(), &slot.launch.spec);
        let (mut history, expect) = match self.store.load::<BootHistory>(&key).await? {
            Some(stored) => {
                let expect = stored.unchanged();
                (stored.value, expect)
            }
            None => (
                BootHistory::new(
                    slot.model.clone(),
                    rung.label().to_owned(),
                    slot.launch.spec.clone(),
                ),
                Expect::Absent,
            ),
        };
        history.record(&slot.phases);
        self.store.save(history, expect).await.map(|_| ())
    }

    pub(super) async fn fail(
        &self,
        snapshot: &Snapshot,
        index: u32,
        kind: FailureKind,
        reason: &str,
        end: EndReason,
    ) -> Result<Effect, ReconcileError> {
        match find(snapshot, index) {
            Some(slot) => self.fail_slot(snapshot, slot, kind, reason, end).await,
            None => Ok(Effect::Stale),
        }
    }

    /// Ends the claim and backs off, in one commit, so that no caller sees the one without the
    /// other.
    pub(super) async fn fail_slot(
        &self,
        snapshot: &Snapshot,
        slot: &Stored<Slot>,
        kind: FailureKind,
        reason: &str,
        end: EndReason,
    ) -> Result<Effect, ReconcileError> {
        let now = self.clock.now();
        let Launch { engine, ladder, .. } = &slot.value.launch;
        let spec = SpecHash::of_launch(engine, ladder);
        let mut control = snapshot.control.clone();
        let earlier = control.failure.as_ref().filter(|failure| failure.spec == spec);
        let attempts = earlier.map_or(0, |failure| failure.attempts).saturating_add(1);
        let until = later(now, Failure::back_off(attempts));
        control.failure = Some(Failure {
            kind,
            reason: reason.into(),
            at: now,
            until,
            attempts,
            spec,
            claim: Some(slot.value.claim.clone()),
        });
        let next = slot.value.after(SlotEvent::End(end), now)?;
        self.store.commit(&[next.put(slot.unchanged())?, control.put(expected(snapshot))?]).await?;
        tracing::warn!(
            model = %slot.value.model, %kind, attempts,
            "`{}` could not be started: {reason}", slot.value.model
        );
        Ok(Effect::Happened(FleetEvent::LaunchFailed { kind }))
    }
}
