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
                return Ok(Some(end_of(beat, max_bytes)));
            }
        }
        // Of a boot that failed nothing else is left.
        let control = self.store.load::<Control>(&Control::key_of(model)).await;
        let control = control.map_err(io::Error::other)?.map(|control| control.value);
        let Some(claim) = control.and_then(|control| control.failure?.claim) else {
            return Ok(None);
        };
        Ok(self.beat(&claim).await?.map(|beat| end_of(beat, max_bytes)))
    }

    async fn read_from(
        &self,
        _: &ModelName,
        claim: &ClaimId,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Option<LogChunk>, io::Error> {
        Ok(self.beat(claim).await?.map(|beat| piece_of(beat, offset, max_bytes)))
    }
}

/// What a beat carries of the log: its last lines, which end where the log does. Older ones are not
/// kept anywhere.
fn text_of(beat: &Beat) -> String {
    beat.log_tail.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The last `max_bytes`, from the beginning of a line; a line that is longer than that is cut.
fn end_of(beat: Beat, max_bytes: usize) -> LogChunk {
    let text = text_of(&beat);
    let cut = text.ceil_char_boundary(text.len().saturating_sub(max_bytes));
    let (before, rest) = text.split_at_checked(cut).unwrap_or_default();
    let is_line = before.is_empty() || before.ends_with('\n');
    let next_line = rest.split_once('\n').map(|(_, lines)| lines);
    let whole = next_line.filter(|lines| !is_line && !lines.is_empty());
    LogChunk {
        text: whole.unwrap_or(rest).to_owned(),
        next_offset: beat.log_end,
        claim: beat.claim,
    }
}

/// What the log has from `offset` on, at most `max_bytes`; one that is shorter was begun anew.
fn piece_of(beat: Beat, offset: u64, max_bytes: usize) -> LogChunk {
    let text = text_of(&beat);
    let unread = beat.log_end.checked_sub(offset).unwrap_or(beat.log_end);
    let unread = usize::try_from(unread).unwrap_or(usize::MAX).min(text.len());
    let from = text.ceil_char_boundary(text.len() - unread);
    let to = text.floor_char_boundary(from.saturating_add(max_bytes));
    // A character that does not fit at all is passed over rather than waited for.
    let end = if to > from { to } else { text.ceil_char_boundary(from.saturating_add(1)) };
    LogChunk {
        text: text.get(from..to).unwrap_or_default().to_owned(),
        next_offset: beat.log_end.saturating_sub((text.len() - end) as u64),
        claim: beat.claim,
    }
}
