//! The sources of demand: the proxy's counters, and what routers and agents write to a store.
#![expect(clippy::unwrap_used, reason = "fixtures are not test functions")]

mod dispatcher;
mod stored;

use diogenes_core::Timestamp;
use diogenes_core::fleet::{
    ClaimId, InstanceId, Launch, ModelSpec, PhaseTimes, Placement, Slot, SlotState,
};
use diogenes_core::name::ModelName;
use diogenes_core::secret::Secret;

fn spec() -> ModelSpec {
    ModelSpec::new(["vllm", "serve", "{port}"])
}

/// A replica that answers at `base_url`.
fn ready_slot(
    model: &ModelName,
    index: usize,
    claim: &ClaimId,
    base_url: String,
    now: Timestamp,
) -> Slot {
    let spec = spec();
    Slot {
        model: model.clone(),
        index: u32::try_from(index).unwrap(),
        claim: claim.clone(),
        claimed_at: now,
        launch: Launch {
            engine: spec.engine(),
            spec: spec.hash(),
            ladder: vec![Placement::local()],
            rung: 0,
            tried: 1,
            attempt: 0,
            asked_at: now,
            upstream_key: Secret::new("up-conformance"),
            lifetime: None,
        },
        phases: PhaseTimes::launched(now),
        state: SlotState::Ready {
            instance: InstanceId::new(claim.as_str()),
            base_url,
            ready_at: now,
        },
    }
}
