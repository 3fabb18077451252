use super::{ReconcileError, Reconciler};
use crate::entity::Stored;
use crate::fleet::{EndReason, Slot, SlotEvent, SlotState};

/// Which claims end with this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retire {
    /// Those whose replica does not serve yet.
    Starting,
    /// All of them.
    All,
}

impl Reconciler {
    /// Ends claims because this program ends and its instances with it. That is not a failure of
    /// their models: the next start finds their slots free. What it cannot write is left to that
    /// start too.
    pub async fn retire(&self, which: Retire) -> Result<(), ReconcileError> {
        for name in self.names().await? {
            for slot in self.slots(&name).await? {
                let ends = match slot.value.state {
                    SlotState::Launching | SlotState::Booting { .. } => true,
                    SlotState::Ready { .. } | SlotState::Draining { .. } => which == Retire::All,
                    SlotState::Terminating { .. } => false,
                };
                if ends {
                    self.retire_slot(&slot).await?;
                }
            }
        }
        Ok(())
    }

    /// First the record, then the instance: whoever finds it ended must find out why.
    async fn retire_slot(&self, slot: &Stored<Slot>) -> Result<(), ReconcileError> {
        self.write(slot, SlotEvent::End(EndReason::Shutdown)).await?;
        if let Some(instance) = slot.value.instance() {
            self.compute.terminate(instance).await?;
        }
        Ok(())
    }
}
