//! The sources of demand: the proxy's counters, and what routers and agents write to a store.
#![expect(clippy::unwrap_used, reason = "fixtures are not test functions")]

mod dispatcher;
mod stored;

use diogenes_conformance::slots::{slot, spec};
use diogenes_core::Timestamp;
use diogenes_core::fleet::{ClaimId, InstanceId, Slot, SlotState};
use diogenes_core::name::ModelName;

/// A replica that answers at `base_url`.
fn ready_slot(
    model: &ModelName,
    index: usize,
    claim: &ClaimId,
    base_url: String,
    now: Timestamp,
) -> Slot {
    let instance = InstanceId::new(claim.as_str());
    slot(model, index, claim, SlotState::Ready { instance, base_url, ready_at: now }, now)
}
