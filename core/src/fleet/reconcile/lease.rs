use super::Reconciler;
use crate::entity::StoreExt;
use crate::fleet::eta::since;
use crate::fleet::{Lease, SlotState};
use crate::name::ModelName;
use crate::ports::{Expect, StoreError};

impl Reconciler {
    /// Tells the agents of claims that are still wanted. It comes before all that can be slow: a
    /// backend that hangs must not let instances end that serve. Agents of claims that end are
    /// told nothing, so that they end by themselves should nobody manage to end them.
    pub(super) async fn bump_leases(&self, model: &ModelName) -> Result<(), StoreError> {
        if self.agents.is_none() {
            return Ok(());
        }
        for slot in self.slots(model).await? {
            let slot = slot.value;
            if matches!(slot.state, SlotState::Launching | SlotState::Terminating { .. }) {
                continue;
            }
            let now = self.clock.now();
            let standing = self.store.load::<Lease>(&Lease::key_of(&slot.claim)).await?;
            let fresh =
                standing.is_some_and(|lease| since(lease.value.bumped_at, now) < Lease::EVERY);
            if !fresh {
                let lease = Lease { claim: slot.claim, bumped_at: now };
                self.store.save(lease, Expect::Any).await?;
            }
        }
        Ok(())
    }
}
