//! The record of a batch while it is run.

use diogenes_core::batches::{Batch, BatchEvent, RequestCounts};
use diogenes_core::entity::{Entity, StoreExt, Stored};
use diogenes_core::jobs::ClaimError;

use super::runner::Run;
use crate::bulk::Trouble;

impl Run<'_> {
    /// Shows how far the batch is, unless it is shown.
    pub(super) async fn write_counts(&mut self) -> Result<(), Trouble> {
        let (counts, bill) = (self.batch().counts, self.batch().bill);
        if counts == self.shown {
            return Ok(());
        }
        self.update(|batch| {
            (batch.counts, batch.bill) = (counts, bill);
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
            match self.work.commit(&[put]).await {
                Ok(versions) => {
                    let version = versions.into_iter().flatten().next();
                    let version = version.ok_or(Trouble::Other("a put has no version".into()))?;
                    self.shown = batch.counts;
                    self.batch = Stored { value: batch, version };
                    return Ok(());
                }
                // Somebody has asked for its end.
                Err(ClaimError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
            let stored = self.store().load::<Batch>(&batch.key()).await?;
            let mut stored = stored.ok_or(Trouble::Other("the batch is gone".into()))?;
            // What was counted here is not written yet.
            let counts = self.batch().counts;
            stored.value.bill = self.batch().bill;
            let total = counts.total.max(stored.value.counts.total);
            stored.value.counts = RequestCounts { total, ..counts };
            self.batch = stored;
        }
    }
}
