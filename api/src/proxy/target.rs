use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use diogenes_core::Timestamp;
use diogenes_core::fleet::ClaimId;
use diogenes_core::ports::ReplicaDemand;
use diogenes_core::routing::Candidate;
use http::HeaderValue;

use super::in_use::InUse;
use super::link::StoreLink;
use super::upstream::Upstream;

/// A replica that requests may be sent to, and what is under way there.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) slot: u32,
    pub(crate) claim: ClaimId,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) upstream_key: String,
    /// `x-diogenes-target`.
    pub(crate) label: HeaderValue,
    in_flight: AtomicU32,
    /// What its agent reported last: the requests of all routers.
    reported: AtomicU32,
    /// Milliseconds since the epoch; `i64::MIN` for never.
    last_used: AtomicI64,
    reachable: AtomicBool,
}

/// One request in flight on a target.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) target: Arc<Target>,
    entry: Arc<super::entry::Entry>,
    /// Stamps its use, where the fleet is looked after elsewhere.
    in_use: Option<InUse>,
}

impl Target {
    pub(crate) fn new(
        slot: u32,
        claim: ClaimId,
        upstream: Arc<Upstream>,
        upstream_key: String,
    ) -> Self {
        let short: String = claim.as_str().chars().take(8).collect();
        let label = HeaderValue::from_str(&format!("{slot}/{short}"))
            .unwrap_or_else(|_| HeaderValue::from_static("?"));
        Self {
            slot,
            claim,
            upstream,
            upstream_key,
            label,
            in_flight: AtomicU32::new(0),
            reported: AtomicU32::new(0),
            last_used: AtomicI64::new(i64::MIN),
            reachable: AtomicBool::new(true),
        }
    }

    pub(crate) fn candidate(&self) -> Candidate {
        Candidate {
            slot: self.slot,
            in_flight: self.load(),
            reachable: self.reachable.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// The requests on it, as far as is known: those of this process are among the reported ones
    /// or newer.
    pub(crate) fn load(&self) -> u32 {
        self.in_flight().max(self.reported.load(Ordering::Relaxed))
    }

    pub(crate) fn report(&self, load: u32) {
        self.reported.store(load, Ordering::Relaxed);
    }

    pub(crate) fn demand(&self) -> ReplicaDemand {
        let last_used = self.last_used.load(Ordering::Acquire);
        ReplicaDemand {
            running: self.in_flight(),
            waiting: 0,
            last_used_at: Timestamp::from_millisecond(last_used).ok(),
        }
    }

    /// Takes it out of rotation; returns whether it was in.
    pub(crate) fn take_out(&self) -> bool {
        self.reachable.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn put_in(&self) {
        self.reachable.store(true, Ordering::Release);
    }
}

impl Lease {
    pub(crate) fn new(target: Arc<Target>, entry: Arc<super::entry::Entry>) -> Self {
        target.in_flight.fetch_add(1, Ordering::AcqRel);
        target.last_used.fetch_max(entry.now_millis(), Ordering::AcqRel);
        Self { target, entry, in_use: None }
    }

    /// Lets the fleet see that the target is in use.
    pub(super) fn stamp(&mut self, link: &Arc<StoreLink>) {
        let model = self.entry.view().model.name.clone();
        self.in_use = Some(InUse::begin(link, model, self.target.claim.clone()));
    }

    /// The model's entry.
    pub(crate) fn entry(&self) -> &Arc<super::entry::Entry> {
        &self.entry
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.target.last_used.fetch_max(self.entry.now_millis(), Ordering::AcqRel);
        if self.target.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.entry.replica_fell_idle(&self.target);
        }
    }
}
