//! Records of slots, for suites and fixtures.

use diogenes_core::Timestamp;
use diogenes_core::fleet::{ClaimId, Launch, ModelSpec, PhaseTimes, Placement, Slot, SlotState};
use diogenes_core::name::ModelName;
use diogenes_core::secret::Secret;

/// What the models of suites and fixtures run.
pub fn spec() -> ModelSpec {
    ModelSpec::new(["vllm", "serve", "{port}"])
}

/// A slot of a model that was taken `now`.
pub fn slot(
    model: &ModelName,
    index: usize,
    claim: &ClaimId,
    state: SlotState,
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
        state,
    }
}
