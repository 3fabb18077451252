use diogenes_api::control::ModelState;
use diogenes_core::Timestamp;
use diogenes_core::fleet::Standing;

use crate::client::Boot;
use crate::commands::progress::boot_of;

/// What a look at a starting model tells.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// It boots.
    Wait(Boot),
    /// The order is not carried out yet.
    Waiting,
    Ready,
    Failed(String),
}

/// Waits for a start that was just ordered.
pub(super) struct Start {
    /// The order has cleared this failure; it may still be seen for a moment.
    old_failure: Option<Timestamp>,
    has_begun: bool,
}

impl Start {
    pub(super) fn new(before: &ModelState) -> Self {
        Self { old_failure: before.failure.as_ref().map(|failure| failure.at), has_begun: false }
    }

    pub(super) fn look(&mut self, state: &ModelState) -> Look {
        let name = &state.model;
        if state.standing == Standing::Ready {
            return Look::Ready;
        }
        if let Some(failure) = &state.failure
            && Some(failure.at) != self.old_failure
        {
            let see = failure.kind.see_log(name).map(|see| format!("; {see}")).unwrap_or_default();
            let reason = &failure.reason;
            return Look::Failed(format!("model `{name}` could not be started: {reason}{see}"));
        }
        match (state.standing, boot_of(state)) {
            (_, Some(boot)) => {
                self.has_begun = true;
                Look::Wait(boot)
            }
            (Standing::Asleep | Standing::Stopping, None) if self.has_begun => {
                Look::Failed(format!(
                    "model `{name}` was taken down before it was ready; start it again with `diogenes up {name}`"
                ))
            }
            _ => Look::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(standing: &str, progress: bool, failure_at: Option<&str>) -> ModelState {
        let progress = progress
            .then(|| serde_json::json!({"phase": "weights", "elapsed_s": 2.0, "eta_s": null}));
        let failure = failure_at.map(|at| {
            serde_json::json!({"kind": "exited", "reason": "it exited", "at": at,
                "until": "2026-01-01T00:10:00Z", "attempts": 1, "spec": "0"})
        });
        serde_json::from_value(serde_json::json!({
            "model": "demo", "standing": standing, "pinned": false, "held": 0, "in_flight": 0,
            "last_request_at": null, "progress": progress, "failure": failure, "slots": [],
        }))
        .expect("a model's state")
    }

    const EARLIER: Option<&str> = Some("2026-01-01T00:00:00Z");
    const NOW: Option<&str> = Some("2026-01-01T00:05:00Z");

    #[test]
    fn a_start_is_waited_for_until_it_is_ready() {
        let mut start = Start::new(&state("asleep", false, None));
        assert_eq!(start.look(&state("asleep", false, None)), Look::Waiting);
        assert!(matches!(start.look(&state("starting", true, None)), Look::Wait(_)));
        assert_eq!(start.look(&state("ready", false, None)), Look::Ready);
    }

    #[test]
    fn a_failure_counts_when_it_is_a_new_one() {
        let mut start = Start::new(&state("failed", false, EARLIER));
        assert_eq!(start.look(&state("failed", false, EARLIER)), Look::Waiting);
        assert!(matches!(start.look(&state("starting", true, None)), Look::Wait(_)));
        assert!(matches!(start.look(&state("failed", false, NOW)), Look::Failed(_)));
    }

    #[test]
    fn a_start_that_is_called_off_is_not_waited_for() {
        let mut start = Start::new(&state("asleep", false, None));
        start.look(&state("starting", true, None));
        assert!(matches!(start.look(&state("stopping", false, None)), Look::Failed(_)));
    }
}
