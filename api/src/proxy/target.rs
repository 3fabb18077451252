use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use diogenes_core::Timestamp;
use diogenes_core::fleet::ClaimId;
use diogenes_core::ports::ReplicaDemand;
use diogenes_core::routing::Candidate;
use diogenes_core::secret::Secret;
use http::HeaderValue;

use super::upstream::Upstream;

/// A replica that requests may be sent to, and what is under way there.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) claim: ClaimId,
    pub(super) upstream: Arc<Upstream>,
    pub(super) upstream_key: Secret,
    /// `x-diogenes-target`.
    pub(super) label: HeaderValue,
    slot: u32,
    in_flight: AtomicU32,
    /// What its agent reported last: the requests of all routers.
    reported: AtomicU32,
    /// Milliseconds since the epoch; `i64::MIN` for never.
    last_used: AtomicI64,
    reachable: AtomicBool,
}

impl Target {
    pub(super) fn new(
        slot: u32,
        claim: ClaimId,
        upstream: Arc<Upstream>,
        upstream_key: Secret,
    ) -> Self {
        let short: String = claim.as_str().chars().take(8).collect();
        let label = HeaderValue::from_str(&format!("{slot}/{short}"))
            .unwrap_or_else(|_| HeaderValue::from_static("?"));
        Self {
            claim,
            upstream,
            upstream_key,
            label,
            slot,
            in_flight: AtomicU32::new(0),
            reported: AtomicU32::new(0),
            last_used: AtomicI64::new(i64::MIN),
            reachable: AtomicBool::new(true),
        }
    }

    pub(super) fn candidate(&self) -> Candidate {
        Candidate { slot: self.slot, in_flight: self.load(), reachable: self.is_reachable() }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// The requests on it, as far as is known: those of this process are among the reported ones
    /// or newer.
    pub(super) fn load(&self) -> u32 {
        self.in_flight().max(self.reported.load(Ordering::Relaxed))
    }

    pub(super) fn report(&self, load: u32) {
        self.reported.store(load, Ordering::Relaxed);
    }

    /// Milliseconds since the epoch; `i64::MIN` for never.
    pub(super) fn last_used(&self) -> i64 {
        self.last_used.load(Ordering::Acquire)
    }

    pub(super) fn demand(&self) -> ReplicaDemand {
        ReplicaDemand {
            running: self.in_flight(),
            waiting: 0,
            last_used_at: Timestamp::from_millisecond(self.last_used()).ok(),
        }
    }

    /// A request begins on it at `now`, in milliseconds since the epoch; `None` where it does not
    /// count as a use.
    pub(super) fn begin(&self, now: Option<i64>) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        if let Some(now) = now {
            self.last_used.fetch_max(now, Ordering::AcqRel);
        }
    }

    /// A request has ended at `now`; returns whether it was the last one.
    pub(super) fn end(&self, now: Option<i64>) -> bool {
        if let Some(now) = now {
            self.last_used.fetch_max(now, Ordering::AcqRel);
        }
        self.in_flight.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Acquire)
    }

    /// Takes it out of rotation; returns whether it was in.
    pub(super) fn take_out(&self) -> bool {
        self.reachable.swap(false, Ordering::AcqRel)
    }

    pub(super) fn put_in(&self) {
        self.reachable.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::upstream::Origin;

    #[test]
    fn debug_shows_nothing_of_the_key_of_a_replica() {
        let upstream = Upstream::new(Origin::parse("http://127.0.0.1:1").unwrap());
        let target = Target::new(0, ClaimId::new("claim"), upstream, Secret::new("hunter2"));
        let shown = format!("{target:?}");
        assert!(shown.contains("claim") && !shown.contains("hunter2"), "{shown}");
    }
}
