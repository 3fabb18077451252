use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use crate::entity::StoreExt;
use crate::fleet::{Beat, ClaimId, Control, Slot};
use crate::name::ModelName;
use crate::ports::{LogChunk, LogSource, StateStore};

/// The logs of inference servers as far as their agents' beats carry them: the last lines.
pub struct BeatLogs {
    store: Arc<dyn StateStore>,
}

impl BeatLogs {
    /// The logs in the beats in `store`.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store }
    }

    async fn beat(&self, claim: &ClaimId) -> Result<Option<Beat>, io::Error> {
        let beat = self.store.load::<Beat>(&Beat::key_of(claim)).await;
        Ok(beat.map_err(io::Error::other)?.map(|beat| beat.value))
    }
}

#[async_trait]
impl LogSource for BeatLogs {
    async fn tail(
        &self,
        model: &ModelName,
        max_bytes: usize,
    ) -> Result<Option<LogChunk>, io::Error> {
        let slots = self.store.load_all::<Slot>(Slot::all_of(model)).await;
        let mut slots = slots.map_err(io::Error::other)?;
        slots.sort_by_key(|slot| std::cmp::Reverse(slot.value.claimed_at));
        for slot in slots {
            if let Some(beat) = self.beat(&slot.value.claim).await? {
                return Ok(Some(chunk(beat, 0, max_bytes)));
            }
        }
        // Of a boot that failed nothing else is left.
        let control = self.store.load::<Control>(&Control::key_of(model)).await;
        let control = control.map_err(io::Error::other)?.map(|control| control.value);
        let Some(claim) = control.and_then(|control| control.failure?.claim) else {
            return Ok(None);
        };
        Ok(self.beat(&claim).await?.map(|beat| chunk(beat, 0, max_bytes)))
    }

    async fn read_from(
        &self,
        _: &ModelName,
        claim: &ClaimId,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Option<LogChunk>, io::Error> {
        Ok(self.beat(claim).await?.map(|beat| chunk(beat, offset, max_bytes)))
    }
}

/// What a beat carries of the log from `offset` on, at most its last `max_bytes`. Older lines are
/// not kept anywhere.
fn chunk(beat: Beat, offset: u64, max_bytes: usize) -> LogChunk {
    let mut text = beat.log_tail.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let unread = usize::try_from(beat.log_end.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut from = text.len().saturating_sub(unread.min(max_bytes));
    while !text.is_char_boundary(from) {
        from += 1;
    }
    LogChunk { claim: beat.claim, text: text.split_off(from), next_offset: beat.log_end }
}
