//! Which replica serves a request, or whether it is held or turned away. Pure.

use std::time::Duration;

use crate::Timestamp;
use crate::fleet::{ColdStart, Failure, ModelView, Progress};

/// A candidate for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its slot.
    pub slot: u32,
    /// Requests in flight on it.
    pub in_flight: u32,
    /// Whether it accepts connections, as far as is known.
    pub reachable: bool,
}

/// The place in `candidates` of the one to send to: the least requests in flight; among equals
/// the lowest slot, so that high slots fall idle and can go.
pub fn least_in_flight(candidates: impl IntoIterator<Item = Candidate>) -> Option<usize> {
    candidates
        .into_iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.reachable)
        .min_by_key(|(_, candidate)| (candidate.in_flight, candidate.slot))
        .map(|(place, _)| place)
}

/// How long a caller is willing to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Whether the answer is streamed.
    pub stream: bool,
    /// `Prefer: wait=N` (RFC 7240 §4.3).
    pub prefer_wait: Option<Duration>,
}

/// What to do with a request that finds no replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cold {
    /// Wait at most so long; `None` waits for as long as a boot may take.
    Hold(Option<Duration>),
    /// 503 `model_warming` at once.
    Warming(Progress),
    /// The scale-up failed; the reason and when to come back.
    Failed(Failure),
}

/// The longest wait that a caller can ask for; a longer one counts as none.
const LONGEST_WISH: Duration = Duration::from_hours(24);

/// Decides about a request that finds no replica.
pub fn cold(view: &ModelView, patience: Patience, now: Timestamp) -> Cold {
    if let Some(failure) = view.failure(now) {
        return Cold::Failed(failure.clone());
    }
    let spec = &view.model.spec;
    // A stream has no limit of its own; beyond a day, a caller's wish is none either.
    let most = if patience.stream { None } else { Some(spec.hold_timeout) };
    let wish = patience.prefer_wait.filter(|wait| *wait <= LONGEST_WISH);
    let hold = match (wish, most) {
        (Some(wait), Some(most)) => Some(wait.min(most)),
        (Some(wait), None) => Some(wait),
        (None, most) => most,
    };
    let rejects = spec.cold_start == ColdStart::Reject || hold.is_some_and(|hold| hold.is_zero());
    if rejects { Cold::Warming(view.progress(now)) } else { Cold::Hold(hold) }
}

/// What `Retry-After` says while a model warms up: the estimate, within 1 to 60 seconds;
/// 10 without one.
pub fn retry_after(eta: Option<Duration>) -> Duration {
    eta.map_or(Duration::from_secs(10), |eta| {
        Duration::from_secs((eta.as_secs() + u64::from(eta.subsec_nanos() > 0)).clamp(1, 60))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::{Control, Model, ModelSource, ModelSpec};

    fn candidate(slot: u32, in_flight: u32, reachable: bool) -> Candidate {
        Candidate { slot, in_flight, reachable }
    }

    #[test]
    fn the_least_loaded_reachable_replica_serves() {
        let all = [candidate(0, 3, true), candidate(1, 1, true), candidate(2, 0, false)];
        assert_eq!(least_in_flight(all), Some(1));
    }

    #[test]
    fn among_equals_the_lowest_slot_serves() {
        let all = [candidate(2, 0, true), candidate(0, 0, true), candidate(1, 0, true)];
        assert_eq!(least_in_flight(all), Some(1));
        assert_eq!(least_in_flight([candidate(0, 0, false)]), None);
    }

    #[test]
    fn no_wish_for_a_wait_is_too_long_to_be_added_to_the_time() {
        let model = Model {
            name: "demo".parse().unwrap(),
            spec: ModelSpec::new(["x"]),
            source: ModelSource::Api,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            deleted_at: None,
        };
        let control = Control::new(model.name.clone());
        let view = ModelView::new(Arc::new(model), Vec::new(), control, None);
        let wait = |stream, seconds| {
            let prefer_wait = Some(Duration::from_secs(seconds));
            cold(&view, Patience { stream, prefer_wait }, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(wait(true, u64::MAX), Cold::Hold(None));
        assert_eq!(wait(false, u64::MAX), Cold::Hold(Some(view.model.spec.hold_timeout)));
        assert_eq!(wait(true, 7), Cold::Hold(Some(Duration::from_secs(7))));
        assert!(matches!(wait(true, 0), Cold::Warming(_)));
    }

    #[test]
    fn retry_after_is_the_estimate_within_a_minute() {
        for (eta, seconds) in [(None, 10), (Some(0.2), 1), (Some(41.2), 42), (Some(900.0), 60)] {
            let eta = eta.map(Duration::from_secs_f64);
            assert_eq!(retry_after(eta), Duration::from_secs(seconds), "{eta:?}");
        }
    }
}
