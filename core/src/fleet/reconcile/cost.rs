//! Keeping account of what instances do.

use super::Reconciler;
use crate::Timestamp;
use crate::days::{beginning_of, day_of};
use crate::entity::{StoreExt, Stored};
use crate::fleet::eta::since;
use crate::fleet::{InstanceDay, Slot, SlotState};
use crate::ports::{Expect, ReplicaDemand, StoreError};

impl Reconciler {
    /// Counts the time of a slot's instance until now, or until its end. What fails is made up for
    /// by the next time, and ends nothing: no instance may live longer for its bookkeeping.
    pub(super) async fn account(&self, slot: &Slot, of_it: &ReplicaDemand) {
        match self.try_account(slot, of_it).await {
            // Somebody else has just done so.
            Ok(()) | Err(StoreError::Conflict(_)) => {}
            Err(error) => tracing::warn!(
                model = %slot.model, claim = %slot.claim,
                error = &error as &dyn std::error::Error,
                "the time of an instance of `{}` could not be counted", slot.model
            ),
        }
    }

    async fn try_account(&self, slot: &Slot, of_it: &ReplicaDemand) -> Result<(), StoreError> {
        let Some(begin) = InstanceDay::begins_at(slot) else { return Ok(()) };
        let end = InstanceDay::ends_at(slot, self.clock.now());
        let mut standing = self.newest_day(slot, begin, end).await?;
        let mut from = standing.as_ref().map_or(begin, |stored| stored.value.until);
        let is_over = matches!(slot.state, SlotState::Terminating { .. });
        let is_new = standing.is_none();
        if !is_over && !is_new && since(from, end) < InstanceDay::PRECISION {
            return Ok(());
        }
        while from < end {
            // A day that is full is followed by another.
            let stored = standing.take().filter(|stored| stored.value.day == day_of(from));
            let expect = stored.as_ref().map_or(Expect::Absent, Stored::unchanged);
            let standing = stored.map(|stored| stored.value);
            let grown = InstanceDay::grown(standing, slot, of_it, (from, end));
            from = grown.until;
            self.store.save(grown, expect).await?;
        }
        Ok(())
    }

    /// The newest day of a slot's instance that is on record.
    async fn newest_day(
        &self,
        slot: &Slot,
        begin: Timestamp,
        end: Timestamp,
    ) -> Result<Option<Stored<InstanceDay>>, StoreError> {
        let mut day = day_of(end);
        loop {
            let key = InstanceDay::key_of(slot, day);
            if let Some(stored) = self.store.load::<InstanceDay>(&key).await? {
                return Ok(Some(stored));
            }
            match day.yesterday() {
                Ok(earlier) if beginning_of(day) > begin => day = earlier,
                _ => return Ok(None),
            }
        }
    }
}
