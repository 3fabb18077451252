//! The record of a batch while it is run.

use diogenes_core::batches::{Batch, BatchEvent};
use diogenes_core::entity::{Entity, StoreExt};
use diogenes_core::jobs::ClaimError;
use diogenes_core::ports::Write;

use super::runner::{Run, Trouble};

impl Run<'_> {
    pub(super) async fn commit(&self, writes: &[Write]) -> Result<(), Trouble> {
        match self.work.commit(writes).await {
            // Somebody else has answered a line: this worker is not the only one.
            Err(ClaimError::Changed) => Err(ClaimError::Lost.into()),
            result => Ok(result?),
        }
    }

    /// Shows how far the batch is.
    pub(super) async fn write_counts(&mut self) -> Result<(), Trouble> {
        let counts = self.batch().counts;
        self.update(|batch| {
            batch.counts = counts;
            true
        })
        .await
    }

    /// Takes the batch through `event`, and changes it; nothing happens where that cannot be any
    /// more.
    pub(super) async fn change(
        &mut self,
        event: BatchEvent,
        change: impl Fn(&mut Batch),
    ) -> Result<(), Trouble> {
        let now = self.now();
        self.update(|batch| {
            let Some(next) = batch.after(event, now) else { return false };
            *batch = next;
            change(batch);
            true
        })
        .await
    }

    async fn update(&mut self, change: impl Fn(&mut Batch) -> bool) -> Result<(), Trouble> {
        loop {
            let mut batch = self.batch.value.clone();
            if !change(&mut batch) {
                return Ok(());
            }
            let put = batch.put(self.batch.unchanged())?;
            let result = self.work.commit(&[put]).await;
            let is_written = match result {
                Ok(()) => true,
                // Somebody has asked for its end.
                Err(ClaimError::Changed) => false,
                Err(error) => return Err(error.into()),
            };
            let counts = self.batch().counts;
            let stored = self.store().load::<Batch>(&batch.key()).await?;
            let Some(mut stored) = stored else {
                return Err(Trouble::Other("the batch is gone".into()));
            };
            if !is_written {
                // What was counted here is not written yet.
                let total = stored.value.counts.total;
                stored.value.counts = counts;
                stored.value.counts.total = counts.total.max(total);
            }
            self.batch = stored;
            if is_written {
                return Ok(());
            }
        }
    }
}
