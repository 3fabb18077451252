//! Which of a model's replicas serves a request. Pure.

use std::time::Duration;

/// A candidate for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
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

/// The same where requests of one `key` are to meet: the first replica in an order that the key gives,
/// unless it already has 1.25 times the mean to do. When replicas come or go, few keys move. This is consistent hashing with bounded loads (Mirrokni, Thorup and
/// Zadimoghaddam, <https://arxiv.org/abs/1608.01350>) over rendezvous hashing.
pub fn nearest(
    key: u64,
    candidates: impl IntoIterator<Item = Candidate, IntoIter: Clone>,
) -> Option<usize> {
    let candidates = candidates.into_iter().enumerate();
    let reachable = candidates.filter(|(_, candidate)| candidate.reachable);
    let (mut replicas, mut in_flight) = (0_u64, 0_u64);
    for (_, candidate) in reachable.clone() {
        replicas += 1;
        in_flight += u64::from(candidate.in_flight);
    }
    // With this request among them, in quarters so that no fraction is lost.
    let bound = (5 * (in_flight + 1)).div_ceil(4 * replicas.max(1));
    reachable
        .filter(|(_, candidate)| u64::from(candidate.in_flight) < bound)
        .max_by_key(|(_, candidate)| mixed(key, candidate.slot))
        .map(|(place, _)| place)
}

/// A number that depends on both, as if by chance: the finalizer of SplitMix64
/// (<https://prng.di.unimi.it/splitmix64.c>).
fn mixed(key: u64, slot: u32) -> u64 {
    let mut mixed = key ^ u64::from(slot).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// How long a caller is willing to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Whether the answer is streamed.
    pub stream: bool,
    /// `Prefer: wait=N` (RFC 7240 §4.3).
    pub prefer_wait: Option<Duration>,
}

/// What `Retry-After` says while a model warms up: the estimate, within 1 to 60 seconds;
/// 10 without one.
pub fn retry_after(eta: Option<Duration>) -> Duration {
    eta.map_or(Duration::from_secs(10), |eta| {
        Duration::from_secs((eta.as_secs() + u64::from(eta.subsec_nanos() > 0)).clamp(1, 60))
    })
}

#[cfg(test)]
mod affinity_tests;
#[cfg(test)]
mod tests {
    use super::*;

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
    fn retry_after_is_the_estimate_within_a_minute() {
        for (eta, seconds) in [(None, 10), (Some(0.2), 1), (Some(41.2), 42), (Some(900.0), 60)] {
            let eta = eta.map(Duration::from_secs_f64);
            assert_eq!(retry_after(eta), Duration::from_secs(seconds), "{eta:?}");
        }
    }
}
